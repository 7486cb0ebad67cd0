"""Every kind of picture comes out as upright 8 bit RGB."""

from __future__ import annotations

import struct
import zlib
from concurrent.futures import ThreadPoolExecutor

import cv2
import numpy as np
import pytest
from PIL import Image, ImageOps
from refstar_service.images import ImageError, probe
from refstar_service.images.decode import decode
from skimage.data import astronaut


def mean_error(first: np.ndarray, second: np.ndarray) -> float:
    return float(np.abs(first.astype(np.int16) - second).mean())


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
def test_lossless_types_give_back_every_pixel(photo, save, limits, kind) -> None:
    picture = decode(save(photo, kind), limits)

    assert np.array_equal(picture.pixels, photo)
    assert picture.pixels.dtype == np.uint8
    assert picture.alpha is None
    assert not picture.grayscale
    assert picture.info == probe(save(photo, kind), limits)


@pytest.mark.parametrize("kind", ["JPEG", "WEBP", "AVIF"])
def test_lossy_types_are_near(photo, save, limits, kind) -> None:
    assert mean_error(decode(save(photo, kind, quality=95), limits).pixels, photo) < 4


@pytest.mark.parametrize("orientation", range(1, 9))
@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_orientation_is_applied_once(photo, save, camera, limits, kind, orientation) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    reference = Image.fromarray(photo)
    reference.getexif()[0x0112] = orientation
    upright = np.asarray(ImageOps.exif_transpose(reference))

    options = {"exif": exif} if kind == "TIFF" else {"exif": exif.tobytes(), "quality": 95}
    picture = decode(save(photo, kind, **options), limits)

    assert picture.pixels.shape == upright.shape == (picture.info.height, picture.info.width, 3)
    assert mean_error(picture.pixels, upright) < 4


def test_alpha_is_turned_with_the_picture(photo, save, camera, limits) -> None:
    alpha = photo[..., 1]
    picture = decode(save(np.dstack((photo, alpha)), "PNG", exif=camera(6)), limits)

    assert np.array_equal(picture.alpha, np.rot90(alpha, -1))
    assert np.array_equal(picture.pixels, np.rot90(photo, -1))


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "BMP"])
@pytest.mark.parametrize("mode", ["1", "L"])
def test_gray_is_three_equal_channels_and_flagged(photo, save, limits, kind, mode) -> None:
    gray = Image.fromarray(photo).convert(mode)
    picture = decode(save(gray, kind), limits)

    assert picture.grayscale
    assert np.array_equal(picture.pixels, np.asarray(gray.convert("RGB")))


@pytest.mark.parametrize("kind", ["JPEG", "AVIF"])
def test_lossy_gray_is_flagged(photo, save, limits, kind) -> None:
    gray = Image.fromarray(photo).convert("L")
    picture = decode(save(gray, kind, quality=95), limits)

    assert probe(save(gray, kind), limits).mode == "L"
    assert mean_error(picture.pixels, np.asarray(gray)[..., None]) < 3
    assert picture.grayscale


def test_gray_with_alpha(photo, save, limits) -> None:
    alpha = photo[..., 2]
    image = Image.merge("LA", (Image.fromarray(photo[..., 0]), Image.fromarray(alpha)))
    for kind in ("PNG", "TIFF"):
        picture = decode(save(image, kind), limits)
        assert picture.grayscale
        assert np.array_equal(picture.pixels[..., 1], photo[..., 0])
        assert np.array_equal(picture.alpha, alpha)


@pytest.mark.parametrize("kind", ["PNG", "TIFF", "WEBP"])
def test_colors_under_transparent_pixels_are_left_as_they_are(photo, save, limits, kind) -> None:
    alpha = np.zeros(photo.shape[:2], np.uint8)
    options = {"lossless": True, "exact": True} if kind == "WEBP" else {}
    picture = decode(save(np.dstack((photo, alpha)), kind, **options), limits)

    assert np.array_equal(picture.pixels, photo)
    assert not picture.alpha.any()


def test_palette_with_one_transparent_color(photo, save, limits) -> None:
    image = Image.fromarray(photo).quantize(16)
    picture = decode(save(image, "PNG", transparency=3), limits)

    assert np.array_equal(picture.pixels, np.asarray(image.convert("RGB")))
    assert np.array_equal(picture.alpha == 0, np.asarray(image) == 3)
    assert decode(save(image, "BMP"), limits).alpha is None


