"""HEVC streams: how many pixels they make a decoder produce."""

import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from refstar_service.images.containers.bits import Bits
from refstar_service.images.containers.budget import Budget

_SEQUENCE_PARAMETERS = 33  # type of the unit that says the size
_SLICES = range(22)  # types of those that hold pictures
_PROFILE_BITS, _LEVEL_BITS = 88, 8
_MOST_UNITS = 20_000  # ten for each of the most tiles
_MOST_SIZES = 64  # different sequence parameters: all tiles have the same, and so have all of their alpha
_LONGEST_UNIT = 256  # bytes that are looked at: what matters lies in front


@dataclass(frozen=True)
class Coded:
    """What some units say: pixels of the ``largest`` picture that they allow, and how many ``pictures`` they hold."""

    largest: int = 0
    pictures: int = 0


@dataclass(frozen=True)
class Configuration:
    """What a `hvcC` says of the streams that it belongs to: the same, and bytes of the length before each unit."""

    coded: Coded
    length_size: int


class Streams:
    """Those of one file. Together they, and the configurations, may have so many units; sequence parameters that are
    alike are read once. All methods raise ImageError, and struct.error or IndexError for what ends early."""

    def __init__(self) -> None:
        self._units = Budget(_MOST_UNITS, "HEIC", "units in its streams")
        self._different = Budget(_MOST_SIZES, "HEIC", "different sequence parameters")
        self._sizes: dict[bytes, int] = {}  # sequence parameters -> pixels

    def configuration(self, box: bytes) -> Configuration:
        """From the body of a `hvcC`."""
        length_size = (box[21] & 3) + 1
        return Configuration(self._read(_configured(box)), length_size)

    def coded_pixels(self, configuration: Configuration, stream: bytes) -> int:
        """The largest picture that the configuration or the stream allow, times the pictures."""
        before, found = configuration.coded, self._read(_units(stream, configuration.length_size))
        return max(before.largest, found.largest) * max(before.pictures + found.pictures, 1)

    def _read(self, units: Iterable[bytes]) -> Coded:
        largest = pictures = 0
        for unit in units:
            self._units.spend()
            kind = unit[0] >> 1 & 63
            if kind == _SEQUENCE_PARAMETERS:
                largest = max(largest, self._size(unit))
            elif kind in _SLICES:
                pictures += unit[2] >> 7  # the first slice of one
        return Coded(largest, pictures)

    def _size(self, unit: bytes) -> int:
        if unit not in self._sizes:
            self._different.spend()
            self._sizes[unit] = _picture(unit)
        return self._sizes[unit]


def depth(configuration: bytes) -> tuple[int, bool]:
    """(bits, gray) of a configuration."""
    return 8 + (configuration[17] & 7), configuration[16] & 3 == 0


def _configured(box: bytes) -> Iterator[bytes]:
    at = 23
    for _ in range(box[22]):
        (count,) = struct.unpack_from(">H", box, at + 1)
        at += 3
        for _ in range(count):
            (length,) = struct.unpack_from(">H", box, at)
            yield _unit(box, at + 2, length)
            at += 2 + length


def _units(stream: bytes, size: int) -> Iterator[bytes]:
    at = 0
    while at + size < len(stream):
        length = int.from_bytes(stream[at : at + size])
        at += size
        yield _unit(stream, at, length)
        at += length


def _unit(data: bytes, at: int, length: int) -> bytes:
    """Its first bytes; IndexError for one without its header."""
    if length < 3:
        raise IndexError("a unit without its header")
    return data[at : at + min(length, _LONGEST_UNIT)]


def _picture(unit: bytes) -> int:
    """pic_width_in_luma_samples x pic_height_in_luma_samples (section 7.3.2.2 of the specification)."""
    bits = Bits(unit[2:].replace(b"\0\0\3", b"\0\0"), _LONGEST_UNIT)
    bits.take(4)  # video parameter set
    layers = bits.take(3)
    bits.take(1 + _PROFILE_BITS + _LEVEL_BITS)
    present = [(bits.take(1), bits.take(1)) for _ in range(layers)]
    if layers:
        bits.take(2 * (8 - layers))
    for profile, level in present:
        bits.take(_PROFILE_BITS * profile + _LEVEL_BITS * level)
    bits.take_golomb()  # its own number
    if bits.take_golomb() == 3:  # chroma at full resolution: may be three planes
        bits.take(1)
    width, height = bits.take_golomb(), bits.take_golomb()
    return width * height
