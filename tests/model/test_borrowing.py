"""System 3 and RefSTAR around it as two models with one file of weights."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_net import draw_net
from refstar_model import cli
from refstar_model.data.photos import DataError
from refstar_model.evaluation import FolderModel
from refstar_model.export import golden
from refstar_model.export.card import Publication
from refstar_model.export.folder import revise_folder
from refstar_model.export.graph import ParityError
from refstar_model.export.restoring import TrainedRestorer
from refstar_model.ganprior.export_view import view_network as view_prior
from refstar_model.ganprior.network import GanPrior
from refstar_model.ganprior.system import CARD as PRIOR_CARD
from refstar_model.ganprior.weights import find_first_weights as begin_prior
from refstar_model.refstar.export_view import view_network
from refstar_model.refstar.network import TINY, RefStar
from refstar_model.refstar.params import rest_on_prior
from refstar_model.refstar.system import CARD
from refstar_model.refstar.weights import find_first_weights, load
from refstar_service.engine.errors import ModelError
from refstar_service.engine.manifest import load_manifest
from refstar_service.engine.restorer import FaceTask, Restorer

PARAMS = rest_on_prior(TINY)
SIZE = PARAMS.size


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """refstar with graphs and weights, ganprior with neither, and the weights.pt of both."""
    zoo = tmp_path_factory.mktemp("zoo")
    net = draw_net(PARAMS).eval()
    prior = {"params": PARAMS.prior.to_dict(), "step": 7, "weights": net.backbone.state_dict()}
    torch.save(prior, zoo / "prior.pt")
    (zoo / "ganprior").mkdir()
    left = {"graphs": {"restore": {"file": "restore.onnx"}}, "weights": {"file": "weights.bin"}}
    (zoo / "ganprior/model.json").write_text(json.dumps(left))
    for name in ("restore.onnx", "weights.bin", "notes.txt"):
        (zoo / "ganprior" / name).write_bytes(b"of the model before")
    TrainedRestorer(view_network(net), CARD, 7).export(zoo / "refstar", Publication("refstar", "1.0.0"))
    # As `refstar-model quantize` leaves it: graphs whose parity is not that of weights.
    lent = json.loads((zoo / "refstar/model.json").read_text())
    shutil.copy(zoo / "refstar/restore_alone.onnx", zoo / "refstar/restore_alone_int8.onnx")
    whole = {k: v for k, v in lent["graphs"]["restore_alone"].items() if k != "parity"}
    lent["graphs"]["restore_alone_int8"] = whole | {"file": "restore_alone_int8.onnx", "quantized": 3}
    (zoo / "refstar/model.json").write_text(json.dumps(lent))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            "sys.argv",
            [
                *(
                    "refstar-model",
                    "export",
                    "ganprior",
                    str(zoo / "prior.pt"),
                    "--out",
                    str(zoo / "ganprior"),
                ),
                *("--graphs-of", str(zoo / "refstar"), "--version", "2.0.0"),
            ],
        )
        patch.delenv("REFSTAR_DATA", raising=False)
        cli.main()
    return zoo


def test_a_model_that_borrows_its_graphs_has_only_a_manifest(zoo: Path) -> None:
    assert sorted(file.name for file in (zoo / "ganprior").iterdir()) == ["model.json", "notes.txt"]
    manifest = load_manifest(zoo / "ganprior")
    assert (manifest.full_name, manifest.system, manifest.max_references) == ("ganprior@2.0.0", "ganprior", 0)
    assert {name: graph.file for name, graph in manifest.graphs.items()} == {
        "restore": "../refstar/restore_alone.onnx",
        "restore_fp16": "../refstar/restore_alone_fp16.onnx",
        "restore_int8": "../refstar/restore_alone_int8.onnx",
    }
    assert manifest.knobs == {"fidelity"}
    manifest.verify()


def test_the_service_and_the_judge_run_it_as_refstar_without_references(zoo: Path) -> None:
    face = golden.golden_picture(SIZE)
    restored = []
    for name in ("ganprior", "refstar"):
        model = Restorer(load_manifest(zoo / name))
        model.warm_up()
        restored.append(model.restore([FaceTask(face, (), 1.0, 0.5)])[0].pixels)
    assert np.array_equal(*restored)
    judged = FolderModel(zoo / "ganprior")
    assert (judged.takes_references, judged.takes_fidelity) == (False, True)
    assert judged(face, []).finite


def test_training_goes_on_from_both_folders(zoo: Path) -> None:
    prior = GanPrior(PARAMS.prior)
    weights = begin_prior(prior, zoo / "ganprior", None)
    assert weights is not None
    wanted = torch.load(zoo / "prior.pt", weights_only=True)["weights"]
    assert torch.allclose(weights["finest.out.weight"], wanted["finest.out.weight"], atol=1e-3)
    both = find_first_weights(PARAMS, zoo / "refstar", zoo / "ganprior")
    assert both is not None
    RefStar(PARAMS).load_state_dict(both)
    alone = find_first_weights(PARAMS, zoo / "refstar", None)
    assert alone is not None
    assert torch.equal(alone["selection.out.weight"], both["selection.out.weight"])
    net, steps = load(zoo / "refstar")
    assert (net.params, steps) == (PARAMS, 0)
    assert torch.equal(net.gate.weigh, both["gate.weigh"])


def test_other_weights_than_the_self_stream_are_refused(zoo: Path, tmp_path: Path) -> None:
    torch.manual_seed(5)
    other = GanPrior(PARAMS.prior)
    with torch.no_grad():
        for value in other.parameters():
            value.add_(torch.randn_like(value) * 0.05)
    trained = TrainedRestorer(view_prior(other), PRIOR_CARD, 1)
    with pytest.raises(ParityError, match="which are not its self stream: they differ by"):
        trained.borrow(zoo / "another", Publication("another"), zoo / "refstar")
    with pytest.raises(DataError, match="must lie beside"):
        trained.borrow(tmp_path / "another", Publication("another"), zoo / "refstar")
    with pytest.raises(DataError, match="no graph restore_alone"):
        trained.borrow(zoo / "another", Publication("another"), zoo / "ganprior")
    assert not (zoo / "another").exists()


def test_graphs_of_another_folder_are_not_changed_and_missed_when_it_is_gone(
    zoo: Path, tmp_path: Path
) -> None:
    with (
        pytest.raises(DataError, match="are those of refstar beside it: change them there"),
        revise_folder(zoo / "ganprior"),
    ):
        pass
    shutil.copytree(zoo / "ganprior", tmp_path / "ganprior")
    with pytest.raises(ModelError, match=r"restore_alone.onnx: the file that model.json names is missing"):
        load_manifest(tmp_path / "ganprior").verify()