def test_palette_with_an_alpha_for_every_color(photo, save, limits) -> None:
    image = Image.fromarray(photo).quantize(4)
    picture = decode(save(image, "PNG", transparency=bytes([0, 85, 170, 255])), limits)

    assert np.array_equal(picture.alpha, np.asarray(image) * 85)


def test_one_transparent_color_of_gray_and_rgb(photo, save, limits) -> None:
    key = tuple(int(value) for value in photo[5, 7])
    picture = decode(save(photo, "PNG", transparency=key), limits)
    assert np.array_equal(picture.alpha == 0, (photo == key).all(axis=-1))

    gray = decode(save(photo[..., 0], "PNG", transparency=key[0]), limits)
    assert gray.grayscale
    assert np.array_equal(gray.alpha == 0, photo[..., 0] == key[0])


@pytest.mark.parametrize("suffix", [".png", ".tiff"])
@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_are_rounded_not_cut(suffix, channels, limits) -> None:
    values = np.random.default_rng(1).integers(0, 1 << 16, (32, 24, channels), np.uint16)
    values[0, :3, 0] = 0, 65535, 65407  # the last rounds to 255 - 0.498, its upper byte is 255 too
    picture = decode(cv2.imencode(suffix, values)[1].tobytes(), limits)

    assert picture.info.bits == 16
    assert np.array_equal(picture.pixels, np.broadcast_to(np.rint(values / 257)[..., ::-1], (32, 24, 3)))


def test_16_bits_with_alpha(chunk, limits) -> None:
    values = np.random.default_rng(1).integers(0, 1 << 16, (32, 24, 4), np.uint16)
    picture = decode(cv2.imencode(".png", values)[1].tobytes(), limits)
    assert np.array_equal(np.dstack((picture.pixels[..., ::-1], picture.alpha)), np.rint(values / 257))

    gray = values[..., :2].astype(">u2")  # OpenCV writes no gray with alpha
    rows = b"".join(b"\0" + row.tobytes() for row in gray)
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 24, 32, 16, 4, 0, 0, 0))
    body = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    picture = decode(b"\x89PNG\r\n\x1a\n" + header + body, limits)
    assert picture.grayscale
    assert np.array_equal(np.dstack((picture.pixels[..., 0], picture.alpha)), np.rint(gray / 257))


@pytest.mark.parametrize("kind", ["JPEG", "TIFF"])
def test_cmyk_without_a_profile(photo, save, limits, kind) -> None:
    # Pillow writes CMYK JPEG inverted and marked as Adobe's, as Photoshop does.
    data = save(Image.fromarray(photo).convert("CMYK"), kind, **({"quality": 95} if kind == "JPEG" else {}))
    picture = decode(data, limits)

    assert picture.info.mode == "CMYK"
    assert mean_error(picture.pixels, photo) < 3


def test_cmyk_is_converted_by_a_profile_and_loses_it(photo, save, limits, cmyk_profile) -> None:
    paper = Image.new("CMYK", (64, 64), (0, 0, 0, 0))
    ink = Image.new("CMYK", (64, 64), (255, 0, 0, 0))
    for image, expected in ((paper, (255, 255, 255)), (ink, None)):
        picture = decode(save(image, "JPEG", quality=95, icc_profile=cmyk_profile), limits)
        assert picture.icc_profile is None
        if expected:
            assert mean_error(picture.pixels, np.array(expected)) < 2
        else:  # not the (0, 255, 255) of the naive conversion
            assert mean_error(picture.pixels, np.array((0, 255, 255))) > 10


def test_cmyk_with_a_damaged_profile_is_converted_without(photo, save, limits) -> None:
    damaged = struct.pack(">I", 200) + bytes(12) + b"CMYK" + bytes(16) + b"acsp" + bytes(160)
    data = save(Image.fromarray(photo).convert("CMYK"), "JPEG", quality=95, icc_profile=damaged)

    assert mean_error(decode(data, limits).pixels, photo) < 3


@pytest.mark.parametrize("compression", ["raw", "tiff_lzw", "tiff_adobe_deflate", "packbits", "jpeg"])
@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK", "YCbCr"])
def test_tiff_compressions(photo, save, limits, compression, mode) -> None:
    image = Image.fromarray(photo).convert(mode)
    picture = decode(save(image, "TIFF", compression=compression), limits)

    assert mean_error(picture.pixels, np.asarray(image.convert("RGB"))) < 6


