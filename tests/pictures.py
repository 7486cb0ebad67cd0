"""The test face: NASA's portrait of Eileen Collins from scikit-image (public domain), aligned and degraded here."""

from functools import cache

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

# Eyes, nose, mouth corners in scikit-image's astronaut, measured by eye.
POINTS = np.array([[203, 101], [247, 101], [226, 121], [207, 143], [241, 143]], np.float32)
TEMPLATE = np.array(
    [[192.98, 239.95], [318.90, 240.19], [256.63, 314.01], [201.26, 371.41], [313.09, 371.15]], np.float32
)


def aligned_face() -> Pixels:
    """RGB [512, 512, 3] on the 512 template."""
    return _aligned().copy()


@cache
def _aligned() -> Pixels:
    matrix, _ = cv2.estimateAffinePartial2D(POINTS, TEMPLATE, method=cv2.LMEDS)
    face = cv2.warpAffine(
        skimage.data.astronaut(), matrix, (512, 512), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(face, np.uint8)


def degraded_face(blur: float = 8.0, down: int = 10, seed: int = 3) -> Pixels:
    """The same face ruined: blurred, shrunk, noised, enlarged; RGB [512, 512, 3]."""
    return _degraded(blur, down, seed).copy()


@cache
def _degraded(blur: float, down: int, seed: int) -> Pixels:
    small = cv2.resize(cv2.GaussianBlur(_aligned(), (0, 0), blur), (512 // down, 512 // down))
    noise = np.random.default_rng(seed).normal(0, 8, small.shape)
    small = np.clip(small + noise, 0, 255).astype(np.uint8)
    return np.asarray(cv2.resize(small, (512, 512)), np.uint8)


def reference_face() -> Pixels:
    """A reference: the same portrait mirrored and a little darker, since the wheel has only one of her."""
    return np.asarray(_aligned()[:, ::-1] * 0.9, np.uint8)


def file_of(pixels: Pixels, kind: str = ".png", *options: int) -> bytes:
    """The picture as a file."""
    ok, data = cv2.imencode(kind, pixels[..., ::-1], list(options))
    assert ok
    return data.tobytes()


def pixels_of(data: bytes) -> Pixels:
    """The file as RGB pixels."""
    return np.asarray(cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR)[..., ::-1], np.uint8)


def psnr(a: Pixels, b: Pixels) -> float:
    """Peak signal-to-noise ratio in dB."""
    return float(10 * np.log10(255**2 / np.mean((a.astype(float) - b.astype(float)) ** 2)))
