"""A photograph and files made of it. Pillow and OpenCV write them: not the code that is tested."""

from __future__ import annotations

import io
import itertools
import struct
import zlib
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest
from PIL import Image, ImageCms
from refstar_service.images import ImageLimits
from skimage.data import astronaut

Array = npt.NDArray[np.uint8]
Save = Callable[..., bytes]


@pytest.fixture(scope="session")
def photo() -> Array:
    """[96, 72, 3] RGB: a face, its sides not multiples of 16."""
    return np.ascontiguousarray(astronaut()[40:232:2, 160:304:2])


@pytest.fixture(scope="session")
def save() -> Save:
    """``save(pixels or image, "JPEG", quality=90)``: a file's bytes."""

    def save(picture: Array | Image.Image, kind: str, **options: Any) -> bytes:
        image = picture if isinstance(picture, Image.Image) else Image.fromarray(picture)
        written = io.BytesIO()
        image.save(written, kind, **options)
        return written.getvalue()

    return save


@pytest.fixture(scope="session")
def chunk() -> Callable[[bytes, bytes], bytes]:
    """A PNG chunk."""

    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    return chunk


@pytest.fixture(scope="session")
def srgb() -> bytes:
    return ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


@pytest.fixture(scope="session")
def cmyk_profile() -> bytes:
    """The smallest press profile: a table of 16 ink combinations to Lab, in which cyan is a dark blue."""
    table = bytearray()
    for inks in itertools.product((0, 1), repeat=4):  # the last, black, varies fastest
        cyan, magenta, yellow, black = inks
        light = 0 if black else 255 - 100 * cyan - 60 * magenta - 10 * yellow
        table += bytes((light, 128 - 10 * cyan + 60 * magenta, 128 - 60 * cyan + 60 * yellow))
    ramp = bytes(range(256))
    identity = struct.pack(">9i", *(65536 * (row == column) for row in range(3) for column in range(3)))
    lut = b"mft1" + bytes(4) + bytes((4, 3, 2, 0)) + identity + ramp * 4 + bytes(table) + ramp * 3
    white = b"XYZ " + bytes(4) + struct.pack(">3i", 63190, 65536, 54061)
    tags = [(b"wtpt", white), (b"A2B0", lut)]
    at = 128 + 4 + 12 * len(tags)
    index, bodies = struct.pack(">I", len(tags)), b""
    for name, body in tags:
        index += name + struct.pack(">II", at + len(bodies), len(body))
        bodies += body + bytes(-len(body) % 4)
    header = struct.pack(">I4sI4s4s4s", at + len(bodies), b"test", 0x02400000, b"prtr", b"CMYK", b"Lab ")
    header += bytes(12) + b"acsp" + bytes(28) + struct.pack(">3i", 63190, 65536, 54061)
    return header.ljust(128, b"\0") + index + bodies


@pytest.fixture
def camera() -> Callable[[int], bytes]:
    """An EXIF block as a phone writes it: orientation, make, time, place, maker note, thumbnail size."""

    def camera(orientation: int) -> bytes:
        exif = Image.Exif()
        exif[0x0112] = orientation
        exif[0x010F] = "Maker"
        exif.get_ifd(0x8769)[0x9003] = "2024:05:06 07:08:09"
        exif.get_ifd(0x8769)[0x927C] = b"serial 4711"
        exif.get_ifd(0x8825)[1] = "N"
        exif.get_ifd(0x8825)[2] = (48.0, 51.0, 30.0)
        return exif.tobytes()

    return camera


@pytest.fixture
def limits() -> ImageLimits:
    return ImageLimits()
