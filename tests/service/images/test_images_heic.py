"""HEIC, with files that pillow-heif's encoder made of the test photograph: the extra brings decoders only.

camera: EXIF turned, a place, a profile. grid: nine tiles. pq: 10 bits, BT.2020 and PQ told in numbers. alpha, gray.
"""

from __future__ import annotations

import random
import struct
from pathlib import Path

import numpy as np
import pytest
from refstar_service.images import ImageError, ImageLimits, formats, heic_decoder, probe, resolve_format
from refstar_service.images.containers import hevc
from refstar_service.images.containers.heif import Items
from refstar_service.images.decode import decode
from skimage.data import astronaut

FOLDER = Path(__file__).parent / "heic"
NAMES = ("camera", "gray", "alpha", "pq", "grid")
SMALL = ImageLimits(max_pixels=1_000_000, max_side=2048)

decoding = pytest.mark.skipif(not heic_decoder.available(), reason="the extra `heic` is not installed")


def file(name: str) -> bytes:
    return (FOLDER / f"{name}.heic").read_bytes()


def mean_error(pixels: np.ndarray, expected: np.ndarray) -> float:
    return float(np.abs(pixels.astype(float) - expected).mean())


@decoding
def test_a_phones_picture_is_upright_with_what_it_carries(photo, srgb) -> None:
    picture = decode(file("camera"), SMALL)
    assert (picture.info.format, picture.info.media_type) == ("heic", "image/heic")
    assert mean_error(picture.pixels, np.rot90(photo, -1)) < 4
    assert picture.icc_profile is not None
    assert len(picture.icc_profile) == len(srgb)
    assert b"Maker" in picture.metadata.exif
    assert b"N\0" not in picture.metadata.exif
    assert picture.located.exif != picture.metadata.exif


@decoding
def test_tiles_are_put_together(limits) -> None:
    picture = decode(file("grid"), limits)
    assert mean_error(picture.pixels, astronaut()[40:232, 160:304]) < 5


@decoding
def test_gray_and_alpha(photo) -> None:
    gray = decode(file("gray"), SMALL)
    assert gray.grayscale
    assert gray.info.mode == "L"
    layered = decode(file("alpha"), SMALL)
    assert mean_error(layered.pixels, photo) < 5
    assert mean_error(layered.alpha, photo[..., 0]) < 5


@decoding
def test_pq_of_10_bits_is_brought_to_the_usual_curve_with_a_profile() -> None:
    picture = decode(file("pq"), SMALL)
    assert picture.info.bits == 10
    assert picture.icc_profile is not None
    assert picture.pixels.max() > 250
    # Half the signal of PQ are 92 cd/m2, a third of the light of white.
    assert np.median(picture.pixels) > 128


@decoding
@pytest.mark.parametrize("name", NAMES)
def test_header_and_pixels_agree(name) -> None:
    info = probe(file(name), SMALL)
    assert decode(file(name), SMALL).pixels.shape == (info.height, info.width, 3)


@decoding
def test_the_result_is_a_jpeg_or_with_alpha_a_png() -> None:
    assert resolve_format("same", probe(file("camera"), SMALL)) == "jpeg"
    assert resolve_format("same", probe(file("alpha"), SMALL)) == "png"


@decoding
def test_a_cut_file_is_refused() -> None:
    data = file("grid")
    for part in (0.1, 0.5, 0.9, 0.999):
        with pytest.raises(ImageError) as caught:
            probe(data[: int(part * len(data))], SMALL)
        assert caught.value.code == "image-truncated"


@decoding
def test_limits_hold_for_the_streams_too() -> None:
    data = bytearray(file("gray"))
    at = data.index(b"ispe") + 8
    assert struct.unpack_from(">II", data, at) == (72, 96)
    struct.pack_into(">II", data, at, 20, 20)  # the box is small, the stream is not
    with pytest.raises(ImageError) as caught:
        probe(bytes(data), ImageLimits(max_pixels=1000))
    assert caught.value.code == "image-too-many-pixels"


def test_the_size_of_a_stream_is_read_from_its_parameters() -> None:
    items = Items.of(file("gray"))
    configuration = items.configuration(b"hvcC")
    (stream,) = items.of_kind(b"hvc1").values()
    streams = hevc.Streams()
    assert streams.coded_pixels(streams.configuration(configuration), stream) == 72 * 96
    assert hevc.depth(configuration) == (8, True)


@decoding
def test_damaged_files_are_refused_or_decode() -> None:
    """Headers many times over, since they are read here; pictures a few times, since each takes a process."""
    chance = random.Random(7)
    outcomes = set()
    for index in range(600):
        data = bytearray(file(NAMES[index % len(NAMES)]))
        for _ in range(chance.choice((1, 2, 8))):
            reach = len(data) if index % 2 else min(len(data), 900)
            data[chance.randrange(reach)] = chance.choice((0, 255, chance.randrange(256)))
        try:
            probe(bytes(data), SMALL)
            if index % 100 < 4:
                decode(bytes(data), SMALL)
            outcomes.add("taken")
        except ImageError as refused:
            outcomes.add(str(refused.code))
    assert {"taken", "image-truncated", "image-undecodable"} <= outcomes


@decoding
def test_a_decoder_that_wants_too_much_memory_ends_and_nothing_else(monkeypatch) -> None:
    monkeypatch.setattr(heic_decoder, "_MEMORY", 1 << 20)
    monkeypatch.setattr(heic_decoder, "_PER_PIXEL", 0)
    with pytest.raises(ImageError) as caught:
        decode(file("grid"), SMALL)
    assert caught.value.code == "image-undecodable"
    monkeypatch.undo()
    assert decode(file("grid"), SMALL).info.width == 144


@decoding
def test_a_decoder_that_takes_too_long_is_ended(monkeypatch) -> None:
    monkeypatch.setattr(heic_decoder, "_SECONDS", 0.001)
    with pytest.raises(ImageError, match="takes too long") as caught:
        decode(file("grid"), SMALL)
    assert caught.value.code == "image-undecodable"


def test_without_the_extra_the_answer_names_it(monkeypatch) -> None:
    monkeypatch.setattr(formats.heic_decoder, "available", lambda: False)
    with pytest.raises(ImageError, match="extra `heic`") as caught:
        probe(file("camera"), SMALL)
    assert caught.value.code == "image-type-unsupported"
