"""What of the source picture the result carries."""

from __future__ import annotations

import io
import warnings

import numpy as np
import pytest
from PIL import Image, ImageCms
from refstar_service.images import OUTPUT_FORMATS, probe
from refstar_service.images.decode import decode
from refstar_service.images.encode import encode


def opened(data: bytes) -> Image.Image:
    """By Pillow, which must find nothing to warn of."""
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        image = Image.open(io.BytesIO(data))
        image.load()
    return image


def chroma_sampling(jpeg: bytes) -> int:
    frame = jpeg.index(b"\xff\xc0")
    return jpeg[frame + 11]  # of the first component: 0x11 where no other is coarser


@pytest.fixture(scope="session")
def gray_profile() -> bytes:
    """An sRGB profile made over into a gray one: only its header is looked at."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    profile[16:20] = b"GRAY"
    return bytes(profile)


@pytest.mark.parametrize("form", OUTPUT_FORMATS)
def test_bytes_are_what_they_are_said_to_be(photo, limits, form) -> None:
    encoded = encode(photo, format=form)

    assert encoded.media_type == f"image/{form}"
    assert probe(encoded.data, limits, claimed_media_type=encoded.media_type).format == form


@pytest.mark.parametrize("shape", ["gray", "rgb"])
@pytest.mark.parametrize(("form", "quality"), [("png", 1), ("webp", 100), ("tiff", 1), ("bmp", 1)])
def test_lossless_forms_give_back_every_pixel(photo, limits, form, quality, shape) -> None:
    pixels = photo if shape == "rgb" else photo[..., 1]
    found = decode(encode(pixels, format=form, quality=quality).data, limits).pixels

    assert np.array_equal(found, photo if shape == "rgb" else np.repeat(photo[..., 1:2], 3, axis=2))


@pytest.mark.parametrize("pixels", [np.zeros((1, 1), np.uint8), np.full((3, 5, 3), 9, np.uint8)])
def test_tiny_pictures_and_views(pixels) -> None:
    for form in OUTPUT_FORMATS:
        assert opened(encode(pixels, format=form).data).size == pixels.shape[1::-1]
        assert opened(encode(pixels[::-1, ::-1], format=form).data).size == pixels.shape[1::-1]


def test_quality_decides_size_and_chroma(photo) -> None:
    fine, plain, coarse = (encode(photo, format="jpeg", quality=quality).data for quality in (90, 89, 10))

    assert chroma_sampling(fine) == 0x11
    assert chroma_sampling(plain) == 0x22
    assert len(fine) > len(plain) > len(coarse)
    assert len(encode(photo, format="webp", quality=90).data) > len(
        encode(photo, format="webp", quality=10).data
    )


@pytest.mark.parametrize(
    ("form", "mode"),
    [("png", "L"), ("jpeg", "L"), ("webp", "RGB"), ("tiff", "L"), ("bmp", "L"), ("avif", "L")],
)
def test_gray_stays_gray(photo, save, limits, form, mode) -> None:
    like = decode(save(photo[..., 0], "PNG"), limits)
    assert np.array_equal(
        decode(encode(like.pixels, format="png", like=like).data, limits).pixels, like.pixels
    )

    colored = encode(photo, format=form, like=like)
    image = opened(colored.data)
    assert image.mode == ("RGB" if form == "webp" else "L")
    channels = np.asarray(image.convert("RGB")).astype(int)
    assert np.ptp(channels, axis=2).max() <= 1


@pytest.mark.parametrize("form", ["png", "webp", "tiff", "bmp", "avif"])
@pytest.mark.parametrize("gray", [False, True])
def test_alpha_is_kept(photo, save, limits, form, gray) -> None:
    alpha = photo[..., 2]
    color = Image.fromarray(photo).convert("L" if gray else "RGB")
    color.putalpha(Image.fromarray(alpha))
    like = decode(save(color, "PNG"), limits)

    image = opened(encode(like.pixels, format=form, like=like).data)

    assert image.mode == ("LA" if gray and form in ("png", "tiff") else "RGBA")
    found = np.asarray(image)[..., -1]
    assert np.abs(found.astype(int) - alpha).mean() < 2 if form == "avif" else np.array_equal(found, alpha)


def test_alpha_follows_another_size(photo, save, limits) -> None:
    alpha = np.zeros(photo.shape[:2], np.uint8)
    alpha[:, 36:] = 255
    like = decode(save(np.dstack((photo, alpha)), "PNG"), limits)
    for factor in (0.5, 2):
        size = int(96 * factor), int(72 * factor)
        found = decode(encode(np.zeros((*size, 3), np.uint8), format="png", like=like).data, limits)
        assert found.alpha.shape == size
        assert abs(found.alpha.mean() - 127.5) < 1


def test_jpeg_lays_transparent_pixels_on_white(photo, save, limits) -> None:
    black = np.zeros_like(photo)
    for value, expected in ((0, 255), (255, 0), (51, 204)):
        alpha = np.full(photo.shape[:2], value, np.uint8)
        like = decode(save(np.dstack((black, alpha)), "PNG"), limits)
        assert np.array_equal(np.unique(opened(encode(black, format="jpeg", like=like).data)), [expected])


@pytest.mark.parametrize("source", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("form", [form for form in OUTPUT_FORMATS if form != "bmp"])
def test_metadata_goes_from_every_type_to_every_type(photo, save, camera, srgb, limits, source, form) -> None:
    like = decode(save(photo, source, exif=camera(6), icc_profile=srgb), limits)
    encoded = encode(like.pixels, format=form, like=like)

    image = opened(encoded.data)
    assert image.info["icc_profile"] == srgb
    assert image.size == (96, 72)
    exif = image.getexif()
    assert (exif[0x010F], exif.get(0x0112, 1)) == ("Maker", 1)
    assert exif.get_ifd(0x8825) == {}
    again = decode(encoded.data, limits)
    assert (again.info.orientation, again.exif, again.icc_profile) == (1, like.exif, like.icc_profile)


def test_without_a_source_nothing_is_carried(photo) -> None:
    for form in OUTPUT_FORMATS:
        info = opened(encode(photo, format=form).data).info
        assert "icc_profile" not in info
        assert "exif" not in info


def test_a_gray_profile_goes_with_gray_only(photo, save, gray_profile, limits) -> None:
    like = decode(save(photo[..., 0], "PNG", icc_profile=gray_profile), limits)
    assert like.icc_profile == gray_profile

    for form, expected in (
        ("png", gray_profile),
        ("tiff", gray_profile),
        ("jpeg", gray_profile),
        ("webp", None),
    ):
        assert opened(encode(like.pixels, format=form, like=like).data).info.get("icc_profile") == expected


def test_cmyk_comes_back_as_rgb_without_the_press_profile(photo, save, cmyk_profile, limits) -> None:
    like = decode(save(Image.fromarray(photo).convert("CMYK"), "JPEG", icc_profile=cmyk_profile), limits)
    image = opened(encode(like.pixels, format="jpeg", like=like).data)

    assert image.mode == "RGB"
    assert "icc_profile" not in image.info


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"format": "gif"}, "format must be one of"),
        ({"quality": 0}, "quality must be in 1..100"),
        ({"quality": 101}, "quality must be in 1..100"),
        ({"pixels": np.zeros((9, 9, 4), np.uint8)}, "pixels must be uint8"),
        ({"pixels": np.zeros((9, 9, 3), np.float32)}, "pixels must be uint8"),
    ],
)
def test_wrong_arguments_are_named(photo, wrong, message) -> None:
    with pytest.raises(ValueError, match=message):
        encode(**{"pixels": photo, "format": "png", **wrong})
