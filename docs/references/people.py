"""The people on the sheets of this folder, as aligned faces [512, 512, 3].

They are on official photographs of the US government, which are in the public domain: ``obama.jpg``, ``obama2.jpg`` and
``obama3.jpg`` as the source distribution of face_recognition 1.3.0 has them, and ``grace_hopper.jpg`` of matplotlib's
sample data. The astronaut comes with scikit-image. None of these photographs was trained on. Only of one of the people
is there more than one photograph; the others' references are their own photograph mirrored, turned and relit.
"""

from pathlib import Path
from typing import NamedTuple

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray
from refstar_service.faces.align import align, cut
from refstar_service.faces.detect import load_detector

Pixels = NDArray[np.uint8]


class People(NamedTuple):
    obama: Pixels
    obama_speaking: Pixels
    obama_standing: Pixels
    hopper: Pixels
    collins: Pixels


def read_people(folder: Path, models: Path) -> People:
    """``folder`` holds the photographs, ``models`` the detector."""
    detector = load_detector(models)
    names = ("obama", "obama2", "obama3", "grace_hopper")
    photographs = [read(folder / f"{name}.jpg") for name in names]
    photographs.append(np.ascontiguousarray(skimage.data.astronaut()))
    faces = []
    for picture in photographs:
        largest = max(detector.find(picture), key=lambda f: f.box[2] * f.box[3])
        faces.append(cut(picture, align(largest.points, 512)))
    return People(*faces)


def another(face: Pixels) -> Pixels:
    """A poor man's second photograph."""
    matrix = cv2.getRotationMatrix2D((256, 300), 3, 1.02)
    turned = cv2.warpAffine(
        np.ascontiguousarray(face[:, ::-1]),
        matrix,
        (512, 512),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    return np.asarray(np.clip(turned * np.array([1.05, 0.95, 0.85]), 0, 255), np.uint8)


def gray(picture: Pixels) -> Pixels:
    return np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, 2)


def read(path: Path) -> Pixels:
    picture = cv2.imread(str(path))
    if picture is None:
        raise FileNotFoundError(path)
    return np.ascontiguousarray(picture[..., ::-1])
