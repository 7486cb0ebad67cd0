"""What the header tells, and what is refused by it."""

from __future__ import annotations

import struct
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from refstar_service.images import (
    ImageError,
    ImageInfo,
    ImageLimits,
    LimitNames,
    formats,
    probe,
    resolve_format,
)
from refstar_service.images.decode import decode


def refusal(data: bytes, limits: ImageLimits, **claims: Any) -> str:
    with pytest.raises(ImageError) as caught:
        probe(data, limits, **claims)
    assert caught.value.detail.endswith(".")
    return caught.value.code


@pytest.mark.parametrize("kind", ["jpeg", "png", "webp", "tiff", "bmp", "avif"])
def test_every_type_is_told_by_its_bytes(photo, save, limits, kind) -> None:
    info = probe(save(photo, kind.upper()), limits)

    assert info == ImageInfo(kind, f"image/{kind}", 72, 96, "RGB", 1, 1, has_alpha=False, bits=8)


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "AVIF"])
def test_alpha_is_announced(photo, save, limits, kind) -> None:
    info = probe(save(np.dstack((photo, photo[..., 0])), kind), limits)

    assert (info.mode, info.has_alpha) == ("RGBA", True)


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_size_is_that_of_the_upright_picture(photo, save, camera, limits, kind) -> None:
    info = probe(save(photo, kind, exif=camera(6)), limits)

    assert (info.width, info.height, info.orientation) == (96, 72, 6)


def test_depth_and_mode_are_those_of_the_file(photo, save, limits) -> None:
    deep = cv2.imencode(".png", photo.astype(np.uint16) * 257)[1].tobytes()
    assert probe(deep, limits).bits == 16
    assert probe(save(Image.fromarray(photo).convert("CMYK"), "JPEG"), limits).mode == "CMYK"
    assert probe(save(Image.fromarray(photo).convert("1"), "PNG"), limits).mode == "1"
    assert probe(save(Image.fromarray(photo).quantize(9), "PNG", transparency=2), limits).has_alpha


def test_nothing_and_no_image_are_told_apart(limits) -> None:
    assert refusal(b"", limits) == "image-empty"
    assert refusal(b"a line of text, longer than any header of an image", limits) == "not-an-image"
    assert refusal(b"<svg xmlns='http://www.w3.org/2000/svg'/>", limits) == "not-an-image"
    assert refusal(b"BMW drivers write text files, too", limits) == "not-an-image"
    assert refusal(bytes(4096), limits) == "not-an-image"


def test_image_types_that_are_not_taken_are_named(photo, save, limits) -> None:
    for data, name in (
        (b"8BPS\0\1" + bytes(64), "Photoshop"),
        (b"\xff\x0a" + bytes(64), "JPEG XL"),
    ):
        with pytest.raises(ImageError, match=f"{name}.* image. Supported types are JPEG, PNG") as caught:
            probe(data, limits)
        assert caught.value.code == "image-type-unsupported"


@pytest.mark.parametrize(
    "claim",
    [
        *(None, "", "application/octet-stream", "binary/octet-stream", "png"),
        *("image/png", "IMAGE/PNG; q=1", "image/*", "image/jpeg", "image/webp", "image/x-unheard-of"),
    ],
)
def test_the_type_is_told_by_the_bytes_whichever_image_is_claimed(photo, save, limits, claim) -> None:
    assert probe(save(photo, "PNG"), limits, claimed_media_type=claim).format == "png"
    assert probe(save(photo, "WEBP"), limits, claimed_media_type=claim).format == "webp"


@pytest.mark.parametrize("claim", ["text/plain", "application/pdf", "video/mp4; codecs=avc1"])
def test_a_claim_of_no_image_is_refused(photo, save, limits, claim) -> None:
    with pytest.raises(ImageError, match="Send it as image/png") as caught:
        probe(save(photo, "PNG"), limits, claimed_media_type=claim)
    assert caught.value.code == "image-type-mismatch"


