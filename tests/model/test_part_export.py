"""The parts of RefSTAR that the shipped network has others for: as graphs they compute what torch does."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import onnxruntime
import pytest
import torch
from refstar_model.backbone import UNAIDED
from refstar_model.export.golden import golden_picture
from refstar_model.export.graph import Graph, export_graph, round_weights
from refstar_model.layers.folding import fold_modules
from refstar_model.refstar.backbone_vq import VqBackbone
from refstar_model.refstar.params import TINY, BackboneKind
from refstar_model.refstar.transfer import CrossAttention
from torch import Tensor, nn

SIZE, GRID, CHANNELS = 64, 4, 16


class DrawnPicture(nn.Module):
    """The picture of a backbone without references."""

    def __init__(self, backbone: VqBackbone) -> None:
        super().__init__()
        self.backbone = backbone

    def forward(self, low_quality: Tensor) -> tuple[Tensor]:
        features = self.backbone.analyze(low_quality)
        return (self.backbone.draw(low_quality, features, UNAIDED).picture,)


class MixedFeatures(nn.Module):
    """What attention makes of a face's features and those of its references."""

    def __init__(self, attention: CrossAttention) -> None:
        super().__init__()
        self.attention = attention

    def forward(self, x: Tensor, reference: Tensor, value: Tensor, weight: Tensor) -> tuple[Tensor]:
        return (self.attention(x, reference, value, weight),)


@pytest.fixture(scope="module")
def vq(tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
    module = draw_weights(DrawnPicture(VqBackbone(replace(TINY, size=SIZE, backbone=BackboneKind.VQ))))
    fold_modules(module)
    round_weights(module)
    path = tmp_path_factory.mktemp("vq") / "vq.onnx"
    export_graph(Graph("vq", module, {"low_quality": torch.from_numpy(draw_faces(3))}, ("picture",)), path)
    return open_graph(path)


@pytest.fixture(scope="module")
def joint(tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
    attention = CrossAttention(CHANNELS, GRID, 2, 8, 0.2, CHANNELS, pool_self=False, dual=False)
    module = draw_weights(MixedFeatures(attention))
    round_weights(module)
    inputs = {name: torch.from_numpy(value) for name, value in draw_features(2, 3).items()}
    of_references = ("reference", "value", "weight")
    path = tmp_path_factory.mktemp("joint") / "joint.onnx"
    export_graph(Graph("joint", module, inputs, ("mixed",), reference_inputs=of_references), path)
    return open_graph(path)


def draw_weights(module: nn.Module) -> nn.Module:
    torch.manual_seed(0)
    with torch.no_grad():
        for value in module.parameters():
            value.add_(torch.randn_like(value) * 0.05)
    return module.eval()


def draw_faces(count: int) -> np.ndarray:
    golden = golden_picture(SIZE).transpose(2, 0, 1) / np.float32(255)
    return np.stack([np.roll(golden, 9 * i, 1) for i in range(count)])


def draw_features(batch: int, count: int) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(1)
    shape = (CHANNELS, GRID, GRID)
    drawn = {"x": (batch, *shape), "reference": (batch, count, *shape), "value": (batch, count, *shape)}
    features = {name: rng.normal(size=size).astype(np.float32) for name, size in drawn.items()}
    return {**features, "weight": np.ones((batch, count), np.float32)}


def open_graph(path: Path) -> onnxruntime.InferenceSession:
    operators = {node.op_type for node in onnx.load(str(path)).graph.node}
    assert not {"ReduceMean", "ReduceSum"} & operators
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def test_predicted_codes_draw_the_same_picture_alone_and_in_company(vq: onnxruntime.InferenceSession) -> None:
    faces = draw_faces(4)
    (together,) = vq.run(None, {"low_quality": faces})
    assert np.ptp(together, axis=0).max() > 0.01
    for face, picture in zip(faces, together, strict=True):
        (alone,) = vq.run(None, {"low_quality": face[None]})
        assert np.array_equal(alone[0], picture)


def test_one_softmax_reads_any_number_of_references(joint: onnxruntime.InferenceSession) -> None:
    given = draw_features(2, 4)
    (four,) = joint.run(None, given)
    for row in range(2):
        (alone,) = joint.run(None, {name: value[row : row + 1] for name, value in given.items()})
        assert np.array_equal(alone[0], four[row])
    (one,) = joint.run(None, {name: value if name == "x" else value[:, :1] for name, value in given.items()})
    assert np.abs(one - four).max() > 0.01
    absent = given | {"weight": np.array([[1, 0, 0, 0]] * 2, np.float32)}
    # Another order of sums.
    assert np.allclose(joint.run(None, absent)[0], one, atol=1e-5)
