"""Models that are built around one network, with their graphs and one file of weights in one folder."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from drawn_net import draw_net
from pictures import aligned_face
from refstar_model import cli
from refstar_model.data.photos import DataError
from refstar_model.ented.network import Ented
from refstar_model.ented.params import TINY as ENTED
from refstar_model.evaluation import FolderModel
from refstar_model.export import golden
from refstar_model.export.card import Publication
from refstar_model.export.folder import revise_folder
from refstar_model.export.joining import join_folder
from refstar_model.export.restoring import TrainedRestorer
from refstar_model.ganprior.export_view import view_network as view_prior
from refstar_model.ganprior.system import CARD as PRIOR_CARD
from refstar_model.refstar.export_view import view_network
from refstar_model.refstar.network import TINY
from refstar_model.refstar.params import rest_on_prior
from refstar_model.refstar.system import CARD
from refstar_service.engine.manifest import load_manifest
from refstar_service.engine.restorer import FaceTask, ReferencePicture, Restorer

PARAMS = rest_on_prior(TINY)
SIZE = PARAMS.size


def restore(folder: Path) -> np.ndarray:
    """A face with a reference, where the model takes any."""
    model = Restorer(load_manifest(folder))
    reference = np.ascontiguousarray(np.roll(aligned_face()[::8, ::8], 5, 0))
    references = (ReferencePicture("one", reference),) if model.manifest.max_references else ()
    return model.restore([FaceTask(golden.golden_picture(SIZE), references, 1.0, 0.5)])[0].pixels


@pytest.fixture(scope="module")
def zoo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """refstar, ganprior that borrows its graphs, ented that joined it, and what each answered before."""
    zoo = tmp_path_factory.mktemp("zoo")
    net = draw_net(PARAMS).eval()
    ented = Ented(ENTED).eval()
    ented.backbone.load_state_dict(net.backbone.state_dict())
    with torch.no_grad():
        for name, value in ented.named_parameters():
            if not name.startswith("backbone."):
                value.add_(torch.randn_like(value) * 0.05)
    prior = {"params": PARAMS.prior.to_dict(), "step": 7, "weights": net.backbone.state_dict()}
    torch.save(prior, zoo / "prior.pt")
    torch.save({"params": ENTED.to_dict(), "step": 3, "weights": ented.state_dict()}, zoo / "ented.pt")
    TrainedRestorer(view_network(net), CARD, 7).export(zoo / "refstar", Publication("refstar", "1.0.0"))
    views = view_prior(draw_net(PARAMS).eval().backbone)
    TrainedRestorer(views, PRIOR_CARD, 7).borrow(
        zoo / "ganprior", Publication("ganprior", "1"), zoo / "refstar"
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("REFSTAR_DATA", raising=False)
        for more in ("--out", zoo / "alone"), ("--out", zoo / "ented", "--weights-with", zoo / "refstar"):
            patch.setattr(
                "sys.argv", ["refstar-model", "export", "ented", str(zoo / "ented.pt"), *map(str, more)]
            )
            np.save(zoo / f"{len(more)}.npy", restore(zoo / "refstar"))
            cli.main()
    return zoo


def test_it_has_a_manifest_only_and_adds_only_what_is_its_own(zoo: Path) -> None:
    assert [file.name for file in (zoo / "ented").iterdir()] == ["model.json"]
    manifest = load_manifest(zoo / "ented")
    assert manifest.graphs["restore"].file == "../refstar/ented_restore.onnx"
    together = (zoo / "refstar/weights.bin").stat().st_size
    apart = (zoo / "alone/weights.bin").stat().st_size
    backbone = 2 * sum(value.numel() for value in Ented(ENTED).backbone.parameters())
    assert together < (zoo / "alone/weights.bin").stat().st_size + apart + backbone


def test_all_models_of_the_folder_answer_as_before(zoo: Path) -> None:
    for name in ("refstar", "ganprior", "ented"):
        load_manifest(zoo / name).verify()
    assert np.array_equal(restore(zoo / "refstar"), np.load(zoo / "4.npy"))
    assert np.array_equal(restore(zoo / "ented"), restore(zoo / "alone"))
    assert FolderModel(zoo / "ented")(golden.golden_picture(SIZE), []).finite


def test_the_host_can_be_changed_without_harm_to_its_guests(zoo: Path) -> None:
    before = restore(zoo / "ented")
    with revise_folder(zoo / "refstar") as (_, manifest):
        manifest["limits"] = ["changed"]
    assert json.loads((zoo / "refstar/model.json").read_text())["limits"] == ["changed"]
    assert np.array_equal(restore(zoo / "ented"), before)


def test_folders_elsewhere_or_with_graphs_elsewhere_are_refused(zoo: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must lie beside"):
        join_folder(zoo / "alone", tmp_path)
    with pytest.raises(DataError, match="must lie beside"):
        join_folder(zoo / "alone", zoo / "alone")
    with pytest.raises(DataError, match="has its graphs elsewhere"):
        join_folder(zoo / "alone", zoo / "ganprior")
    with pytest.raises(DataError, match="is no model folder"):
        join_folder(zoo / "alone", zoo / "nothing")
    assert (zoo / "alone/restore.onnx").is_file()
