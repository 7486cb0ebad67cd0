"""How long one 12 megapixel picture takes to probe, decode and encode, and the memory: a table in docs/images.md.

python bench/images.py                  # 4000 x 3000
python bench/images.py 8160 6120        # 50 megapixels
"""

from __future__ import annotations

import ctypes
import io
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from PIL import Image
from refstar_service.images import ImageLimits, probe
from refstar_service.images.decode import decode
from refstar_service.images.encode import encode
from skimage.data import astronaut

REPEATS = 5
LIMITS = ImageLimits(max_bytes=256 << 20)
RESULTS = (
    *(("jpeg", 85), ("jpeg", 95), ("png", 95), ("webp", 90), ("webp", 100)),
    *(("tiff", 95), ("bmp", 95), ("avif", 80), ("avif", 90)),
)


def photograph(width: int, height: int) -> np.ndarray:
    """With the noise of a camera: a smooth picture would compress too well to tell anything."""
    picture = cv2.resize(astronaut(), (width, height), interpolation=cv2.INTER_CUBIC)
    chance = np.random.default_rng(0)
    for top in range(0, height, 64):
        band = picture[top : top + 64]
        band[:] = np.clip(band + chance.normal(0, 4, band.shape), 0, 255)
    return picture


def milliseconds(call: Callable[[], object]) -> float:
    """The least processor time of REPEATS, of all threads: the machine's other work only ever adds."""
    best = float("inf")
    for _ in range(REPEATS):
        start = time.process_time()
        call()
        best = min(best, time.process_time() - start)
    return best * 1000


def megabytes(call: Callable[[], object]) -> float:
    """The most memory of the process while it runs, above what it had before. Linux only."""
    ctypes.CDLL(None).malloc_trim(0)  # what was freed would be taken again unseen
    Path("/proc/self/clear_refs").write_text("5")
    before = _status("VmRSS")
    call()
    return (_status("VmHWM") - before) / 1e6


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name)) * 1024


def saved(pixels: np.ndarray, kind: str, **options: Any) -> bytes:
    written = io.BytesIO()
    Image.fromarray(pixels).save(written, kind, **options)
    return written.getvalue()


def main() -> None:
    width, height = map(int, sys.argv[1:3] or (4000, 3000))
    pixels = photograph(width, height)
    files = {
        "JPEG, quality 85, 4:2:0": saved(pixels, "JPEG", quality=85),
        "JPEG, quality 95, 4:4:4": saved(pixels, "JPEG", quality=95, subsampling="4:4:4"),
        "JPEG, progressive": saved(pixels, "JPEG", quality=85, progressive=True),
        "PNG": saved(pixels, "PNG", compress_level=1),
        "WebP, quality 90": saved(pixels, "WEBP", quality=90, method=2),
        "TIFF, LZW": saved(pixels, "TIFF", compression="tiff_lzw"),
        "AVIF": saved(pixels, "AVIF", speed=10),
    }
    for name, data in files.items():

        def read(data: bytes = data) -> object:
            return decode(data, LIMITS)

        memory = megabytes(read)
        header = milliseconds(lambda: probe(data, LIMITS))  # noqa: B023
        print(f"{name:26}{len(data) / 1e6:6.1f} MB   probe {header:6.3f} ms", end="")
        print(f"   decode {milliseconds(read):7.1f} ms{memory:7.0f} MB", flush=True)
    for form, quality in RESULTS:

        def write(form: str = form, quality: int = quality) -> bytes:
            return encode(pixels, format=form, quality=quality).data

        memory, size = megabytes(write), len(write())
        print(f"{form + ', quality ' + str(quality):26}{size / 1e6:6.1f} MB", end="")
        print(f"                      encode {milliseconds(write):7.1f} ms{memory:7.0f} MB", flush=True)


if __name__ == "__main__":
    main()
