"""HEVC streams: how many pixels one makes a decoder produce."""

import struct
from collections.abc import Iterator

from refstar_service.images.containers.bits import Bits

_SEQUENCE_PARAMETERS = 33  # type of the unit that says the size
_SLICES = range(22)  # types of those that hold pictures
_PROFILE_BITS, _LEVEL_BITS = 88, 8
_MOST_UNITS = 10_000


def coded_pixels(configuration: bytes, stream: bytes) -> int:
    """The largest picture that the parameters in the configuration (`hvcC`) or the stream allow, times the pictures."""
    largest = pictures = 0
    size = (configuration[21] & 3) + 1  # bytes of each unit's length
    for unit in (*_read_configuration(configuration), *_units(stream, size)):
        kind = unit[0] >> 1 & 63
        if kind == _SEQUENCE_PARAMETERS:
            largest = max(largest, _picture(unit))
        elif kind in _SLICES:
            pictures += unit[2] >> 7  # the first slice of one
    return largest * max(pictures, 1)


def depth(configuration: bytes) -> tuple[int, bool]:
    """(bits, gray) of a configuration."""
    return 8 + (configuration[17] & 7), configuration[16] & 3 == 0


def _read_configuration(configuration: bytes) -> Iterator[bytes]:
    at = 23
    for _ in range(configuration[22]):
        (count,) = struct.unpack_from(">H", configuration, at + 1)
        at += 3
        for _ in range(count):
            (length,) = struct.unpack_from(">H", configuration, at)
            if length < 3:
                raise IndexError("a unit without its header")
            yield configuration[at + 2 : at + 2 + length]
            at += 2 + length


def _units(stream: bytes, size: int) -> Iterator[bytes]:
    at = 0
    for _ in range(_MOST_UNITS):
        if at + size >= len(stream):
            return
        length = int.from_bytes(stream[at : at + size])
        at += size
        if length < 3:
            raise IndexError("a unit without its header")
        yield stream[at : at + min(length, 256)]  # what is looked at lies in front
        at += length
    raise IndexError("more units than a picture has")


def _picture(unit: bytes) -> int:
    """pic_width_in_luma_samples x pic_height_in_luma_samples (section 7.3.2.2 of the specification)."""
    bits = Bits(unit[2:].replace(b"\0\0\3", b"\0\0"), 256)
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
