"""Files made to break a decoder: refused, quickly, and with nothing but ImageError."""

from __future__ import annotations

import random
import struct
import threading
import time
import tracemalloc
import zlib
from collections.abc import Iterator
from itertools import islice
from typing import Any

import cv2
import numpy as np
import pytest
from PIL import Image
from refstar_service.images import OUTPUT_FORMATS, ImageError, ImageLimits, Picture, probe
from refstar_service.images.decode import decode
from refstar_service.images.encode import encode

# Wide enough for all mutations of small files, and every test ends in bounded memory.
SMALL = ImageLimits(max_pixels=1_000_000, max_side=2048)
MUTATIONS = 300


@pytest.fixture
def samples(photo, save, camera, srgb) -> dict[str, bytes]:
    image = Image.fromarray(photo)
    layered = np.dstack((photo, photo[..., 0]))
    kept = {"exif": camera(6), "icc_profile": srgb}
    deep = photo.astype(np.uint16) * 257
    return {
        "jpeg": save(photo, "JPEG", **kept),
        "jpeg-progressive": save(photo, "JPEG", progressive=True),
        "jpeg-cmyk": save(image.convert("CMYK"), "JPEG"),
        "jpeg-several": save(photo, "MPO", save_all=True, append_images=[image]),
        "png": save(layered, "PNG", **kept),
        "png-palette": save(image.quantize(16), "PNG", transparency=3),
        "png-16": cv2.imencode(".png", deep)[1].tobytes(),
        "webp": save(layered, "WEBP", **kept),
        "webp-lossless": save(layered, "WEBP", lossless=True),
        "tiff": save(photo, "TIFF", icc_profile=srgb),
        "tiff-lzw": save(layered, "TIFF", compression="tiff_lzw"),
        "tiff-jpeg": save(photo, "TIFF", compression="jpeg"),
        "tiff-16": cv2.imencode(".tiff", deep)[1].tobytes(),
        "bmp": save(photo, "BMP"),
        "bmp-palette": save(image.quantize(16), "BMP"),
        "avif": save(layered, "AVIF", **kept),
    }


def mutations(data: bytes, seed: str) -> Iterator[bytes]:
    """Cut, pieces removed, bytes changed anywhere, bytes changed in the header."""
    chance = random.Random(seed)
    for index in range(MUTATIONS):
        changed = bytearray(data)
        if index % 4 == 0:
            del changed[chance.randrange(len(data)) :]
        elif index % 4 == 1:
            start = chance.randrange(len(data))
            del changed[start : start + chance.randrange(1, 20)]
        else:
            reach = len(data) if index % 4 == 2 else min(len(data), 600)
            for _ in range(chance.choice((1, 2, 8))):
                changed[chance.randrange(reach)] = chance.choice((0, 255, chance.randrange(256)))
        yield bytes(changed)


@pytest.mark.parametrize(
    "name",
    [
        *("jpeg", "jpeg-progressive", "jpeg-cmyk", "jpeg-several", "png", "png-palette", "png-16"),
        *("webp", "webp-lossless", "tiff", "tiff-lzw", "tiff-jpeg", "tiff-16", "bmp", "bmp-palette", "avif"),
    ],
)
def test_a_damaged_file_is_refused_or_decodes(samples, name) -> None:
    outcomes, causes = set(), set()
    for data in mutations(samples[name], name):
        try:
            info = probe(data, SMALL)
        except ImageError as refused:
            info = None
            outcomes.add(str(refused.code))
        try:
            picture = decode(data, SMALL)
        except ImageError as refused:
            outcomes.add(str(refused.code))
            causes.add(type(refused.__cause__))
            continue
        assert isinstance(picture, Picture)
        assert picture.info == info
        assert picture.pixels.shape == (info.height, info.width, 3)
        assert picture.alpha is None or picture.alpha.shape == (info.height, info.width)
        outcomes.add("decoded")
    assert {"image-truncated", "image-undecodable"} <= outcomes
    assert "decoded" in outcomes or name.startswith("png")  # whose checksums leave hardly a change unseen
    # A warning of Pillow's, which is an error in tests, would have been taken for damage.
    assert not any(issubclass(cause, Warning) for cause in causes)


