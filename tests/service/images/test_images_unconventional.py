"""Files that are complete and not as most programs write them."""

from __future__ import annotations

import struct

import numpy as np
import pytest
from PIL import Image
from refstar_service.images import ImageError, probe, resolve_format
from refstar_service.images.decode import decode
from skimage.data import astronaut

JPEGS = [
    {"quality": 90},
    {"progressive": True},
    {"restart_marker_rows": 1},
    {"quality": 60, "subsampling": 2, "progressive": True},
]


def face() -> Image.Image:
    return Image.fromarray(astronaut()[:200, :200])


@pytest.mark.parametrize("behind", [b"", b"\xff", bytes(3), bytes(5000)], ids=["cut", "half", "few", "zeros"])
@pytest.mark.parametrize("options", JPEGS)
def test_a_jpeg_without_an_end_marker_is_taken_if_its_data_is_complete(save, limits, options, behind) -> None:
    whole = save(face(), "JPEG", **options)
    assert probe(whole[:-2] + behind, limits).format == "jpeg"
    assert np.array_equal(decode(whole[:-2] + behind, limits).pixels, decode(whole, limits).pixels)


@pytest.mark.parametrize("behind", [b"", bytes(5000)], ids=["cut", "zeros"])
@pytest.mark.parametrize("options", JPEGS)
def test_a_jpeg_without_an_end_marker_is_refused_if_anything_is_missing(
    save, limits, options, behind
) -> None:
    body = save(face(), "JPEG", **options)[:-2]
    for missing in (2, 3, 5, 8, 20, 100, len(body) // 3):
        with pytest.raises(ImageError) as caught:
            decode(body[:-missing] + behind, limits)
        assert caught.value.code == "image-truncated", missing


def test_a_progressive_jpeg_that_ends_between_two_scans_is_refused(save, limits) -> None:
    data = save(face(), "JPEG", progressive=True)
    with pytest.raises(ImageError, match="before its last scan") as caught:
        decode(data[: data.rindex(b"\xff\xda")], limits)
    assert caught.value.code == "image-truncated"


def tiff_of(*directories: dict[int, int], big: bool = False) -> bytes:
    """Gray strips, and a directory for each."""
    head = struct.pack("<2sHHHQ", b"II", 43, 8, 0, 0) if big else struct.pack("<2sHI", b"II", 42, 0)
    body, places = b"", []
    for tags in directories:
        size = tags[256] * tags[257]
        places.append(len(head) + len(body))
        body += bytes((np.arange(size) % 251).astype(np.uint8)) + b"\0" * (size % 2)
    at = len(head) + len(body)
    start = at
    for number, tags in enumerate(directories):
        layout = {258: 8, 259: 1, 262: 1, 273: places[number], 277: 1, 279: tags[256] * tags[257]} | tags
        length = 8 + 20 * len(layout) + 8 if big else 2 + 12 * len(layout) + 4
        following = at + length if number + 1 < len(directories) else 0
        body += struct.pack("<Q" if big else "<H", len(layout))
        for tag, value in sorted(layout.items()):
            body += struct.pack("<HHQQ", tag, 16, 1, value) if big else struct.pack("<HHII", tag, 4, 1, value)
        body += struct.pack("<Q" if big else "<I", following)
        at += length
    return (head[:8] + struct.pack("<Q", start) if big else head[:4] + struct.pack("<I", start)) + body


PICTURE, COPY = {256: 64, 257: 48}, {256: 32, 257: 24}


@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize(
    "others",
    [
        [COPY | {254: 1}],
        [COPY | {254: 1}, {256: 16, 257: 12, 254: 1}],
        [PICTURE | {254: 4}],  # a mask
        [COPY | {255: 2}],
    ],
)
@pytest.mark.parametrize("first", [True, False])
def test_smaller_copies_and_masks_in_a_tiff_are_passed_over(limits, others, big, first) -> None:
    data = tiff_of(*([PICTURE, *others] if first else [*others, PICTURE]), big=big)
    picture = decode(data, limits)
    assert (picture.info.width, picture.info.height, picture.info.frames) == (64, 48, 1)
    assert np.array_equal(picture.pixels[..., 0].ravel(), np.arange(64 * 48) % 251)


@pytest.mark.parametrize("kinds", [(0, 0), (2, 2), (0, 1, 2)])
def test_pages_of_a_tiff_are_no_copies(limits, kinds) -> None:
    with pytest.raises(ImageError) as caught:
        probe(tiff_of(*(PICTURE | {254: kind} for kind in kinds)), limits)
    assert caught.value.code == "image-animated"


def test_directories_in_a_circle_end(limits) -> None:
    data = bytearray(tiff_of(PICTURE))
    data[-4:] = data[4:8]
    assert decode(bytes(data), limits).info.frames == 1


@pytest.mark.parametrize("offset", [1 << 40, (1 << 63) + 1, (1 << 64) - 1])
def test_a_bigtiff_that_points_beyond_every_file_is_refused(limits, offset) -> None:
    data = bytearray(tiff_of(PICTURE, big=True))
    struct.pack_into("<Q", data, 8, offset)
    with pytest.raises(ImageError) as caught:
        probe(bytes(data), limits)
    assert caught.value.code == "image-truncated"


def test_a_bigtiff_of_pillow_keeps_its_profile_and_description(photo, save, srgb, limits) -> None:
    tags = Image.Exif()
    tags[0x013B] = "Artist"
    data = save(photo, "TIFF", big_tiff=True, icc_profile=srgb, exif=tags)
    assert data[:4] == b"II+\0"
    picture = decode(data, limits)
    assert np.array_equal(picture.pixels, photo)
    assert picture.icc_profile == srgb
    assert b"Artist" in (picture.exif or b"")


@pytest.mark.parametrize("compression", ["tiff_ccitt", "group3", "group4"])
def test_a_fax_is_black_and_white(photo, save, limits, compression) -> None:
    image = Image.fromarray(photo).convert("1")
    picture = decode(save(image, "TIFF", compression=compression), limits)
    assert (picture.info.mode, picture.grayscale) == ("1", True)
    assert np.array_equal(picture.pixels[..., 1], np.asarray(image) * np.uint8(255))


@pytest.mark.parametrize("mode", ["L", "LA", "RGB", "RGBA"])
@pytest.mark.parametrize("options", [{}, {"no_jp2": True}, {"tile_size": (40, 40)}])
def test_jpeg_2000(photo, save, limits, mode, options) -> None:
    image = Image.fromarray(np.dstack((photo, photo[..., 0]))).convert(mode)
    picture = decode(save(image, "JPEG2000", **options), limits)
    assert (picture.info.format, picture.info.mode) == ("jp2", mode)
    assert np.array_equal(picture.pixels, np.asarray(image.convert("RGB")))
    assert picture.grayscale == (mode in ("L", "LA"))
    if mode in ("LA", "RGBA"):
        assert np.array_equal(picture.alpha, photo[..., 0])


def test_jpeg_2000_of_16_bits_is_rounded_not_cut(save, limits) -> None:
    values = np.random.default_rng(1).integers(0, 1 << 16, (32, 24), np.uint16)
    picture = decode(save(Image.fromarray(values), "JPEG2000"), limits)
    assert np.array_equal(picture.pixels[..., 0], np.rint(values / 257))


def jp2_box(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(body), kind) + body


def test_what_a_jpeg_2000_file_carries_is_kept(photo, save, camera, srgb, limits) -> None:
    data = save(photo, "JPEG2000")
    start, end = data.index(b"jp2h") + 4, data.index(b"jp2c") - 4
    # 300 pixels per inch are 11811 per meter.
    resolution = jp2_box(b"res ", jp2_box(b"resc", struct.pack(">HHHHbb", 11811, 1, 11811, 1, 0, 0)))
    profiled = (
        jp2_box(b"ihdr", data[start + 8 : start + 22]) + jp2_box(b"colr", b"\2\0\0" + srgb) + resolution
    )
    exif = jp2_box(b"uuid", b"JpgTiffExif->JP2" + camera(6).removeprefix(b"Exif\0\0"))
    picture = decode(data[: start - 8] + jp2_box(b"jp2h", profiled) + exif + data[end:], limits)
    assert picture.pixels.shape == (72, 96, 3)
    assert picture.icc_profile == srgb
    assert b"Maker" in (picture.exif or b"")
    assert picture.metadata.resolution == pytest.approx((300, 300), abs=0.01)


def test_a_jpeg_2000_file_that_ends_early_is_refused(photo, save, limits) -> None:
    data = save(photo, "JPEG2000")
    for missing in (1, 2, 3, 100, len(data) // 2):
        with pytest.raises(ImageError) as caught:
            decode(data[:-missing], limits)
        assert caught.value.code == "image-truncated"


def test_tiles_without_number_are_refused(photo, save, limits) -> None:
    data = bytearray(save(photo, "JPEG2000", no_jp2=True))
    struct.pack_into(">2I", data, 24, 1, 1)  # tiles of one pixel
    with pytest.raises(ImageError, match="6912 tiles"):
        probe(bytes(data), limits)


def test_a_gif_still(photo, save, limits) -> None:
    image = Image.fromarray(photo).quantize(16)
    picture = decode(save(image, "GIF", comment=b"a comment"), limits)
    assert (picture.info.format, picture.info.has_alpha) == ("gif", False)
    assert np.array_equal(picture.pixels, np.asarray(image.convert("RGB")))
    assert picture.metadata.texts == {"Comment": "a comment"}

    picture = decode(save(image, "GIF", transparency=3), limits)
    assert np.array_equal(picture.alpha == 0, np.asarray(image) == 3)


def test_a_gif_that_ends_early_is_refused(photo, save, limits) -> None:
    data = save(Image.fromarray(photo).quantize(64), "GIF")
    decode(data[:-1], limits)  # nothing but its last byte, which says that no more comes
    for missing in (2, 3, 100, len(data) // 2):
        with pytest.raises(ImageError) as caught:
            decode(data[:-missing], limits)
        assert caught.value.code == "image-truncated"


@pytest.mark.parametrize(("kind", "result"), [("GIF", "png"), ("JPEG2000", "png")])
def test_types_that_are_not_written_come_back_as_another(photo, save, limits, kind, result) -> None:
    assert resolve_format("same", probe(save(photo, kind), limits)) == result


def test_pictures_of_phones_with_50_megapixels_are_within_the_default_limits(save, limits) -> None:
    for width, height in ((8192, 6144), (8160, 6120), (8320, 6240)):
        data = bytearray(save(Image.new("L", (64, 64)), "PNG"))
        struct.pack_into(">II", data, 16, width, height)
        assert probe(bytes(data), limits).width == width
