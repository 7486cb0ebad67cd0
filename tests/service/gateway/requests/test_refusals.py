"""Every bad request has its own problem, and leaves nothing behind. The fixture `refused` checks both."""

import io
import struct
import zlib
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from PIL import Image

Post = Callable[..., Awaitable[httpx.Response]]
Refused = Callable[..., Awaitable[dict[str, Any]]]
Picture = Callable[..., bytes]


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def _png_header(width: int, height: int) -> bytes:
    size = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    pixels = _chunk(b"IDAT", zlib.compress(b"\0" * 4096))
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", size) + pixels + _chunk(b"IEND", b"")


def _animation() -> bytes:
    frames = [Image.new("RGB", (64, 64), color) for color in ("red", "green", "blue")]
    buffer = io.BytesIO()
    frames[0].save(buffer, "PNG", save_all=True, append_images=frames[1:])
    return buffer.getvalue()


async def test_text_is_not_an_image(post: Post, refused: Refused) -> None:
    await refused(await post(image=("face.png", b"<html>not a face</html>" * 9)), 422, "not-an-image")


async def test_zero_bytes(post: Post, refused: Refused) -> None:
    await refused(await post(image=("face.png", b"")), 422, "image-empty")


async def test_a_truncated_picture(post: Post, refused: Refused, picture: Picture) -> None:
    whole = picture(128, 128, kind="PNG")
    await refused(await post(image=("face.png", whole[: len(whole) // 2])), 422, "image-truncated")


async def test_a_claim_of_no_image(post: Post, refused: Refused, picture: Picture) -> None:
    image = ("face.png", picture(kind="PNG"), "text/html")
    await refused(await post(image=image), 422, "image-type-mismatch")


@pytest.mark.parametrize("size", [1, 5_000, 90_000])
async def test_a_picture_without_a_file_name(client: httpx.AsyncClient, refused: Refused, size: int) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="image"\r\nContent-Type: image/png\r\n\r\n'
    body = head + bytes(size) + b"\r\n--b--\r\n"
    response = await client.post(
        "/v1/restorations", content=body, headers={"content-type": "multipart/form-data; boundary=b"}
    )
    problem = await refused(response, 422, "invalid-parameter")
    assert "give the part a file name" in problem["detail"]


async def test_a_picture_over_the_byte_cap(post: Post, refused: Refused) -> None:
    problem = await refused(await post(image=("face.png", b"\x89PNG" * 30_000)), 413, "image-too-many-bytes")
    assert problem["limit"] == 100_000


async def test_a_header_of_200_megapixels(post: Post, refused: Refused) -> None:
    image = ("face.png", _png_header(14_200, 14_200))
    await refused(await post(image=image), 422, "image-too-many-pixels")


async def test_a_picture_too_small_for_a_face(post: Post, refused: Refused, picture: Picture) -> None:
    await refused(await post(image=("face.png", picture(8, 8))), 422, "image-too-small")


async def test_an_animation(post: Post, refused: Refused) -> None:
    await refused(await post(image=("face.png", _animation())), 422, "image-animated")


async def test_a_bad_reference_is_named(post: Post, refused: Refused, picture: Picture) -> None:
    references = [("a.png", picture()), ("b.png", b"nothing")]
    problem = await refused(await post(references=references), 422, "not-an-image")
    assert problem["parameter"] == "references[1]"


async def test_a_picture_that_is_not_square(post: Post, refused: Refused, picture: Picture) -> None:
    problem = await refused(await post(image=("face.png", picture(64, 60))), 422, "not-square")
    assert "64 x 60" in problem["detail"]


async def test_a_reference_that_is_not_square(post: Post, refused: Refused, picture: Picture) -> None:
    problem = await refused(await post(references=[("r.png", picture(128, 64))]), 422, "not-square")
    assert problem["parameter"] == "references[0]"


async def test_no_image(post: Post, refused: Refused) -> None:
    await refused(await post(image=None), 422, "missing-image")


async def test_an_image_sent_as_text(client: httpx.AsyncClient, refused: Refused) -> None:
    files = {"image": (None, "face.jpg"), "faces": (None, "aligned")}
    response = await client.post("/v1/restorations", files=files)
    problem = await refused(response, 422, "invalid-parameter")
    assert "-F image=@" in problem["detail"]


async def test_more_references_than_the_service_takes(post: Post, refused: Refused, picture: Picture) -> None:
    problem = await refused(await post(references=[("r.png", picture())] * 9), 422, "too-many-references")
    assert problem["limit"] == 8


async def test_more_references_than_the_model_takes(post: Post, refused: Refused, picture: Picture) -> None:
    response = await post(references=[("r.png", picture())] * 3, model="ented")
    assert (await refused(response, 422, "too-many-references"))["limit"] == 2


async def test_no_reference_for_a_model_that_needs_one(post: Post, refused: Refused) -> None:
    await refused(await post(model="ented"), 422, "references-required")


@pytest.mark.parametrize("stranger", ["refuse", "use"])
async def test_strangers_for_a_model_that_does_not_tell_who_references_show(
    post: Post, refused: Refused, stranger: str
) -> None:
    problem = await refused(await post(stranger=stranger), 422, "invalid-parameter")
    assert problem["detail"] == (f"stranger={stranger} has no effect on the model 'refstar'; leave it out.")
    assert (await post(stranger="ignore")).status_code == 202


async def test_two_images(client: httpx.AsyncClient, refused: Refused, picture: Picture) -> None:
    files = [("image", ("a.png", picture())), ("image", ("b.png", picture()))]
    response = await client.post("/v1/restorations", data={"faces": "aligned"}, files=files)
    await refused(response, 422, "invalid-parameter")


async def test_an_unknown_model(post: Post, refused: Refused) -> None:
    problem = await refused(await post(model="gfpgan"), 422, "unknown-model")
    assert problem["models"] == ["ented", "refstar"]


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("fidelity", "1.01"),
        ("fidelity", "-0.1"),
        ("fidelity", "nan"),
        ("fidelity", "much"),
        ("reference_strength", "2"),
        ("stranger", "welcome"),
        ("quality", "0"),
        ("quality", "101"),
        ("quality", "90.5"),
        ("format", "gif"),
        ("faces", "biggest"),
        ("min_face", "15"),
        ("min_face", "513"),
        ("upscale", "3"),
        ("upscale", "2.0"),
        ("reference_face", "all"),
        ("keep_location", "perhaps"),
        ("priority", "urgent"),
    ],
)
async def test_a_knob_out_of_range(post: Post, refused: Refused, name: str, value: str) -> None:
    problem = await refused(await post(**{name: value}), 422, "invalid-parameter")
    (error,) = problem["errors"]
    assert error["parameter"] == name
    assert error["value"] == value


async def test_all_wrong_knobs_are_named_at_once(post: Post, refused: Refused) -> None:
    problem = await refused(await post(fidelity="7", quality="high"), 422, "invalid-parameter")
    assert [error["parameter"] for error in problem["errors"]] == ["fidelity", "quality"]


@pytest.mark.parametrize(
    ("fields", "sentence"),
    [
        ({"model": "m" * 101}, "model must have at most 100 characters."),
        ({"fidelity": "a"}, "fidelity must be a number from 0 to 1, not 'a'."),
        ({"fidelity": "7"}, "fidelity must be a number from 0 to 1, not '7'."),
        ({"quality": "90.5"}, "quality must be a whole number from 1 to 100, not '90.5'."),
        ({"keep_location": "perhaps"}, "keep_location must be true or false, not 'perhaps'."),
        ({"upscale": "3"}, "upscale must be 1, 2 or 4, not '3'."),
        (
            {"faces": "boxes", "boxes": "[[1, 1, 0, 5]]"},
            "boxes must be a JSON list of 1 to 32 boxes [x, y, width, height]; box 1 has no area.",
        ),
        (
            {"format": "gif"},
            "format must be same, png, jpeg, webp, tiff, bmp or avif, not 'gif'.",
        ),
    ],
)
async def test_a_knob_out_of_range_is_explained_in_a_sentence(
    post: Post, refused: Refused, fields: dict[str, str], sentence: str
) -> None:
    problem = await refused(await post(**fields), 422, "invalid-parameter")
    assert problem["detail"] == sentence


async def test_a_query_out_of_range_is_explained_in_a_sentence(client: httpx.AsyncClient) -> None:
    response = await client.get("/v1/restorations", params={"limit": "many", "status": "lost"})
    assert response.json()["detail"] == (
        "status must be 'queued', 'running', 'succeeded', 'failed', 'canceled' or 'expired', not 'lost'; "
        "limit must be a whole number, not 'many'."
    )


async def test_an_unknown_field(post: Post, refused: Refused) -> None:
    problem = await refused(await post(fidelty="0.5"), 422, "unknown-parameter")
    assert "did you mean 'fidelity'" in problem["detail"]


async def test_an_unknown_file_field(client: httpx.AsyncClient, refused: Refused, picture: Picture) -> None:
    files = {"picture": ("face.png", picture())}
    await refused(await client.post("/v1/restorations", files=files), 422, "unknown-parameter")


@pytest.mark.parametrize(
    ("boxes", "complaint"),
    [
        ("10,10,20,20", "JSON list"),
        ("{}", "JSON list"),
        ("[]", "JSON list"),
        ("[" * 4000, "JSON list"),
        ("[10, 10, 20, 20]", "box 1 is not four numbers"),
        ("[[1, 1, 20, 20], [1, 1, 20]]", "box 2 is not four numbers"),
        ('[["1", 1, 20, 20]]', "box 1 is not four numbers"),
        ("[[1, 1, 20, true]]", "box 1 is not four numbers"),
        ("[[1, 1, 20, 0]]", "box 1 has no area"),
        ("[[1, 1, -20, 20]]", "box 1 has no area"),
        ("[[1, 1, 20, NaN]]", "box 1 is not finite"),
        ("[[1, 1, 20, 1e999]]", "box 1 is not finite"),
        ("[[1, 1, 20, 1" + "0" * 400 + "]]", "box 1 is not finite"),
        (str([[1, 1, 20, 20]] * 33), "1 to 32 boxes"),
    ],
)
async def test_boxes_that_are_none(post: Post, refused: Refused, boxes: str, complaint: str) -> None:
    problem = await refused(await post(faces=None, boxes=boxes), 422, "invalid-parameter")
    (error,) = problem["errors"]
    assert error["parameter"] == "boxes"
    assert complaint in error["reason"]


@pytest.mark.parametrize("box", ["[64, 0, 9, 9]", "[0, 48.5, 9, 9]", "[-9, 0, 9, 9]", "[0, -20, 9, 9]"])
async def test_a_box_beside_the_picture(post: Post, refused: Refused, picture: Picture, box: str) -> None:
    image = ("photo.png", picture(64, 48))
    response = await post(image=image, faces="boxes", boxes=f"[[1, 1, 20, 20], {box}]")
    problem = await refused(response, 422, "invalid-parameter")
    (error,) = problem["errors"]
    assert "64 x 48" in error["reason"]


async def test_boxes_are_judged_in_the_upright_picture(
    post: Post, refused: Refused, picture: Picture
) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its side: 64 x 96 when upright
    image = ("photo.jpg", picture(96, 64, kind="JPEG", exif=exif))
    problem = await refused(
        await post(image=image, faces=None, boxes="[[70, 4, 9, 9]]"), 422, "invalid-parameter"
    )
    assert "64 x 96" in problem["detail"]


@pytest.mark.parametrize(
    ("fields", "wrong"),
    [
        ({"faces": "boxes"}, ["faces"]),
        ({"faces": "all", "boxes": "[[1, 1, 20, 20]]"}, ["faces"]),
        ({"faces": "aligned", "boxes": "[[1, 1, 20, 20]]"}, ["faces"]),
        ({"faces": "aligned", "min_face": "30", "upscale": "2"}, ["min_face"]),
        ({"faces": "aligned", "reference_face": "largest"}, ["reference_face"]),
    ],
)
async def test_knobs_that_contradict_each_other(
    post: Post, refused: Refused, fields: dict[str, str], wrong: list[str]
) -> None:
    problem = await refused(await post(**fields), 422, "invalid-parameter")
    assert [error["parameter"] for error in problem["errors"]] == wrong


@pytest.mark.parametrize(
    ("limits", "fields", "complaint"),
    [
        ({"max_image_pixels": 40_000}, {"upscale": "2"}, "240 x 180 pixels; the limit is 40000 pixels"),
        (
            {"max_image_side": 1000},
            {"upscale": "2", "faces": "aligned"},
            "1024 x 1024 pixels; the limit is 1000",
        ),
        ({"max_image_side": 400}, {"upscale": "4"}, "480 x 360 pixels; the limit is 400 pixels per side"),
        ({"max_image_side": 20_000}, {"upscale": "4", "format": "webp"}, "WebP can have at most 16383"),
    ],
)
async def test_an_enlarged_result_is_held_to_the_limits(
    post: Post,
    refused: Refused,
    app: FastAPI,
    picture: Picture,
    limits: dict[str, int],
    fields: dict[str, str],
    complaint: str,
) -> None:
    side = {"webp": (4100, 16), "aligned": (64, 64)}.get([*fields.values()][-1], (120, 90))
    settings = app.state.gateway.settings.model_copy(update=limits)
    app.state.gateway = replace(app.state.gateway, settings=settings)
    response = await post(image=("photo.png", picture(*side)), **{"faces": "all"} | fields)
    problem = await refused(response, 422, "result-too-large")
    assert complaint in problem["detail"]
    assert problem["parameter"] in fields


async def test_a_body_that_is_no_form(client: httpx.AsyncClient, refused: Refused) -> None:
    response = await client.post("/v1/restorations", data={"image": "aGk="})
    await refused(response, 415, "unsupported-media-type")


async def test_a_form_without_boundary(client: httpx.AsyncClient, refused: Refused) -> None:
    response = await client.post(
        "/v1/restorations", content=b"x", headers={"Content-Type": "multipart/form-data"}
    )
    await refused(response, 400, "malformed-request")


@pytest.mark.parametrize(
    "body",
    [
        b"no boundary at all",
        b'--b\r\nContent-Disposition: form-data; name="faces"\r\n\r\naligned\r\n',
        b'--b\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\n\r\n\x89PNG',
        b"--b\r\nContent-Disposition: form-data\r\n\r\nx\r\n--b--\r\n",
        b"",
    ],
)
async def test_a_broken_form(client: httpx.AsyncClient, refused: Refused, body: bytes) -> None:
    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    response = await client.post("/v1/restorations", content=body, headers=headers)
    await refused(response, 400, "malformed-request")


async def test_a_text_field_without_end(post: Post, refused: Refused) -> None:
    await refused(await post(model="m" * 5000), 400, "malformed-request")


async def test_a_declared_length_over_the_cap(post: Post, refused: Refused) -> None:
    references = [("r.png", b"\x89PNG" * 20_000)] * 6
    assert (await refused(await post(references=references), 413, "request-too-large"))["limit"] == 400_000


async def test_a_chunked_body_over_the_cap(client: httpx.AsyncClient, refused: Refused) -> None:
    async def chunks() -> AsyncIterator[bytes]:
        for _ in range(10):
            yield b'--b\r\nContent-Disposition: form-data; name="references"; filename="r.png"\r\n\r\n'
            for _ in range(9):
                yield b"x" * 10_000
            yield b"\r\n"

    headers = {"Content-Type": "multipart/form-data; boundary=b"}
    response = await client.post("/v1/restorations", content=chunks(), headers=headers)
    await refused(response, 413, "request-too-large")
    assert response.headers["connection"] == "close"