def test_tiff_in_the_other_byte_order(photo, limits) -> None:
    tags = [
        (256, 3, 72),
        (257, 3, 96),
        (258, 3, 8),
        (259, 3, 1),
        (262, 3, 1),
        (273, 4, 0),
        (277, 3, 1),
        (279, 4, 6912),
    ]
    at = 10 + 12 * len(tags) + 4
    entries = b"".join(
        struct.pack(">HHI", tag, kind, 1)
        + (struct.pack(">HH", value, 0) if kind == 3 else struct.pack(">I", value or at))
        for tag, kind, value in tags
    )
    data = b"MM\0*\0\0\0\x08" + struct.pack(">H", len(tags)) + entries + bytes(4) + photo[..., 0].tobytes()
    picture = decode(data, limits)

    assert picture.grayscale
    assert np.array_equal(picture.pixels[..., 2], photo[..., 0])


def test_a_jpeg_that_stores_rgb(photo, save, limits) -> None:
    assert mean_error(decode(save(photo, "JPEG", keep_rgb=True, quality=95), limits).pixels, photo) < 3


def test_bmp_with_an_alpha_mask(photo, limits) -> None:
    layered = np.dstack((photo[..., ::-1], photo[..., 0]))
    masks = struct.pack("<4I", 0xFF0000, 0xFF00, 0xFF, 0xFF000000)
    header = struct.pack("<IiiHHIIiiII", 108, 72, -96, 1, 32, 3, layered.size, 0, 0, 0, 0) + masks
    header = header.ljust(108, b"\0")
    data = b"BM" + struct.pack("<III", 14 + 108 + layered.size, 0, 14 + 108) + header + layered.tobytes()
    picture = decode(data, limits)

    assert (picture.info.mode, picture.info.has_alpha) == ("RGBA", True)
    assert np.array_equal(picture.pixels, photo)
    assert np.array_equal(picture.alpha, photo[..., 0])


def test_the_first_picture_of_several_in_one_jpeg(photo, save, limits) -> None:
    data = save(photo, "MPO", save_all=True, append_images=[Image.fromarray(photo[::-1])])
    picture = decode(data, limits)

    assert (picture.info.format, picture.info.frames) == ("jpeg", 1)
    assert np.array_equal(picture.pixels, decode(save(photo, "JPEG"), limits).pixels)


def test_progressive_and_restart_markers(photo, save, limits) -> None:
    assert mean_error(decode(save(photo, "JPEG", progressive=True, quality=95), limits).pixels, photo) < 4
    assert (
        mean_error(decode(save(photo, "JPEG", restart_marker_rows=1, quality=95), limits).pixels, photo) < 4
    )


@pytest.mark.parametrize("mode", ["RGB", "L", "CMYK"])
@pytest.mark.parametrize("part", [0.6, 0.9, 0.98])
def test_a_cut_jpeg_that_was_closed_again_is_refused(save, limits, mode, part) -> None:
    data = save(Image.fromarray(astronaut()[:200, :200]).convert(mode), "JPEG", quality=90)
    closed = data[: int(len(data) * part)] + b"\xff\xd9"
    probe(closed, limits)

    with pytest.raises(ImageError) as caught:
        decode(closed, limits)
    assert caught.value.code == "image-truncated"


@pytest.mark.parametrize("part", [0.5, 0.9])
def test_a_jpeg_whose_scan_breaks_off_is_refused(save, limits, part) -> None:
    """OpenCV would give back what came before, and gray."""
    data = save(astronaut()[:200, :200], "JPEG", quality=90)
    at = int(len(data) * part)
    with pytest.raises(ImageError) as caught:
        decode(data[:at] + b"\xff\x30\0\2" + data[at:], limits)
    assert caught.value.code == "image-undecodable"


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"restart_marker_rows": 1}])
def test_a_jpeg_whose_last_pixel_is_the_fill_gray_is_not_taken_for_cut(save, limits, options) -> None:
    gray = np.full((80, 80, 3), 128, np.uint8)
    assert np.array_equal(decode(save(gray, "JPEG", **options), limits).pixels, gray)
    assert np.array_equal(decode(save(gray[..., 0], "JPEG", **options), limits).pixels, gray)
    gray[:40] = 30
    several = save(gray, "MPO", save_all=True, append_images=[Image.fromarray(gray)])
    assert decode(several, limits).pixels.shape == gray.shape


