"""A lattice is measured on faces, and subtracted in the graphs."""

import json
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from numpy.typing import NDArray
from pictures import Pixels, degraded_face
from refstar_model.evaluation import FolderModel
from refstar_model.evaluation.lattice import measure_lattice, remove_lattice
from refstar_model.export import golden
from refstar_model.export.lattice import Lattice, subtract_lattice
from refstar_model.export.restorers import RestoredPicture

RNG = np.random.default_rng(5)


def draw_tile(height: float) -> NDArray[np.float32]:
    tile = RNG.uniform(-height, height, (16, 16, 3))
    return np.asarray(tile - tile.mean((0, 1)), np.float32)


PLAIN, TAKEN = draw_tile(12), draw_tile(6)


def print_lattice(
    low_quality: Pixels, references: list[Pixels], strength: float = 1.0, fidelity: float = 0.5
) -> RestoredPicture:
    """The picture with a lattice that halves with fidelity; half of the face is taken from a reference."""
    selection = np.zeros((len(references), 64, 64), np.uint8)
    selection[:, :, 32:] = 255
    share = np.kron(selection[:1].sum(0) / 255, np.ones((8, 8)))[..., None] if references else 0.0
    lattice = (np.tile(PLAIN, (32, 32, 1)) + share * np.tile(TAKEN, (32, 32, 1))) * (1 - fidelity / 2)
    return RestoredPicture(np.clip(np.rint(low_quality + lattice), 0, 255).astype(np.uint8), selection, True)


def faces() -> list[tuple[Pixels, Pixels]]:
    smooth = np.asarray(cv2.GaussianBlur(degraded_face(), (0, 0), 6) * 0.7 + 30, np.uint8)
    return [(smooth, smooth), (np.ascontiguousarray(smooth[:, ::-1]), smooth)]


@pytest.mark.parametrize("fidelity", [0.0, 1.0])
def test_the_lattice_is_found_with_and_without_references(fidelity: float) -> None:
    scale = 1 - fidelity / 2
    alone = measure_lattice(print_lattice, faces(), fidelity, alone=True)
    assert alone.taken is None
    assert np.abs(alone.plain - scale * PLAIN).max() < 1
    both = measure_lattice(print_lattice, faces(), fidelity, alone=False)
    assert both.taken is not None
    assert np.abs(both.plain - scale * PLAIN).max() < 1.5
    assert np.abs(both.taken - scale * TAKEN).max() < 2.5


@pytest.mark.parametrize("fidelity", [0.0, 0.5, 1.0])
def test_graphs_subtract_it_where_nothing_and_where_something_is_taken(
    fidelity: float, tiny_folder: Path, tmp_path: Path
) -> None:
    folder = tmp_path / "even"
    shutil.copytree(tiny_folder, folder)
    subtract_lattice(folder / "restore_alone.onnx", Lattice(PLAIN, None), Lattice(PLAIN / 2, None))
    subtract_lattice(folder / "restore.onnx", Lattice(PLAIN, TAKEN), Lattice(PLAIN / 2, TAKEN / 2))
    face = golden.golden_picture(128)
    before, after = FolderModel(tiny_folder, threads=1), FolderModel(folder, threads=1)
    for references in ([], [face]):
        was, now = (m(face, references, fidelity=fidelity) for m in (before, after))
        assert np.array_equal(was.selection, now.selection)
        share = 0.0
        if references:
            masks = was.selection.astype(float).sum(0).clip(0, 255) / 255
            share = cv2.resize(masks, (128, 128), interpolation=cv2.INTER_NEAREST)[..., None]
        lattice = (np.tile(PLAIN, (8, 8, 1)) + share * np.tile(TAKEN, (8, 8, 1))) * (1 - fidelity / 2)
        seen = [
            cv2.resize(p.picture, (128, 128), interpolation=cv2.INTER_AREA).astype(float) for p in (was, now)
        ]
        inner = (seen[0] > 40) & (seen[0] < 215)
        assert inner.mean() > 0.3
        assert np.abs(seen[0] - lattice - seen[1])[inner].mean() < 2.5  # they were enlarged and reduced


def test_a_folder_is_changed_once_and_only_at_512(tiny_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    shutil.copytree(tiny_folder, folder)
    with pytest.raises(ValueError, match="at 512 pixels, not 128"):
        remove_lattice(folder, faces(), "2.0.0")
    manifest = json.loads((folder / "model.json").read_text())
    (folder / "model.json").write_text(json.dumps(manifest | {"input_size": 512, "lattice": {}}))
    with pytest.raises(ValueError, match="removed before"):
        remove_lattice(folder, faces(), "2.0.0")


def test_a_graph_with_another_end_is_refused(tiny_folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "other.onnx"
    model = onnx.load(str(tiny_folder / "restore_alone.onnx"), load_external_data=False)
    next(n for n in model.graph.node if n.op_type == "Round").op_type = "Floor"
    path.write_bytes(model.SerializeToString())
    with pytest.raises(ValueError, match=r"other\.onnx does not end as an exported graph: .*Floor"):
        subtract_lattice(path, Lattice(PLAIN, None), Lattice(PLAIN, None))
