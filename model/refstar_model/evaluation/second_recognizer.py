"""A second opinion on who it is: dlib's ResNet, which no training has a relative of.

The identity loss learns from MobileFace V3 and evaluation judges by V2, so a network may learn what that family likes
without coming nearer to the person. dlib's network (Davis King 2017, CC0) was made by another person with another
loss. It comes with the extra ``judge`` of this package; without it the measure is off. Only the recognizer of
``face-recognition-models`` is opened: its 68-point model was learned from pictures for non-commercial use.
"""

import importlib.util
from pathlib import Path
from typing import Any, Protocol

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.judges.landmarks import Pixels, at_256
from refstar_model.judges.recognition import TEMPLATE_512

Vector = NDArray[np.float64]

OFF = "off (pip install 'refstar-model[judge]')"
SAME_PERSON = 0.6  # dlib's threshold: two photographs of one person are nearer to each other
CHIP = 150  # side of what the network is shown
#: Where the template's eyes are in the chip: what dlib's own five-point model gives on clean val faces, on average (its
#: answers scatter by 1.7 pixels, and more on blurred faces). One fixed place keeps alignment out of the measure.
CHIP_EYES = ((45.9, 44.8), (101.5, 45.4))
PACKAGE, WEIGHTS = "face_recognition_models", "models/dlib_face_recognition_resnet_model_v1.dat"


class SecondRecognizer(Protocol):
    def embed(self, picture: Pixels) -> Vector:
        """A vector [D] of an aligned face [h, h, 3]; faces are as far apart as their vectors."""
        ...


class DlibRecognizer:
    """Mean vector [128] of a face and its mirror image."""

    def __init__(self, weights: Path) -> None:
        import dlib

        if not weights.is_file():
            raise FileNotFoundError(f"{weights} is missing: install the extra anew, refstar-model[judge]")
        self._net: Any = dlib.face_recognition_model_v1(str(weights))

    def embed(self, picture: Pixels) -> Vector:
        chip = face_chip(picture)
        both = [self._net.compute_face_descriptor(c) for c in (chip, np.ascontiguousarray(chip[:, ::-1]))]
        return np.asarray(np.mean(both, 0), np.float64)


def find_second_recognizer() -> DlibRecognizer | None:
    """The recognizer where the extra ``judge`` is installed, else None."""
    # Not imported: the package asks for pkg_resources, which setuptools no longer has.
    package = importlib.util.find_spec(PACKAGE)
    if package is None or package.origin is None or importlib.util.find_spec("dlib") is None:
        return None
    return DlibRecognizer(Path(package.origin).parent / WEIGHTS)


def face_chip(picture: Pixels) -> Pixels:
    """The crop [150, 150, 3] of a face on the template."""
    eyes = (np.array(TEMPLATE_512[:2]) + 0.5) / 2 - 0.5
    wanted = np.array(CHIP_EYES)
    (from_x, from_y), (to_x, to_y) = eyes[1] - eyes[0], wanted[1] - wanted[0]
    # As complex numbers, a turn with a scale is one factor.
    factor = complex(to_x, to_y) / complex(from_x, from_y)
    linear = np.array([[factor.real, -factor.imag], [factor.imag, factor.real]])
    matrix = np.column_stack([linear, wanted[0] - linear @ eyes[0]])
    seen = cv2.warpAffine(
        at_256(picture), matrix, (CHIP, CHIP), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(seen, np.uint8)
