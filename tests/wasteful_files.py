"""Files that are made to take much time or memory to read, each in the way that its function is named after."""

from __future__ import annotations

import io
import struct
import zlib
from collections.abc import Callable, Sequence

from heif_files import SIZE, HeifFile, associations, box
from PIL import Image

GIF = b"GIF89a" + struct.pack("<HHBBB", 64, 64, 0, 0, 0)
FRAME = b"\x2c" + struct.pack("<HHHHB", 0, 0, 64, 64, 0) + b"\2\1\0\0"
_JP2 = b"\0\0\0\x0cjP  \r\n\x87\n"
_PNG = b"\x89PNG\r\n\x1a\n"
#: Eight blocks of deflate, each with codes of its own and no byte that is coded by them.
_NOTHING = 2 * bytes.fromhex(
    "04c081000000000090ff6b100007020000000040feaf41001c080000000000f9bf060170200000000000e4ff1a"
)

Entries = Sequence[tuple[int, int, int, int]]  # tag, type, count, value or offset


# ---- of at most 256 KiB: what the gateway looks at without a thread


def references_to_alpha() -> bytes:
    """Each by an item that has thousands of properties."""
    references = [(b"auxl", 2, (1,))] * 3000
    return HeifFile(b"av01", SIZE, [(1,), (1,) * 16_000], references, [b"\x12\0"] * 2).written()


def references_of_many_items() -> bytes:
    references = [(b"auxl", item, (1,)) for item in range(2, 15_000)]
    return HeifFile(b"av01", references=references).written()


def pieces_that_take_no_byte() -> bytes:
    """A file of 200 bytes says that its item has so many."""
    written = HeifFile(b"av01").written()
    places = written.index(b"iloc") + 8
    return written[:places] + b"\0\0\0\1" + struct.pack(">HHH", 1, 0, 32_000) + written[places + 10 :]


def one_profile_again_and_again() -> bytes:
    profile = box(b"colr", b"prof" + bytes(200_000))
    return HeifFile(b"av01", SIZE + profile, [(1, *(2,) * 16_000)]).written()


def items_without_properties() -> bytes:
    return HeifFile(b"av01", associated=associations([()] * 2048) * 37).written()


def units_that_all_items_share() -> bytes:
    units = struct.pack(">BH", 32, 36_000) + b"\0\3\x40\1\0" * 36_000
    configuration = box(b"hvcC", bytes(21) + b"\3\1" + units)
    streams = [b"\0\0\0\3\x28\1\x80"] * 150
    return HeifFile(b"hvc1", SIZE + configuration, [(1, 2)] * 150, (), streams).written()


def boxes_of_one_another() -> bytes:
    """Each reaches to the end of the file, and so over all that follow."""
    return _JP2 + struct.pack(">I4sI4s", 16, b"jp2h", 1 << 30, b"res ") * 999


def small_extensions() -> bytes:
    return GIF + b"\x21\xfe\1\1\0" * 52_000 + FRAME + b";"


def small_pieces() -> bytes:
    return GIF + b"\x21\xf0" + b"\1x" * 130_000 + b"\0" + FRAME + b";"


def small_chunks() -> bytes:
    return _png(_chunk(b"teXt", b"") * 19_900)


def small_segments() -> bytes:
    start, rest = _photograph()
    return start + b"\xff\xe5\0\2" * 9900 + rest


def small_directories() -> bytes:
    """Every tag of all of them is looked at."""
    return _tiff_of_copies([(60_000 + number, 4, 1, 1) for number in range(1000)], copies=20, size=256 << 10)


def a_small_text_of_no_letters() -> bytes:
    return _png(_chunk(b"zTXt", b"Comment\0\0\x78\x9c" + _NOTHING * 2800))


# ---- of at most 20 MiB


def units_of_one_stream() -> bytes:
    return HeifFile(b"av01", streams=[b"\x7a\0" * 7_500_000]).written()


def units_of_many_streams() -> bytes:
    """No stream has more than a picture may have."""
    return HeifFile(b"av01", streams=[b"\x7a\0" * 4000] * 2000).written()


