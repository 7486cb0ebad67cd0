"""The program in which HEIC is decoded, apart from all others: HEVC decoders are large, and have had many faults.

    python heic_process.py BYTES_OF_MEMORY SECONDS  <file  >pixels

It begins with an empty environment, may use so much memory and processor time, and can write no file. It knows nothing
of this package: what it imports is the decoder alone. Out come width, height, channels, bytes per value and the values,
upright, as `heic_decoder` reads them.
"""

import contextlib
import importlib
import struct
import sys
from types import ModuleType

LAYOUT = ">IIBB"
_CHANNELS = {"L": 1, "RGB": 3, "RGBA": 4}


def main() -> None:
    memory, seconds = int(sys.argv[1]), int(sys.argv[2])
    decoder = _decoder()
    _confine(memory, seconds)
    found = decoder.open_heif(sys.stdin.buffer.read(), convert_hdr_to_8bit=False)
    picture = found[found.primary_index]
    mode, _, deep = picture.mode.partition(";")
    width, height = picture.size
    head = struct.pack(LAYOUT, width, height, _CHANNELS[mode], 2 if deep else 1)
    sys.stdout.buffer.write(head + bytes(picture.data))


def _decoder() -> ModuleType:
    """pi-heif (decoders only) where it is installed, else pillow-heif."""
    try:
        found = importlib.import_module("pi_heif")
    except ModuleNotFoundError:
        found = importlib.import_module("pillow_heif")
    found.options.DECODE_THREADS = 1
    found.options.THUMBNAILS = found.options.DEPTH_IMAGES = found.options.AUX_IMAGES = False
    return found


def _confine(memory: int, seconds: int) -> None:
    with contextlib.suppress(ModuleNotFoundError):  # there is no such thing on Windows
        import resource

        with open("/proc/self/statm") as sizes:  # noqa: PTH123  nothing else is imported here
            used = int(sizes.read().split()[0]) * resource.getpagesize()
        for limit, most in (
            (resource.RLIMIT_AS, used + memory),
            (resource.RLIMIT_CPU, seconds),
            (resource.RLIMIT_FSIZE, 0),
            (resource.RLIMIT_CORE, 0),
        ):
            resource.setrlimit(limit, (most, most))


if __name__ == "__main__":
    main()
