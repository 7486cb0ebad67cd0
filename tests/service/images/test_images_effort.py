"""What reading a header takes, in time and memory, of files that are made to take much of both."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
from collections.abc import Sequence

import pytest
from heif_files import SIZE, HeifFile, associations, box
from PIL import Image
from refstar_service.images import ImageError, probe
from refstar_service.images.containers import jp2

#: Bytes of an upload that the gateway looks at without a thread.
SMALL = 256 * 1024


def references_to_alpha() -> bytes:
    """Each by an item that has thousands of properties."""
    references = [(b"auxl", 2, (1,))] * 3000
    return HeifFile(b"av01", SIZE, [(1,), (1,) * 16_000], references, [b"\x12\0"] * 2).written()


def one_profile_again_and_again() -> bytes:
    profile = box(b"colr", b"prof" + bytes(200_000))
    return HeifFile(b"av01", SIZE + profile, [(1, *(2,) * 16_000)]).written()


def items_without_properties() -> bytes:
    return HeifFile(b"av01", associated=associations([()] * 2048) * 37).written()


def units_that_all_items_share() -> bytes:
    units = struct.pack(">BH", 32, 36_000) + b"\0\3\x40\1\0" * 36_000
    configuration = box(b"hvcC", bytes(21) + b"\3\1" + units)
    items = 150
    return HeifFile(
        b"hvc1", SIZE + configuration, [(1, 2)] * items, (), [b"\0\0\0\3\x28\1\x80"] * items
    ).written()


def boxes_of_one_another() -> bytes:
    """Each reaches to the end of the file, and so over all that follow."""
    each = struct.pack(">I4sI4s", 16, b"jp2h", 1 << 30, b"res ")
    return jp2.SIGNATURE + each * 999


@pytest.mark.parametrize(
    "make",
    [
        references_to_alpha,
        one_profile_again_and_again,
        items_without_properties,
        units_that_all_items_share,
        boxes_of_one_another,
    ],
)
def test_a_small_file_takes_little_time_and_memory_whatever_it_is_made_of(make, limits) -> None:
    data = make()
    assert len(data) <= SMALL
    began = time.thread_time()
    outcome(data, limits)
    assert time.thread_time() - began < 0.25  # a fifth of this on an idle machine
    assert peak(data, limits) < 8 << 20


def outcome(data: bytes, limits) -> str:
    try:
        probe(data, limits)
    except ImageError as refused:
        return f"{refused.code}: {refused.detail}"
    return "taken"


def peak(data: bytes, limits) -> int:
    """Bytes that are allocated at once."""
    tracemalloc.start()
    try:
        outcome(data, limits)
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_parts_of_a_heif_file_are_counted_together(limits) -> None:
    few = HeifFile(b"av01", SIZE, [(1,)], [(b"cdsc", 1, (1,) * 10_000)] * 3).written()
    assert outcome(few, limits) == "taken"
    many = HeifFile(b"av01", SIZE, [(1,)], [(b"cdsc", 1, (1,) * 10_000)] * 4).written()
    assert outcome(many, limits) == "image-undecodable: The HEIF file has more than 32768 parts."


def test_a_picture_of_2000_tiles_and_its_alpha_is_taken(limits) -> None:
    tiles = 2040
    of_items = [(1, 2, 3, 4, 5)] * tiles
    references = [(b"dimg", 1, range(2, tiles + 1)), (b"auxl", 2, (1,))]
    properties = SIZE + box(b"pixi", bytes(8)) + box(b"pasp", bytes(8)) + box(b"av1C", bytes(4)) + SIZE
    grid = HeifFile(b"av01", properties, of_items, references, [b"\x12\0"] * tiles).written()
    assert outcome(grid, limits) == "taken"


def units_of_one_stream() -> bytes:
    return HeifFile(b"av01", streams=[b"\x7a\0" * 7_500_000]).written()


def units_of_many_streams() -> bytes:
    """No stream has more than a picture may have."""
    stream = b"\x7a\0" * 4000
    return HeifFile(b"av01", streams=[stream] * 2000).written()


def sizes_of_one_stream() -> bytes:
    """Every unit is another sequence header, as long as one may be."""
    start = b"\x0a\x64\3" + b"\xff" * 95
    return HeifFile(
        b"av01", streams=[b"".join(start + number.to_bytes(4) for number in range(150_000))]
    ).written()


GIF = b"GIF89a" + struct.pack("<HHBBB", 64, 64, 0, 0, 0)
FRAME = b"\x2c" + struct.pack("<HHHHB", 0, 0, 64, 64, 0) + b"\2\1\0\0"


def empty_extensions() -> bytes:
    return GIF + b"\x21\xf0\0" * 6_900_000 + FRAME + b";"


def directory(entries: Sequence[tuple[int, int, int, int]], following: int, *, big: bool = False) -> bytes:
    written = b"".join(struct.pack("<HHQQ" if big else "<HHII", *entry) for entry in entries)
    return (
        struct.pack("<Q" if big else "<H", len(entries))
        + written
        + struct.pack("<Q" if big else "<I", following)
    )


def tiff_of_copies(entries: Sequence[tuple[int, int, int, int]], *, big: bool = False) -> bytes:
    """Of 20 MB: a picture of 64 x 64, and 63 smaller copies with these entries."""
    layout = [
        (256, 4, 1, 64),
        (257, 4, 1, 64),
        (258, 3, 1, 8),
        (259, 3, 1, 1),
        (262, 3, 1, 1),
        (273, 4, 1, 1 << 23),
    ]
    layout += [(277, 3, 1, 1), (278, 4, 1, 64), (279, 4, 1, 64 * 64)]
    head = b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) if big else b"II*\0" + struct.pack("<I", 8)
    at = len(head) + len(directory(layout, 0, big=big))
    copy = [(254, 4, 1, 1), *entries]
    size = len(directory(copy, 0, big=big))
    copies = [directory(copy, at + n * size if n < 63 else 0, big=big) for n in range(1, 64)]
    return (head + directory(layout, at, big=big) + b"".join(copies)).ljust(20 << 20, b"\0")


def copies_of_all_bytes() -> bytes:
    return tiff_of_copies([(60_000, 7, 20_000_000, 50)])


def copies_of_long_numbers() -> bytes:
    return tiff_of_copies([(60_000 + number, 16, 1 << 16, 60_000) for number in range(39)], big=True)


def comments_that_say_nothing() -> bytes:
    start, rest = photograph()
    segment = b"\xff\xfe" + struct.pack(">H", 2 + 16_384) + b"\1" * 16_384
    return start + segment * 1270 + rest


def photograph() -> tuple[bytes, bytes]:
    """A JPEG: its first marker, and the rest."""
    written = io.BytesIO()
    Image.new("RGB", (64, 64)).save(written, "JPEG")
    return written.getvalue()[:2], written.getvalue()[2:]


@pytest.mark.parametrize(
    "make",
    [
        units_of_one_stream,
        units_of_many_streams,
        sizes_of_one_stream,
        empty_extensions,
        copies_of_all_bytes,
        copies_of_long_numbers,
        comments_that_say_nothing,
    ],
)
def test_a_large_file_takes_little_time_and_memory_whatever_it_is_made_of(make, limits) -> None:
    data = make()
    assert len(data) <= limits.max_bytes
    began = time.thread_time()
    outcome(data, limits)
    assert time.thread_time() - began < 0.5  # a fifth of this on an idle machine
    assert peak(data, limits) < 2.5 * len(data) + (4 << 20)


def test_a_gif_of_many_blocks_is_taken_or_told_to_be_animated(limits) -> None:
    extensions = b"\x21\xf0\0" * 999
    assert outcome(GIF + extensions + FRAME + b";", limits) == "taken"
    assert outcome(GIF + extensions * 2 + FRAME + b";", limits).endswith(
        "The GIF file has more than 1000 blocks."
    )
    assert outcome(GIF + (extensions[:9] + FRAME) * 5000 + b";", limits).startswith("image-animated")
