"""What reading a header takes, in time and memory, of files that are made to take much of both."""

from __future__ import annotations

import time
import tracemalloc
from collections.abc import Callable

import pytest
from heif_files import SIZE, HeifFile, box
from refstar_service.gateway.requests.form import SCANNED_ON_LOOP
from refstar_service.images import ImageError, ImageLimits, probe
from wasteful_files import FRAME, GIF, LARGE, SMALL


def outcome(data: bytes, limits: ImageLimits) -> str:
    try:
        probe(data, limits)
    except ImageError as refused:
        return f"{refused.code}: {refused.detail}"
    return "taken"


def seconds(data: bytes, limits: ImageLimits) -> float:
    """Of the processor."""
    began = time.thread_time()
    outcome(data, limits)
    return time.thread_time() - began


def peak(data: bytes, limits: ImageLimits) -> int:
    """Bytes that are allocated at once."""
    tracemalloc.start()
    try:
        outcome(data, limits)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("make", SMALL)
def test_a_small_file_takes_little_time_and_memory_whatever_it_is_made_of(
    make: Callable[[], bytes], limits: ImageLimits
) -> None:
    data = make()
    assert len(data) <= SCANNED_ON_LOOP
    assert seconds(data, limits) < 0.2  # a fifth of this on an idle machine
    assert peak(data, limits) < 8 << 20


@pytest.mark.parametrize("make", LARGE)
def test_a_large_file_takes_little_time_and_memory_whatever_it_is_made_of(
    make: Callable[[], bytes], limits: ImageLimits
) -> None:
    data = make()
    assert limits.max_bytes * 2 / 3 < len(data) <= limits.max_bytes
    assert seconds(data, limits) < 0.5  # a fifth of this on an idle machine
    assert peak(data, limits) < 2.5 * limits.max_bytes


def test_parts_of_a_heif_file_are_counted_together(limits: ImageLimits) -> None:
    few = HeifFile(b"av01", references=[(b"cdsc", 1, (1,) * 10_000)] * 3).written()
    assert outcome(few, limits) == "taken"
    many = HeifFile(b"av01", references=[(b"cdsc", 1, (1,) * 10_000)] * 4).written()
    assert outcome(many, limits) == "image-undecodable: The HEIF file has more than 32768 parts."


def test_a_picture_of_2000_tiles_and_its_alpha_is_taken(limits: ImageLimits) -> None:
    tiles = 2040
    of_items = [(1, 2, 3, 4, 5)] * tiles
    references = [(b"dimg", 1, range(2, tiles + 1)), (b"auxl", 2, (1,))]
    properties = SIZE + box(b"pixi", bytes(8)) + box(b"pasp", bytes(8)) + box(b"av1C", bytes(4)) + SIZE
    grid = HeifFile(b"av01", properties, of_items, references, [b"\x12\0"] * tiles).written()
    assert outcome(grid, limits) == "taken"


def test_a_gif_of_many_blocks_is_taken_or_told_to_be_animated(limits: ImageLimits) -> None:
    extension = b"\x21\xf0\0"
    assert outcome(GIF + extension * 999 + FRAME + b";", limits) == "taken"
    refusal = "image-undecodable: The GIF file has more than 1000 blocks."
    assert outcome(GIF + extension * 1000 + FRAME + b";", limits) == refusal
    assert outcome(GIF + (extension * 3 + FRAME) * 5000 + b";", limits).startswith("image-animated")