def sizes_of_one_stream() -> bytes:
    """Every unit is another sequence header, as long as one may be."""
    start = b"\x0a\x64\3" + b"\xff" * 95
    stream = b"".join(start + number.to_bytes(4) for number in range(150_000))
    return HeifFile(b"av01", streams=[stream]).written()


def empty_extensions() -> bytes:
    return GIF + b"\x21\xf0\0" * 6_900_000 + FRAME + b";"


def copies_of_all_bytes() -> bytes:
    return _tiff_of_copies([(60_000, 7, 20_000_000, 50)])


def copies_of_long_numbers() -> bytes:
    return _tiff_of_copies([(60_000 + number, 16, 1 << 16, 60_000) for number in range(39)], big=True)


def exif_of_long_values() -> bytes:
    entries = [(274, 3, 1, 6), (34_665, 4, 1, 8), (34_853, 4, 1, 8), (60_000, 7, 19_900_000, 99)]
    block = b"II*\0\x08\0\0\0" + _directory(entries, 0, False)
    return _png(_chunk(b"eXIf", block.ljust(20_000_000, b"\0")))


def comments_that_say_nothing() -> bytes:
    start, rest = _photograph()
    return start + (b"\xff\xfe" + struct.pack(">H", 2 + 16_384) + b"\1" * 16_384) * 1270 + rest


def a_text_of_no_letters() -> bytes:
    return _png(_chunk(b"zTXt", b"Comment\0\0\x78\x9c" + _NOTHING * 220_000))


SMALL: tuple[Callable[[], bytes], ...] = (
    references_to_alpha,
    references_of_many_items,
    pieces_that_take_no_byte,
    one_profile_again_and_again,
    items_without_properties,
    units_that_all_items_share,
    boxes_of_one_another,
    small_extensions,
    small_pieces,
    small_chunks,
    small_segments,
    small_directories,
    a_small_text_of_no_letters,
)
LARGE: tuple[Callable[[], bytes], ...] = (
    units_of_one_stream,
    units_of_many_streams,
    sizes_of_one_stream,
    empty_extensions,
    copies_of_all_bytes,
    copies_of_long_numbers,
    exif_of_long_values,
    comments_that_say_nothing,
    a_text_of_no_letters,
)


def _png(chunks: bytes) -> bytes:
    """Of 64 x 64, without pixels."""
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", 64, 64, 8, 2, 0, 0, 0))
    return _PNG + header + chunks + _chunk(b"IEND", b"")


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def _photograph() -> tuple[bytes, bytes]:
    """A JPEG: its first marker, and the rest."""
    written = io.BytesIO()
    Image.new("RGB", (64, 64)).save(written, "JPEG")
    return written.getvalue()[:2], written.getvalue()[2:]


def _tiff_of_copies(entries: Entries, *, big: bool = False, copies: int = 63, size: int = 20 << 20) -> bytes:
    """A picture of 64 x 64, and smaller copies of it with these entries."""
    layout = [(256, 4, 1, 64), (257, 4, 1, 64), (258, 3, 1, 8), (259, 3, 1, 1), (262, 3, 1, 1)]
    layout += [(273, 4, 1, size // 2), (277, 3, 1, 1), (278, 4, 1, 64), (279, 4, 1, 64 * 64)]
    start = b"II+\0\x08\0\0\0" + struct.pack("<Q", 16) if big else b"II*\0" + struct.pack("<I", 8)
    at = len(start) + len(_directory(layout, 0, big))
    copy = [(254, 4, 1, 1), *entries]
    each = len(_directory(copy, 0, big))
    more = [_directory(copy, at + n * each if n < copies else 0, big) for n in range(1, copies + 1)]
    return b"".join([start, _directory(layout, at, big), *more]).ljust(size, b"\0")


def _directory(entries: Entries, following: int, big: bool) -> bytes:
    count, entry, offset = ("<Q", "<HHQQ", "<Q") if big else ("<H", "<HHII", "<I")
    written = b"".join(struct.pack(entry, *one) for one in entries)
    return struct.pack(count, len(entries)) + written + struct.pack(offset, following)