def test_limits_are_inclusive(photo, save) -> None:
    data = save(photo, "PNG")
    probe(data, ImageLimits(max_bytes=len(data), max_pixels=72 * 96, max_side=96, min_side=72))

    assert refusal(data, ImageLimits(max_bytes=len(data) - 1)) == "image-too-many-bytes"
    assert refusal(data, ImageLimits(max_pixels=72 * 96 - 1)) == "image-too-many-pixels"
    assert refusal(data, ImageLimits(max_side=95)) == "image-too-many-pixels"
    assert refusal(data, ImageLimits(min_side=73)) == "image-too-small"


@pytest.mark.parametrize(
    ("name", "limit"), [("max_bytes", 100), ("max_pixels", 6911), ("max_side", 95), ("min_side", 73)]
)
def test_a_refusal_names_what_changes_the_limit(photo, save, name, limit) -> None:
    with pytest.raises(ImageError, match=rf"{limit}.* \(--{name}\)\."):
        probe(save(photo, "PNG"), ImageLimits(**{name: limit}, names=LimitNames(**{name: f"--{name}"})))


def test_limits_beyond_what_pillow_guards_are_a_mistake() -> None:
    with pytest.raises(ValueError, match="max_pixels must be in"):
        ImageLimits(max_pixels=200_000_000)
    with pytest.raises(ValueError, match="min_side <= max_side"):
        ImageLimits(min_side=9, max_side=8)


@pytest.mark.parametrize("kind", ["WEBP", "PNG", "TIFF", "AVIF"])
def test_more_than_one_frame_or_page_is_refused(photo, save, limits, kind) -> None:
    frames = [Image.fromarray(photo[::-1]), Image.fromarray(photo[:, ::-1])]
    assert refusal(save(photo, kind, save_all=True, append_images=frames), limits) == "image-animated"


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "TIFF", "BMP", "AVIF", "JPEG2000", "GIF"])
@pytest.mark.parametrize("part", [0.3, 0.7, 0.99])
def test_a_cut_file_is_refused_by_probe_already(photo, save, camera, srgb, limits, kind, part) -> None:
    options = {} if kind in ("TIFF", "BMP", "JPEG2000", "GIF") else {"exif": camera(1), "icc_profile": srgb}
    data = save(photo, kind, **options)

    assert refusal(data[: int(len(data) * part)], limits) == "image-truncated"


def test_a_cut_file_is_not_taken_for_whole_by_its_thumbnail(photo, save, limits) -> None:
    inner = save(photo[::4, ::4], "JPEG")
    data = save(photo, "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\0\0\0\0\0\0" + inner)
    probe(data, limits)

    with pytest.raises(ImageError) as caught:
        decode(data[:-20], limits)
    assert caught.value.code == "image-truncated"


def test_bytes_behind_the_picture_do_not_matter(photo, save, limits) -> None:
    for kind in ("JPEG", "PNG", "WEBP", "BMP"):
        data = save(photo, kind)
        assert np.array_equal(decode(data + bytes(999), limits).pixels, decode(data, limits).pixels)


def test_variants_that_are_not_taken_are_refused_by_their_header(photo, save, limits) -> None:
    jpeg = bytearray(save(photo, "JPEG"))
    frame = jpeg.index(b"\xff\xc0")
    for marker in (0xC3, 0xC9):  # lossless, arithmetic coding
        jpeg[frame + 1] = marker
        assert refusal(bytes(jpeg), limits) == "image-undecodable"
    jpeg[frame + 1], jpeg[frame + 4] = 0xC1, 12  # bits
    assert refusal(bytes(jpeg), limits) == "image-undecodable"

    floats = save(Image.fromarray(photo[..., 0].astype(np.float32)), "TIFF")
    assert refusal(floats, limits) == "image-undecodable"
    assert refusal(save(Image.fromarray(photo).convert("LAB"), "TIFF"), limits) == "image-undecodable"


