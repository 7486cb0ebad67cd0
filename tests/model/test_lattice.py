"""A lattice is measured on faces, and subtracted in the graphs wherever a picture has it."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import pytest
from numpy.typing import NDArray
from onnx import TensorProto, helper
from pictures import Pixels, aligned_face, degraded_face
from refstar_model.evaluation.lattice import measure_lattice, remove_lattice
from refstar_model.export.lattice import subtract_lattice
from refstar_model.export.restorers import RestoredPicture


def draw_tile() -> NDArray[np.float32]:
    """Two dots, and a little of everything."""
    tile = np.random.default_rng(5).normal(0, 1, (16, 16, 3))
    tile[3:5, 4:6] += 12
    tile[11:13, 12:14] -= 9
    return np.asarray(tile - tile.mean((0, 1)), np.float32)


TILE = draw_tile()
LATTICE = np.tile(TILE, (32, 32, 1))
SMOOTH = np.asarray(cv2.GaussianBlur(degraded_face(), (0, 0), 6) * 0.7 + 30, np.uint8)


def print_lattice(
    low_quality: Pixels, references: list[Pixels], strength: float = 1.0, fidelity: float = 0.5
) -> RestoredPicture:
    printed = np.clip(np.rint(low_quality + LATTICE), 0, 255).astype(np.uint8)
    return RestoredPicture(printed, np.zeros((0, 1, 1), np.uint8), True)


@pytest.fixture(scope="module")
def remove(tmp_path_factory: pytest.TempPathFactory) -> onnxruntime.InferenceSession:
    """A graph that gives back what it is given, without the lattice."""
    path = tmp_path_factory.mktemp("lattice") / "restore.onnx"
    path.write_bytes(idle_graph("Round").SerializeToString())
    subtract_lattice(path, TILE)
    return onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])


def idle_graph(rounding: str) -> onnx.ModelProto:
    info, node = helper.make_tensor_value_info, helper.make_node
    shape = ["B", 512, 512, 3]
    numbers = {"none": 0.0, "one": 1.0, "white": 255.0}
    nodes = [
        node("Transpose", ["low_quality"], ["planes"], perm=[0, 3, 1, 2]),
        node("Cast", ["planes"], ["levels"], to=TensorProto.FLOAT),
        node("Div", ["levels", "white"], ["picture"]),
        node("Clip", ["picture", "none", "one"], ["cut"]),
        node("Mul", ["cut", "white"], ["wide"]),
        node(rounding, ["wide"], ["whole"]),
        node("Cast", ["whole"], ["bytes"], to=TensorProto.UINT8),
        node("Transpose", ["bytes"], ["restored"], perm=[0, 2, 3, 1]),
    ]
    constants = [helper.make_tensor(name, TensorProto.FLOAT, [], [value]) for name, value in numbers.items()]
    pixels = [info(name, TensorProto.UINT8, shape) for name in ("low_quality", "restored")]
    graph = helper.make_graph(nodes, "idle", pixels[:1], pixels[1:], constants)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def removed(session: onnxruntime.InferenceSession, picture: Pixels) -> NDArray[np.float64]:
    return np.asarray(session.run(None, {"low_quality": picture[None]})[0][0], np.float64)


def test_the_tile_is_found() -> None:
    tile = measure_lattice(print_lattice, [SMOOTH, np.ascontiguousarray(SMOOTH[:, ::-1])])
    assert np.abs(tile - TILE).max() < 1


@pytest.mark.parametrize("strength", [0.3, 1.0, 1.6])
def test_it_is_subtracted_as_strongly_as_it_was_printed(
    remove: onnxruntime.InferenceSession, strength: float
) -> None:
    printed = np.clip(np.rint(SMOOTH + strength * LATTICE), 0, 255).astype(np.uint8)
    assert np.abs(removed(remove, printed) - SMOOTH).mean() < 0.6


def test_it_is_subtracted_where_it_is_and_nowhere_else(remove: onnxruntime.InferenceSession) -> None:
    printed = SMOOTH.copy()
    printed[:, 256:] = np.clip(np.rint(SMOOTH + LATTICE), 0, 255).astype(np.uint8)[:, 256:]
    left = np.abs(removed(remove, printed) - SMOOTH)
    assert left[:, :224].max() <= 1
    assert left[:, 288:].mean() < 0.6


def test_a_picture_without_it_stays_as_it_is(remove: onnxruntime.InferenceSession) -> None:
    for picture in (SMOOTH, aligned_face()):
        assert np.abs(removed(remove, picture) - picture).mean() < 0.5
    slope = np.repeat(np.tile(np.arange(512) // 2, (512, 1))[..., None], 3, 2).astype(np.uint8)
    assert np.abs(removed(remove, slope) - slope).max() <= 1


def test_a_folder_is_changed_once_and_only_at_512(tiny_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_folder, folder)
    with pytest.raises(ValueError, match="at 512 pixels, not 128"):
        remove_lattice(folder, [SMOOTH], "2.0.0")
    manifest = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(manifest | {"input_size": 512, "lattice": 9.0}))
    with pytest.raises(ValueError, match="removed before"):
        remove_lattice(folder, [SMOOTH], "2.0.0")


def test_a_graph_with_another_end_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    path.write_bytes(idle_graph("Floor").SerializeToString())
    with pytest.raises(ValueError, match=r"other\.onnx does not end as an exported graph: .*Floor"):
        subtract_lattice(path, TILE)


def test_faces_without_smooth_skin_are_refused() -> None:
    rough = np.random.default_rng(1).integers(0, 256, SMOOTH.shape, np.uint8)
    with pytest.raises(ValueError, match="too little smooth skin"):
        measure_lattice(print_lattice, [rough])
