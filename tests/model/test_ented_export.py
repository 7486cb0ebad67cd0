"""ENTED as a model folder: written, checked, and run by the service."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from pictures import aligned_face
from refstar_model.data.photos import DataError
from refstar_model.ented.export_view import view_network
from refstar_model.ented.network import Ented
from refstar_model.ented.params import TINY
from refstar_model.ented.system import CARD
from refstar_model.ented.weights import read_weights
from refstar_model.export.card import Publication
from refstar_model.export.restoring import TrainedRestorer
from refstar_service.engine.manifest import load_manifest
from refstar_service.engine.restorer import FaceTask, ReferencePicture, Restorer


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.manual_seed(0)
    net = Ented(TINY)
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn_like(value) * 0.05)
        net.gate.weigh.copy_(torch.tensor([2e-3, 1e-3, 2.0]))
    folder = tmp_path_factory.mktemp("ented") / "ented"
    TrainedRestorer(view_network(net.eval()), CARD, 1).export(folder, Publication("ented", "0.0.1"))
    return folder


def test_training_goes_on_from_a_folder(folder: Path) -> None:
    """With a network that is exported as one of the same pictures."""
    net = Ented(TINY)
    net.load_state_dict(read_weights(folder, TINY))
    again = folder.with_name("again")
    TrainedRestorer(view_network(net.eval()), CARD, 1).export(again, Publication("ented", "0.0.1"))
    tasks = [FaceTask(face(0), (ReferencePicture("3", face(3)),), 1.0, 0.5), FaceTask(face(1), (), 1.0, 0.5)]
    for ours, theirs in zip(
        *(Restorer(load_manifest(at)).restore(tasks) for at in (folder, again)), strict=True
    ):
        assert np.abs(ours.pixels.astype(int) - theirs.pixels).max() <= 1
        assert ours.same_person == pytest.approx(theirs.same_person, abs=1e-4)


def test_a_folder_of_another_network_is_refused(folder: Path) -> None:
    with pytest.raises(DataError, match="of another network"):
        read_weights(folder, replace(TINY, codes=8))


def face(shift: int) -> np.ndarray:
    return np.ascontiguousarray(np.roll(aligned_face()[::8, ::8], shift, 0))


def test_the_service_runs_it_with_and_without_references(folder: Path) -> None:
    restorer = Restorer(load_manifest(folder))
    references = tuple(ReferencePicture(str(shift), face(shift)) for shift in (3, 9))
    alone, with_one, with_two = restorer.restore(
        [FaceTask(face(0), references[:count], 1.0, 0.5) for count in range(3)]
    )
    assert alone.finite
    assert len(alone.selection) == 0
    assert len(with_two.selection) == 2
    assert not np.array_equal(alone.pixels, with_one.pixels)
    assert with_one.selection[0].mean() > 10
    (muted,) = restorer.restore([FaceTask(face(0), references[:1], 0.0, 0.5)])
    assert np.array_equal(muted.pixels, alone.pixels)


def test_it_says_who_references_show_and_uses_a_strangers_if_it_is_told_to(folder: Path) -> None:
    restorer = Restorer(load_manifest(folder))
    references = tuple(ReferencePicture(str(shift), face(shift)) for shift in (3, 9))
    weighed, full = restorer.restore(
        [FaceTask(face(0), references, 1.0, 0.5, gate_strength=strength) for strength in (1.0, 0.0)]
    )
    assert weighed.same_person is not None
    assert np.array_equal(weighed.same_person, full.same_person)
    assert ((weighed.same_person > 0) & (weighed.same_person < 1)).all()
    assert weighed.likeness is not None
    assert weighed.likeness.shape == (2,)
    assert not np.array_equal(full.pixels, weighed.pixels)


def test_fidelity_takes_detail_away_and_comes_nearer_to_the_input(folder: Path) -> None:
    restorer = Restorer(load_manifest(folder))
    reference = (ReferencePicture("r", face(3)),)
    for references in ((), reference):
        drawn = [restorer.restore([FaceTask(face(0), references, 1.0, f)])[0].pixels for f in (0.0, 0.5, 1.0)]
        apart = [np.abs(one.astype(float) - face(0)).mean() for one in drawn]
        assert apart[0] > apart[1] > apart[2]
    (muted,) = restorer.restore([FaceTask(face(0), reference, 0.0, 0.9)])
    (alone,) = restorer.restore([FaceTask(face(0), (), 1.0, 0.9)])
    assert np.array_equal(muted.pixels, alone.pixels)


def test_it_has_all_knobs_and_no_sum_that_depends_on_the_batch(folder: Path) -> None:
    manifest = load_manifest(folder)
    assert manifest.max_references == 8
    assert manifest.knobs == {"fidelity", "reference_strength", "stranger"}
    for name in ("encode_references", "restore", "restore_alone"):
        operators = {node.op_type for node in onnx.load(str(folder / f"{name}.onnx")).graph.node}
        assert not {"ReduceMean", "ReduceSum", "RandomNormal"} & operators