def test_a_picture_of_a_damaged_file_can_be_encoded(samples, limits) -> None:
    for data in islice(mutations(samples["jpeg"], "encode"), 0, None, 3):
        try:
            picture = decode(data, SMALL)
        except ImageError:
            continue
        for form in OUTPUT_FORMATS:
            encoded = encode(picture.pixels, format=form, like=picture)
            assert decode(encoded.data, limits).pixels.shape == picture.pixels.shape


def captioned(photo: np.ndarray, save: Any, camera: Any) -> dict[str, bytes]:
    """Files that are nearly all metadata, by a type that has room for each kind."""
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:tiff="http://ns.adobe.com/tiff/1.0/" xmlns:exif="http://ns.adobe.com/exif/1.0/" '
        b'tiff:Make="a maker" exif:GPSLatitude="48,51.5N"><tiff:Artist><rdf:Seq><rdf:li>Somebody</rdf:li></rdf:Seq>'
        b"</tiff:Artist></rdf:Description></rdf:RDF></x:xmpmeta>"
    )
    captions = b"\x1c\2\5\0\5title\x1c\2\x5a\0\5Paris\x1c\2\x74\0\5(c) x"
    resource = b"8BIM\4\4\0\0" + struct.pack(">I", len(captions)) + captions + bytes(len(captions) % 2)
    body = b"Photoshop 3.0\0" + resource
    segment = b"\xff\xed" + struct.pack(">H", len(body) + 2) + body
    options = {"exif": camera(6), "xmp": xmp, "extra": segment, "comment": "a comment", "dpi": (300, 300)}
    source = decode(save(photo[:16, :16], "JPEG", **options), SMALL)
    return {
        form: encode(source.pixels, format=form, like=source, keep_location=True).data
        for form in OUTPUT_FORMATS
    }


@pytest.mark.parametrize("form", OUTPUT_FORMATS)
def test_damaged_metadata_is_dropped_or_can_be_written(photo, save, camera, form) -> None:
    """Every byte outside the pixels is as likely to be changed; checksums of a PNG are made right again."""
    found = 0
    data = captioned(photo, save, camera)[form]
    for index, damaged in enumerate(mutations(data, f"metadata {form}")):
        try:
            picture = decode(summed(damaged) if form == "png" else damaged, SMALL)
        except ImageError:
            continue
        found += 1
        to = OUTPUT_FORMATS[index % len(OUTPUT_FORMATS)]
        again = decode(encode(picture.pixels, format=to, like=picture).data, SMALL)
        assert again.info.orientation == 1
        assert again.located == again.metadata
        located = encode(picture.pixels, format=to, like=picture, keep_location=True)
        assert decode(located.data, SMALL).pixels.shape == picture.pixels.shape
    assert found > MUTATIONS // 20


def summed(png: bytes) -> bytes:
    fixed, at = bytearray(png), 8
    while at + 12 <= len(png):
        end = at + 8 + int.from_bytes(png[at : at + 4])
        fixed[end : end + 4] = (
            struct.pack(">I", zlib.crc32(png[at + 4 : end])) if end + 4 <= len(png) else b""
        )
        at = end + 4
    return bytes(fixed)


def test_compressed_metadata_is_never_inflated_whole(photo, save, chunk, limits) -> None:
    png = save(photo, "PNG")
    bomb = zlib.compress(bytes(100 << 20), 9)
    chunks = chunk(b"iCCP", b"profile\0\0" + bomb)
    chunks += chunk(b"zTXt", b"comment\0\0" + bomb) + chunk(b"iTXt", b"comment\0\1\0\0\0" + bomb)
    data = png[:33] + chunks + png[33:]

    tracemalloc.start()
    try:
        picture = decode(data, limits)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()

    assert np.array_equal(picture.pixels, photo)
    assert picture.icc_profile is None
    assert peak < 10 << 20


def test_a_stream_larger_than_its_header_says_is_not_decoded(save) -> None:
    """Decoders scale an AVIF to the size in its header: first they would decode it at the stream's size."""
    data = bytearray(save(Image.new("RGB", (2048, 1024)), "AVIF", speed=10))
    at = data.index(b"ispe") + 8
    data[at : at + 8] = struct.pack(">II", 64, 64)

    with pytest.raises(ImageError) as caught:
        decode(bytes(data), ImageLimits(max_pixels=500_000))
    assert caught.value.code == "image-too-many-pixels"