@pytest.mark.parametrize("interlaced", [0, 1])
@pytest.mark.parametrize("color", [0, 2, 3, 4, 6])
def test_a_png_whose_data_ends_in_good_order_but_too_early_is_refused(
    chunk, limits, interlaced, color
) -> None:
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color]
    # As stored: 24 x 17 in one piece, or in the seven of Adam7; zeros, which are what a decoder leaves unfilled.
    passes = [(3, 3), (3, 3), (6, 2), (6, 5), (12, 4), (12, 9), (24, 8)] if interlaced else [(24, 17)]
    rows = sum(height * (1 + width * channels) for width, height in passes)

    def file(size: int) -> bytes:
        header = struct.pack(">IIBBBBB", 24, 17, 8, color, 0, 0, interlaced)
        palette = chunk(b"PLTE", bytes(9)) if color == 3 else b""
        pixels = chunk(b"IDAT", zlib.compress(bytes(size)))
        return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + palette + pixels + chunk(b"IEND", b"")

    assert not decode(file(rows), limits).pixels.any()
    for missing in (1, rows // 2):
        with pytest.raises(ImageError) as caught:
            decode(file(rows - missing), limits)
        assert caught.value.code == "image-truncated"


def test_a_wrong_checksum_in_a_png_is_refused(photo, save, limits) -> None:
    data = bytearray(save(photo, "PNG"))
    data[data.index(b"IDAT") + 2000] ^= 1
    with pytest.raises(ImageError, match="the checksum of a IDAT chunk is wrong") as caught:
        decode(bytes(data), limits)
    assert caught.value.code == "image-undecodable"


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_a_fitting_profile_is_kept(photo, save, srgb, limits, kind) -> None:
    assert decode(save(photo, kind, icc_profile=srgb), limits).icc_profile == srgb


def test_a_profile_that_does_not_fit_is_dropped(photo, save, srgb, limits) -> None:
    assert decode(save(photo[..., 0], "PNG", icc_profile=srgb), limits).icc_profile is None
    assert decode(save(photo, "PNG", icc_profile=b"no profile at all"), limits).icc_profile is None


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_the_exif_block_is_kept_without_place_and_orientation(photo, save, camera, limits, kind) -> None:
    picture = decode(save(photo, kind, exif=camera(8)), limits)
    exif = Image.Exif()
    exif.load(picture.exif)

    assert exif[0x0112] == 1
    assert exif[0x010F] == "Maker"
    assert exif.get_ifd(0x8769) == {0x9003: "2024:05:06 07:08:09"}
    assert exif.get_ifd(0x8825) == {}
    assert b"serial 4711" not in picture.exif


def test_a_tiff_file_gives_its_description_as_exif(photo, save, limits) -> None:
    tags = Image.Exif()
    tags[0x0112], tags[0x013B] = 3, "Artist"
    exif = Image.Exif()
    exif.load(decode(save(photo, "TIFF", exif=tags), limits).exif)

    assert dict(exif) == {0x0112: 1, 0x013B: "Artist"}


@pytest.mark.parametrize("damage", [b"II*\0", b"II*\0\xff\xff\xff\xff", b"MM\0*\0\0\0\x08\xff\xff", b"none"])
def test_a_damaged_exif_block_is_dropped(photo, save, limits, damage) -> None:
    picture = decode(save(photo, "JPEG", exif=b"Exif\0\0" + damage), limits)

    assert picture.info.orientation == 1
    assert picture.exif is None


def test_many_threads_decode_as_one_does(photo, save, camera, limits) -> None:
    images = [photo, photo[..., 0], np.dstack((photo, photo[..., 0]))]
    files = [save(image, kind, exif=camera(5)) for image in images for kind in ("PNG", "WEBP", "AVIF")]
    files += [
        save(Image.fromarray(photo).convert("CMYK"), "JPEG"),
        save(photo, "TIFF", compression="tiff_lzw"),
    ]
    files += [save(photo, "JPEG", exif=camera(3)), save(photo, "BMP")]
    expected = [decode(data, limits).pixels for data in files]

    with ThreadPoolExecutor(8) as pool:
        found = list(
            pool.map(lambda index: decode(files[index % len(files)], limits).pixels, range(20 * len(files)))
        )

    assert all(np.array_equal(pixels, expected[index % len(files)]) for index, pixels in enumerate(found))
