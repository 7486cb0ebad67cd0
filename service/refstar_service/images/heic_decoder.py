"""HEIC to pixels, in a process of its own, with the decoder of libheif that an extra brings."""

import importlib.util
import struct
import subprocess
import sys
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt

from refstar_service.images import heic_process
from refstar_service.images.errors import ImageError, RefusalCode

_SECONDS = 60
_MEMORY, _PER_PIXEL = 256 << 20, 32  # bytes: what the decoder takes for any picture, and for each pixel
_OUT_OF_TIME = "The HEIC file takes too long to decode."


@cache
def available() -> bool:
    """Whether a decoder is installed: the extra `heic`."""
    return any(importlib.util.find_spec(name) is not None for name in ("pi_heif", "pillow_heif"))


def decode(data: bytes, work: int) -> npt.NDArray[np.uint8] | npt.NDArray[np.uint16]:
    """[H, W] or [H, W, C] of 1 (gray), 3 or 4 channels, upright; 16 bits where the file has more than 8.

    ``work``: pixels that decoding produces, by the header; the process may use memory for no more. Raises ImageError.
    """
    program = [sys.executable, "-I", str(Path(heic_process.__file__))]
    limits = [str(_MEMORY + _PER_PIXEL * work), str(_SECONDS)]
    try:
        done = subprocess.run(
            [*program, *limits], input=data, capture_output=True, timeout=_SECONDS, env={}, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ImageError(RefusalCode.UNDECODABLE, _OUT_OF_TIME) from error
    size = struct.calcsize(heic_process.LAYOUT)
    if done.returncode or len(done.stdout) < size:
        raise OSError(done.stderr.decode("utf-8", "replace")[-500:] or f"ended with {done.returncode}")
    width, height, channels, width_of_value = struct.unpack_from(heic_process.LAYOUT, done.stdout)
    values = np.frombuffer(done.stdout, np.uint16 if width_of_value == 2 else np.uint8, offset=size)
    return values.reshape((height, width) if channels == 1 else (height, width, channels))
