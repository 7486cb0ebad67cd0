"""The judge: known scores for known pictures."""

import os
from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from copying_model import ColorRecognizer, copier, face
from onnx import TensorProto, helper
from pictures import aligned_face
from refstar_model.data.photos import PhotoSet
from refstar_model.evaluation import (
    Extent,
    Judges,
    Section,
    evaluate,
    markdown,
)
from refstar_model.evaluation.perceptual import Inception, PerceptualDistance
from refstar_model.judges import metrics
from refstar_model.judges.landmarks import (
    COUNT,
    FaceFinder,
    FaceMesh,
    eye_distance,
    landmark_distance,
)
from skimage.metrics import structural_similarity
from torch.nn import functional as F


def test_equal_pictures_score_best() -> None:
    picture = face()
    assert float(metrics.psnr(picture, picture)) == 100
    assert abs(float(metrics.ssim(picture, picture)) - 1) < 1e-4
    assert [float(share) for share in metrics.sharpness(picture, picture)] == pytest.approx([1, 1])


def test_a_known_error_has_its_known_psnr() -> None:
    picture = face() * 0.5
    assert abs(float(metrics.psnr(picture + 0.1, picture)) - 20) < 1e-3


def test_structural_similarity_is_the_published_one() -> None:
    picture = face()
    blurred = F.interpolate(F.avg_pool2d(picture, 4), scale_factor=4.0, mode="bilinear")
    one, two = (p[0].permute(1, 2, 0).numpy() for p in (blurred, picture))
    wanted = structural_similarity(
        one,
        two,
        channel_axis=2,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert abs(float(metrics.ssim(blurred, picture)) - wanted) < 1e-4


def test_blur_costs_sharpness_where_it_is() -> None:
    picture = face()
    blurred = F.interpolate(F.avg_pool2d(picture, 8), scale_factor=8.0, mode="bilinear")
    inside, outside = (float(share) for share in metrics.sharpness(blurred, picture))
    assert (inside < 0.3, outside < 0.5) == (True, True)
    window = torch.zeros(1, 1, 512, 512)
    window[..., 150:430, 140:370] = 1  # the face alone
    inside, outside = (
        float(share) for share in metrics.sharpness(picture + window * (blurred - picture), picture)
    )
    assert (inside < 0.6, outside > 0.85) == (True, True)


def test_frechet_distance_knows_shift_and_spread() -> None:
    features = np.random.default_rng(0).normal(size=(12, 40))
    spread = float(features.var(0, ddof=1).sum())
    assert abs(metrics.frechet_distance(features, features)) < 1e-9
    assert metrics.frechet_distance(features + 0.5, features) == pytest.approx(40 * 0.25)
    centered = features - features.mean(0)
    assert metrics.frechet_distance(3 * centered, centered) == pytest.approx(4 * spread)


def test_landmark_distance_is_a_share_of_the_distance_of_the_eyes() -> None:
    points = np.random.default_rng(0).uniform(50, 200, (COUNT, 2)).astype(np.float32)
    moved = points + np.array([3, 4], np.float32)
    assert landmark_distance(moved, points) == pytest.approx(5 / eye_distance(points), rel=1e-5)


def _graph(path: Path, names: Sequence[str], nodes: Sequence[onnx.NodeProto]) -> Path:
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 3, "h", "w"]) for n in names]
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", inputs, [output])
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), str(path))
    return path


def test_lpips_and_fid_are_on_when_the_user_brings_weights(photos: PhotoSet, tmp_path: Path) -> None:
    distance = _graph(
        tmp_path / "lpips.onnx",
        ("a", "b"),
        [
            helper.make_node("Sub", ["a", "b"], ["d"]),
            helper.make_node("Abs", ["d"], ["e"]),
            helper.make_node("ReduceMean", ["e"], ["out"], keepdims=0),
        ],
    )
    features = _graph(
        tmp_path / "inception.onnx",
        ("x",),
        [helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["out"])],
    )
    judges = Judges(ColorRecognizer(), perceptual=PerceptualDistance(distance), inception=Inception(features))
    extent = Extent(levels=("severe",), cases=2, sections=frozenset({Section.PAIRS}))
    table, _ = evaluate(copier, photos, judges, extent=extent)
    of = table["severe"]
    assert (table["lpips"], table["fid"]) == ("on", "on")
    assert of["wrong"]["lpips"] > of["right"]["lpips"] > 0
    assert of["wrong"]["fid"] > of["right"]["fid"]
    assert "| LPIPS |" in markdown(table)
    with pytest.raises(ValueError, match="1 inputs, not 2"):
        PerceptualDistance(features)


@pytest.mark.skipif("REFSTAR_DATA" not in os.environ, reason="needs the mesh, YuNet and photographs")
def test_mesh_and_yunet_see_a_face_where_there_is_one() -> None:
    models = Path(os.environ["REFSTAR_DATA"]) / "models"
    mesh = FaceMesh(models / "mediapipe/face_landmark.tflite")
    finder = FaceFinder(models / "yunet/face_detection_yunet_2023mar.onnx")
    picture = aligned_face()
    noise = np.random.default_rng(0).integers(0, 255, picture.shape).astype(np.uint8)
    seen = mesh.look(picture)
    assert seen.presence > 0 > mesh.look(noise).presence
    assert finder.finds(picture)
    assert not finder.finds(noise)
    assert 55 < eye_distance(seen.points) < 72  # the template's is 63 at 256
    moved = cv2.warpAffine(picture, np.array([[1.0, 0, 8], [0, 1.0, 0]]), (512, 512))
    assert landmark_distance(mesh.points(moved), seen.points) == pytest.approx(4 / 63, abs=0.02)
