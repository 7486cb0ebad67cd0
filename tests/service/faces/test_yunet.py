"""The operator's own detector."""

import os
from pathlib import Path

import numpy as np
import pytest
from pictures import POINTS
from refstar_service.engine.errors import ModelError
from refstar_service.faces.yunet import YuNetDetector
from refstar_service.settings import Settings
from skimage.data import astronaut, coffee

with_model = pytest.mark.skipif(
    "REFSTAR_DATA" not in os.environ, reason="REFSTAR_DATA names no folder of models"
)


@pytest.fixture(scope="module")
def detector() -> YuNetDetector:
    folder = Path(os.environ["REFSTAR_DATA"]) / "models" / "yunet"
    return YuNetDetector(folder / "face_detection_yunet_2023mar.onnx")


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="there is no such file; REFSTAR_DETECTOR names"):
        YuNetDetector(tmp_path / "yunet.onnx")


def test_a_file_that_is_no_network_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "yunet.onnx"
    file.write_bytes(b"\x00not a network" * 40)
    with pytest.raises(ModelError, match=r"yunet\.onnx: not a YuNet face detector"):
        YuNetDetector(file)


def test_another_network_is_refused() -> None:
    with pytest.raises(ModelError, match="not a YuNet face detector"):
        YuNetDetector(Settings().models_dir / "refstar" / "encode_references.onnx")


@with_model
def test_the_astronaut_is_found_with_her_points(detector: YuNetDetector) -> None:
    face = detector.find(astronaut())[0]
    assert detector.label == "yunet (face_detection_yunet_2023mar.onnx)"
    assert face.score > 0.8
    assert np.abs(face.points - POINTS).max() < 8
    x, y, width, height = face.box
    assert x < POINTS[:, 0].min() < POINTS[:, 0].max() < x + width
    assert y < POINTS[:, 1].min() < POINTS[:, 1].max() < y + height


@with_model
def test_a_picture_larger_than_every_view_is_found_in_its_own_pixels(detector: YuNetDetector) -> None:
    picture = np.full((2000, 3000, 3), 90, np.uint8)
    picture[700:1724, 900:1924] = astronaut().repeat(2, 0).repeat(2, 1)
    face = detector.find(picture)[0]
    assert np.abs(face.points - ((POINTS + 0.5) * 2 - 0.5 + [900, 700])).max() < 16


@with_model
def test_one_face_is_one_find_and_no_face_is_none(detector: YuNetDetector) -> None:
    assert len(detector.find(astronaut())) == 1
    assert detector.find(coffee()) == []
    assert detector.find(np.zeros((1, 1, 3), np.uint8)) == []