def test_a_canvas_smaller_than_its_frame_is_refused(save, limits) -> None:
    data = bytearray(save(Image.new("RGBA", (400, 400), (1, 2, 3, 4)), "WEBP", exif=b"Exif\0\0II*\0"))
    assert data[12:16] == b"VP8X"
    data[24:30] = b"\x3f\0\0" * 2  # 64 x 64

    with pytest.raises(ImageError):
        decode(bytes(data), limits)


def test_a_progressive_jpeg_of_endless_scans_is_refused(photo, save, limits) -> None:
    data = save(photo, "JPEG", progressive=True)
    last = data.rindex(b"\xff\xda")
    scans = data[:-2] + data[last:-2] * 40 + data[-2:]
    probe(scans, limits)

    with pytest.raises(ImageError, match="more than 32 scans"):
        decode(scans, limits)


def test_tiff_tiles_of_any_size_are_not_allocated(photo, limits) -> None:
    tags = {256: 72, 257: 96, 258: 8, 259: 5, 262: 1, 277: 1, 322: 1 << 20, 323: 1 << 20, 324: 8, 325: 64}
    entries = b"".join(struct.pack("<HHII", tag, 4, 1, value) for tag, value in tags.items())
    data = b"II*\0\x48\0\0\0" + bytes(64) + struct.pack("<H", len(tags)) + entries + bytes(4)

    with pytest.raises(ImageError, match="tiles that are far larger"):
        probe(data, limits)


def test_tiff_strips_may_not_be_the_whole_file_each(photo, limits) -> None:
    count, size = 96, 20_000
    layout = 8 + size
    tags = [(256, 4, 1, 72), (257, 4, 1, 96), (258, 4, 1, 8), (259, 4, 1, 5), (262, 4, 1, 1)]
    tags += [(273, 4, count, layout), (277, 4, 1, 1), (278, 4, 1, 1), (279, 4, count, layout + 4 * count)]
    entries = b"".join(struct.pack("<HHII", *tag) for tag in tags)
    offsets = struct.pack("<I", 8) * count + struct.pack("<I", size) * count
    start = layout + len(offsets)
    data = b"II*\0" + struct.pack("<I", start) + bytes(size) + offsets
    data += struct.pack("<H", len(tags)) + entries + bytes(4)

    with pytest.raises(ImageError, match="strips that overlap"):
        probe(data, limits)


@pytest.mark.parametrize(
    "data",
    [
        b"\xff\xd8" + b"\xff" * 8_000_000,
        b"\xff\xd8" + b"\xff\0" * 4_000_000,
        b"\xff\xd8" + b"\xff\xfe\0\2" * 2_000_000,
        b"\x89PNG\r\n\x1a\n\0\0\0\x0dIHDR\0\0\1\0\0\0\1\0\x08\2\0\0\0abcd" + b"\0\0\0\0tEXtabcd" * 700_000,
        b"RIFF\xff\xff\xff\0WEBP" + b"JUNK\0\0\0\0" * 1_000_000,
        b"\0\0\0\x10ftypavif\0\0\0\0" + b"\0\0\0\x08free" * 1_000_000,
        b"II*\0\x08\0\0\0\xff\xff" + struct.pack("<HHII", 270, 1, 7_000_000, 0) * 65535 + bytes(8_000_000),
    ],
    ids=["padding", "noise", "comments", "chunks", "riff", "boxes", "entries"],
)
def test_a_reader_is_not_kept_busy(data, limits) -> None:
    start = time.thread_time()
    with pytest.raises(ImageError):
        probe(data, limits)
    assert time.thread_time() - start < 1


def test_probe_is_quick(samples, limits) -> None:
    for name, data in samples.items():
        start = time.thread_time()
        for _ in range(20):
            probe(data, limits)
        # A tenth of this on an idle machine.
        assert (time.thread_time() - start) / 20 < 0.005, name


def test_state_of_the_libraries_is_left_alone(samples, limits) -> None:
    from PIL import ImageFile

    before = (
        Image.MAX_IMAGE_PIXELS,
        ImageFile.LOAD_TRUNCATED_IMAGES,
        cv2.getNumThreads(),
        threading.active_count(),
    )
    for data in samples.values():
        decode(data, limits)
    after = (
        Image.MAX_IMAGE_PIXELS,
        ImageFile.LOAD_TRUNCATED_IMAGES,
        cv2.getNumThreads(),
        threading.active_count(),
    )

    assert after == before
    assert not ImageFile.LOAD_TRUNCATED_IMAGES
