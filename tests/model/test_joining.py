"""Models that are built around one network, with their graphs and one file of weights in one folder."""

import hashlib
import json
import shutil
from pathlib import Path

import numpy as np
import onnx
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
from refstar_model.export.manifest import write_manifest
from refstar_model.export.restoring import TrainedRestorer
from refstar_model.ganprior.export_view import view_network as view_prior
from refstar_model.ganprior.system import CARD as PRIOR_CARD
from refstar_model.refstar.export_view import view_network
from refstar_model.refstar.network import TINY
from refstar_model.refstar.params import rest_on_prior
from refstar_model.refstar.system import CARD
from refstar_service.engine.manifest import ModelError, load_manifest
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
    before = hash_files(zoo)
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("REFSTAR_DATA", raising=False)
        for more in ("--out", zoo / "alone"), ("--out", zoo / "ented", "--weights-with", zoo / "refstar"):
            patch.setattr(
                "sys.argv", ["refstar-model", "export", "ented", str(zoo / "ented.pt"), *map(str, more)]
            )
            cli.main()
    assert before.items() <= hash_files(zoo).items()
    return zoo


def hash_files(zoo: Path) -> dict[Path, str]:
    return {
        path: hashlib.sha256(path.read_bytes()).hexdigest()
        for name in ("refstar", "ganprior")
        for path in (zoo / name).iterdir()
    }


def test_it_has_a_manifest_only_and_adds_only_what_is_its_own(zoo: Path) -> None:
    assert [file.name for file in (zoo / "ented").iterdir()] == ["model.json"]
    manifest = load_manifest(zoo / "ented")
    assert manifest.graphs["restore"].file == "../refstar/ented_restore.onnx"
    assert manifest.weights is not None
    assert manifest.shared_weights is not None
    assert manifest.weights.file == "../refstar/ented_weights.bin"
    assert manifest.shared_weights.file == "../refstar/weights.bin"
    own = (zoo / "refstar/ented_weights.bin").stat().st_size
    backbone = 2 * sum(value.numel() for value in Ented(ENTED).backbone.parameters())
    assert own < (zoo / "alone/weights.bin").stat().st_size - 0.9 * backbone


def check_manifests(zoo: Path, *names: str) -> None:
    for name in names:
        load_manifest(zoo / name).verify()


def test_all_models_of_the_folder_answer_as_before(zoo: Path) -> None:
    check_manifests(zoo, "refstar", "ganprior", "ented")
    assert np.array_equal(restore(zoo / "ented"), restore(zoo / "alone"))
    assert FolderModel(zoo / "ented")(golden.golden_picture(SIZE), []).finite


def test_what_is_added_to_the_host_does_no_harm_to_models_that_use_its_files(zoo: Path) -> None:
    before = [restore(zoo / name) for name in ("refstar", "ganprior", "ented")]
    with revise_folder(zoo / "refstar") as (part, manifest):
        graph = onnx.load(str(part / "restore.onnx"))
        largest = max(graph.graph.initializer, key=lambda tensor: len(tensor.raw_data))
        largest.raw_data = bytes(len(largest.raw_data))
        onnx.save(graph, str(part / "another.onnx"))
        # First, so that all others move.
        manifest["graphs"] = {"another": {"file": "another.onnx"}, **manifest["graphs"]}
    check_manifests(zoo, "refstar", "ganprior", "ented")
    after = [restore(zoo / name) for name in ("refstar", "ganprior", "ented")]
    assert all(np.array_equal(a, b) for a, b in zip(before, after, strict=True))


def test_a_guest_answers_as_before_when_its_host_is_exported_again(zoo: Path, tmp_path: Path) -> None:
    copy = shutil.copytree(zoo, tmp_path / "zoo")
    net = draw_net(PARAMS).eval()
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn_like(value) * 0.05)
    TrainedRestorer(view_network(net), CARD, 8).export(copy / "refstar", Publication("refstar", "1.0.1"))
    check_manifests(copy, "refstar", "ented")
    assert np.array_equal(restore(copy / "ented"), restore(zoo / "ented"))
    assert not np.array_equal(restore(copy / "refstar"), restore(zoo / "refstar"))
    with pytest.raises(ModelError, match="the file was changed"):  # its graphs compute something else now
        load_manifest(copy / "ganprior").verify()


def test_folders_elsewhere_or_with_graphs_elsewhere_are_refused(zoo: Path, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="must lie beside"):
        join_folder(zoo / "alone", tmp_path)
    with pytest.raises(DataError, match="must lie beside"):
        join_folder(zoo / "alone", zoo / "alone")
    with pytest.raises(DataError, match="has its graphs elsewhere"):
        join_folder(zoo / "alone", zoo / "ganprior")
    with pytest.raises(DataError, match="is no model folder"):
        join_folder(zoo / "alone", zoo / "nothing")
    single = tmp_path / "zoo/single"
    shutil.copytree(zoo / "alone", tmp_path / "zoo/alone")
    single.mkdir()
    (single / "model.json").write_text(json.dumps({"graphs": {"restore": {"file": "restore.onnx"}}}))
    with pytest.raises(DataError, match=r"has no weights\.bin"):
        join_folder(tmp_path / "zoo/alone", single)
    assert (zoo / "alone/restore.onnx").is_file()


def test_a_manifest_is_written_whole_or_stays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "model.json"
    write_manifest(path, {"limits": []})

    def write_half(part: Path, text: str) -> None:
        part.write_bytes(text[: len(text) // 2].encode())
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(Path, "write_text", write_half)
        with pytest.raises(OSError, match="No space left"):
            write_manifest(path, {"limits": ["changed"]})
    assert [file.name for file in tmp_path.iterdir()] == ["model.json"]
    assert json.loads(path.read_text()) == {"limits": []}
