"""AV1 streams: how many pixels they make a decoder produce."""

from refstar_service.images.containers.bits import Bits
from refstar_service.images.containers.budget import Budget
from refstar_service.images.errors import ImageError, RefusalCode

_SEQUENCE_HEADER, _FRAME_HEADER, _FRAME = 1, 3, 6
_MOST_UNITS = 20_000  # ten for each of the most tiles
_MOST_SEQUENCES = 64  # different ones: all tiles have the same, and so have all of their alpha
_LONGEST_SEQUENCE = 128  # bytes that are looked at


class Streams:
    """Those of one file. Together they may have so many units; sequence headers that are alike are read once."""

    def __init__(self) -> None:
        self._units = Budget(_MOST_UNITS, "AVIF", "units in its streams")
        self._sequences = Budget(_MOST_SEQUENCES, "AVIF", "different sequence headers")
        self._frames: dict[bytes, int] = {}  # sequence header -> the largest frame that it allows, in pixels

    def coded_pixels(self, stream: bytes) -> int:
        """The largest frame that the stream's sequence headers allow, times its number of frames. Raises ImageError,
        and IndexError where a header ends early."""
        largest = frames = position = 0
        while position < len(stream):
            self._units.spend()
            kind = stream[position] >> 3 & 15
            extended, sized = stream[position] >> 2 & 1, stream[position] >> 1 & 1
            position += 1 + extended
            length = len(stream) - position
            if sized:
                length, position = _leb128(stream, position)
            if kind == _SEQUENCE_HEADER:
                header = stream[position : position + min(length, _LONGEST_SEQUENCE)]
                largest = max(largest, self._largest_frame(header))
            elif kind in (_FRAME_HEADER, _FRAME):
                frames += 1
            position += length
        return largest * max(frames, 1)

    def _largest_frame(self, header: bytes) -> int:
        if header not in self._frames:
            self._sequences.spend()
            self._frames[header] = _largest_frame(header)
        return self._frames[header]


def _leb128(stream: bytes, position: int) -> tuple[int, int]:
    value = 0
    for index in range(8):
        value |= (stream[position] & 0x7F) << 7 * index
        position += 1
        if stream[position - 1] < 0x80:
            break
    return value, position


def _largest_frame(header: bytes) -> int:
    """max_frame_width x max_frame_height (section 5.5.1 of the AV1 specification)."""
    bits = Bits(header, _LONGEST_SEQUENCE)
    bits.take(3 + 1)  # profile, still picture
    if bits.take(1):  # the reduced header of a still picture
        bits.take(5)
    else:
        if bits.take(1):
            raise ImageError(RefusalCode.UNDECODABLE, "The AVIF file holds a video stream with timing.")
        delays = bits.take(1)
        for _ in range(bits.take(5) + 1):
            bits.take(12)
            if bits.take(5) > 7:
                bits.take(1)
            if delays and bits.take(1):
                bits.take(4)
    width_bits, height_bits = bits.take(4) + 1, bits.take(4) + 1
    return (bits.take(width_bits) + 1) * (bits.take(height_bits) + 1)
