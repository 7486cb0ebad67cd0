"""LPIPS and FID: measures whose weights may not be shipped. The user brings them as ONNX files.

- LPIPS: a graph of two inputs, pictures [N, 3, 256, 256] in -1..1 (RGB), and one output of N distances.
- Inception: a graph of one input, pictures [N, 3, 299, 299] in -1..1 (RGB), and one output [N, D] (pool3, D = 2048).

docs/training.md says how such files are made.
"""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.export.restorers import open_graph

Pixels = NDArray[np.uint8]
OFF = "off (no weights given)"
INCEPTION_SIDE = 299


class PerceptualDistance:
    """LPIPS (Zhang 2018) of two pictures of the same size."""

    def __init__(self, path: Path) -> None:
        self._session = _session(path, 2)
        self._names = [i.name for i in self._session.get_inputs()]

    def __call__(self, picture: Pixels, truth: Pixels) -> float:
        values = (_to_signed(p) for p in (picture, truth))
        return float(np.ravel(self._session.run(None, dict(zip(self._names, values, strict=True)))[0])[0])


class Inception:
    """The features that FID compares."""

    def __init__(self, path: Path) -> None:
        self._session = _session(path, 1)
        self._name = self._session.get_inputs()[0].name

    def __call__(self, picture: Pixels) -> NDArray[np.float64]:
        side = (INCEPTION_SIDE, INCEPTION_SIDE)
        view = np.asarray(cv2.resize(picture, side, interpolation=cv2.INTER_LINEAR), np.uint8)
        return np.ravel(self._session.run(None, {self._name: _to_signed(view)})[0]).astype(np.float64)


def _session(path: Path, inputs: int) -> Any:
    if not path.is_file():
        raise FileNotFoundError(f"{path}: no such ONNX file")
    session = open_graph(path)
    if len(session.get_inputs()) != inputs:
        raise ValueError(f"{path} has {len(session.get_inputs())} inputs, not {inputs}: see docs/training.md")
    return session


def _to_signed(pixels: Pixels) -> NDArray[np.float32]:
    return (pixels.transpose(2, 0, 1)[None].astype(np.float32) / 127.5) - 1
