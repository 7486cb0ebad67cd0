"""AV1 streams: how many pixels one makes a decoder produce."""

from refstar_service.images.containers.bits import Bits
from refstar_service.images.errors import ImageError, RefusalCode

_SEQUENCE_HEADER, _FRAME_HEADER, _FRAME = 1, 3, 6


def coded_pixels(stream: bytes) -> int:
    """The largest frame that the stream's sequence headers allow, times its number of frames."""
    largest = frames = position = 0
    while position < len(stream):
        kind = stream[position] >> 3 & 15
        extended, sized = stream[position] >> 2 & 1, stream[position] >> 1 & 1
        position += 1 + extended
        length = len(stream) - position
        if sized:
            length, position = _leb128(stream, position)
        if kind == _SEQUENCE_HEADER:
            largest = max(largest, _largest_frame(stream[position : position + length]))
        elif kind in (_FRAME_HEADER, _FRAME):
            frames += 1
        position += length
    return largest * max(frames, 1)


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
    bits = Bits(header)
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