@pytest.mark.parametrize(
    ("requested", "given", "size", "expected"),
    [
        ("same", "jpeg", 512, "jpeg"),
        ("same", "webp", 512, "webp"),
        ("same", "tiff", 512, "tiff"),
        ("same", "bmp", 512, "bmp"),
        ("same", "avif", 16384, "avif"),
        ("same", "avif", 40000, "png"),
        ("same", "jpeg", 70000, "png"),
        ("same", "webp", 16384, "png"),
        ("jpeg", "png", 512, "jpeg"),
    ],
)
def test_output_format(requested, given, size, expected) -> None:
    info = ImageInfo(given, f"image/{given}", size, 512, "RGB", 1, 1, has_alpha=False, bits=8)
    assert resolve_format(requested, info) == expected


def test_output_format_of_a_result_that_is_larger() -> None:
    info = ImageInfo("webp", "image/webp", 9000, 512, "RGB", 1, 1, has_alpha=False, bits=8)
    assert resolve_format("same", info, size=(16383, 932)) == "webp"
    assert resolve_format("same", info, size=(18000, 1024)) == "png"
    with pytest.raises(ImageError, match="this result would have 18000 x 1024"):
        resolve_format("webp", info, size=(18000, 1024))
    info = ImageInfo("avif", "image/avif", 5000, 5000, "RGB", 1, 1, has_alpha=False, bits=8)
    assert resolve_format("same", info) == "avif"
    assert resolve_format("same", info, size=(10_000, 10_000)) == "webp"  # AVIF would take gigabytes
    with pytest.raises(ImageError, match="25000000 in total; this result would have 10000 x 10000"):
        resolve_format("avif", info, size=(10_000, 10_000))


def test_avif_without_an_encoder(monkeypatch) -> None:
    monkeypatch.setattr(formats, "OUTPUT_FORMATS", ("png", "jpeg", "webp", "tiff", "bmp"))
    info = ImageInfo("avif", "image/avif", 512, 512, "RGB", 1, 1, has_alpha=False, bits=8)
    assert resolve_format("same", info) == "webp"
    assert resolve_format("same", info, size=(20_000, 1024)) == "png"
    with pytest.raises(ImageError, match="AVIF is not written here") as caught:
        resolve_format("avif", info)
    assert caught.value.code == "image-type-unsupported"


def test_output_format_that_cannot_be_had() -> None:
    info = ImageInfo("png", "image/png", 16384, 512, "RGB", 1, 1, has_alpha=False, bits=8)
    with pytest.raises(ImageError, match="16383 pixels per side") as caught:
        resolve_format("webp", info)
    assert caught.value.code == "image-too-many-pixels"
    with pytest.raises(ValueError, match="format must be same, png"):
        resolve_format("gif", info)


def test_a_header_of_200_megapixels_is_refused_before_anything_else(chunk, limits, monkeypatch) -> None:
    def never(*_: object, **__: object) -> None:
        raise AssertionError("a decoder was called")

    monkeypatch.setattr(Image, "open", never)
    monkeypatch.setattr(cv2, "imdecode", never)
    headers = {
        "png": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 20_000, 10_000, 8, 2, 0, 0, 0)),
        "long": b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", struct.pack(">IIBBBBB", 14_286, 14_000, 8, 2, 0, 0, 0)),
        "jpeg": b"\xff\xd8\xff\xc0" + struct.pack(">HBHHB", 8, 8, 14_000, 14_286, 1) + b"\xff\xda\0\x02",
        "bmp": b"BM" + struct.pack("<IIIIiiHHI", 0, 0, 54, 40, 14_286, -14_000, 1, 24, 0),
        "webp": b"RIFF\x20\0\0\0WEBPVP8X\x0a\0\0\0"
        + bytes(4)
        + struct.pack("<I", 14_285)[:3]
        + b"\xaf\x36\0",
    }
    for data in headers.values():
        assert refusal(data, limits) == "image-too-many-pixels"
        with pytest.raises(ImageError, match=r"14286 x 14000|20000 x 10000"):
            decode(data, limits)
