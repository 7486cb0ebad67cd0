"""What a system is: a folder and a line, and nothing shared knows which there are."""

import json
import subprocess
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from refstar_model import cli
from refstar_model.data.photos import PhotoSet
from refstar_model.evaluation import FolderModel
from refstar_model.export import golden
from refstar_model.system import SYSTEMS, find_system
from refstar_service.app import cli as service
from small_model import write_small_model

TOY = Path(__file__).with_name("toy_system.py")


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.delenv("REFSTAR_DATA", raising=False)
    monkeypatch.setattr(sys, "argv", ["refstar-model", *map(str, arguments)])
    cli.main()


def score_of(printed: str) -> float:
    return float(printed.split("score: ")[1].split()[0])


@pytest.fixture
def toy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The folder, and the line."""
    folder = tmp_path / "packages/toy"
    folder.mkdir(parents=True)
    (folder / "__init__.py").touch()
    (folder / "system.py").write_text(TOY.read_text())
    monkeypatch.syspath_prepend(tmp_path / "packages")
    monkeypatch.setitem(SYSTEMS, "toy", "toy.system")


@pytest.mark.usefixtures("toy")
def test_a_new_system_is_trained_exported_quantized_evaluated_and_served(
    photos: PhotoSet,
    recognizer_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    data, weights, folder = photos.roots[0], tmp_path / "run/weights.pt", tmp_path / "zoo/toy"
    run(monkeypatch, "train", "toy", "--data", data, "--out", tmp_path / "run", "--steps", 10)
    assert capsys.readouterr().out.splitlines()[-1] == str(weights)
    learned = torch.load(weights, weights_only=True)
    assert learned["step"] == 10
    assert learned["weights"]["conv.weight"].abs().max() > 0
    run(monkeypatch, "export", "toy", weights, "--out", folder)
    run(monkeypatch, "quantize", folder, "--data", data)
    capsys.readouterr()
    judged = ["--quick", "--data", data, "--judge", recognizer_file]
    run(monkeypatch, "evaluate", folder, *judged)
    of_folder = capsys.readouterr().out
    run(monkeypatch, "evaluate", weights, "--system", "toy", *judged)
    assert "clean/psnr" in of_folder
    assert score_of(capsys.readouterr().out) == pytest.approx(score_of(of_folder), abs=0.01)

    manifest = json.loads((folder / "model.json").read_text())
    assert manifest["ranks"] == {"without_references": 1}
    assert manifest["max_references"] == 0
    assert {name: graph["inputs"] for name, graph in manifest["graphs"].items()} == {
        name: ["low_quality"] for name in ("restore", "restore_fp16", "restore_int8")
    }
    face = golden.golden_picture(512)
    trained = find_system("toy").load(weights).open_restorer()
    assert trained is not None
    exported = FolderModel(folder)(face, []).picture
    assert np.abs(exported.astype(int) - trained(face, []).picture).max() <= 1
    assert not np.array_equal(exported, face)

    # Beside RefSTAR, in the service: the default where there are no references, and only there.
    write_small_model(tmp_path / "zoo")
    cv2.imwrite(str(tmp_path / "face.png"), face[..., ::-1])
    monkeypatch.setenv("REFSTAR_MODELS_DIR", str(tmp_path / "zoo"))
    asked = ["restore", str(tmp_path / "face.png"), "--faces", "aligned", "--no-keep", "-o"]
    references = ["-r", str(tmp_path / "face.png")]
    assert service.run([*asked, str(tmp_path / "alone.png")]) == 0
    assert service.run([*asked, str(tmp_path / "helped.png"), *references]) == 0
    alone, helped = (cv2.imread(str(tmp_path / f"{name}.png"))[..., ::-1] for name in ("alone", "helped"))
    assert np.array_equal(alone, exported)
    assert not np.array_equal(helped, exported)
    assert service.run([*asked, str(tmp_path / "refused.png"), "--model", "toy", *references]) == 1
    assert "The model 'toy' takes no references." in capsys.readouterr().err


@pytest.mark.usefixtures("toy")
def test_no_step_is_no_training_and_lengths_that_cannot_be_are_refused(
    photos: PhotoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = photos.roots[0]
    run(monkeypatch, "train", "toy", "--data", data, "--out", tmp_path, "--steps", 0)
    assert torch.load(tmp_path / "weights.pt", weights_only=True)["step"] == 0
    for option, value in (("--steps", "-1"), ("--rate", "0"), ("--rate", "nan")):
        with pytest.raises(SystemExit, match=f"{option} {value}"):
            run(monkeypatch, "train", "toy", "--data", data, "--out", tmp_path / "other", f"{option}={value}")
    assert not (tmp_path / "other").exists()


@pytest.mark.parametrize("name", list(SYSTEMS))
def test_a_system_is_not_loaded_for_the_sake_of_another(name: str) -> None:
    others = [
        other
        for other in SYSTEMS
        if other != name and (name, other) not in (("refstar", "ganprior"), ("ented", "ganprior"))
    ]
    check = (
        "import sys; from refstar_model.system import find_system; import argparse; "
        f"find_system({name!r}).add_options(argparse.ArgumentParser()); "
        f"print([o for o in {others!r} if any(m.startswith('refstar_model.' + o) for m in sys.modules)], "
        "'torch' in sys.modules)"
    )
    answer = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert answer.stdout.strip() == "[] False"


def test_what_does_not_need_refstar_does_not_load_it() -> None:
    # In one process, since loading torch takes two seconds: the first that loads it is named, with all after it.
    modules = [
        "refstar_model.cli",
        "refstar_model.evaluation",
        "refstar_model.export.restoring",
        "refstar_model.export.quantization",
        "refstar_model.ganprior.export_view",
        "refstar_model.detector.publishing",
        "refstar_model.training",
        "refstar_model.ganprior.training",
        "refstar_model.detector.training",
    ]
    check = f"""
import importlib, sys
for module in {modules!r}:
    importlib.import_module(module)
    if any(loaded.startswith("refstar_model.refstar") for loaded in sys.modules):
        print(module)
"""
    answer = subprocess.run([sys.executable, "-c", check], capture_output=True, text=True, check=True)
    assert answer.stdout.split() == []


@pytest.mark.parametrize(
    ("asked", "message"),
    [
        (["{weights}"], "is not a model folder; for weights, name their --system"),
        (["{folder}", "--system", "toy"], "is a model folder; --system is for weights"),
        (["{weights}", "--system", "toy", "--write"], "export the weights first"),
        (["{weights}", "--system", "toy"], "is not a file; name the weights.pt or best.pt"),
    ],
)
@pytest.mark.usefixtures("toy")
def test_what_evaluate_cannot_do_is_said(
    asked: list[str],
    message: str,
    photos: PhotoSet,
    recognizer_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    model = [part.format(weights=tmp_path / "weights.pt", folder=tmp_path) for part in asked]
    with pytest.raises(SystemExit, match=message):
        run(monkeypatch, "evaluate", *model, "--data", photos.roots[0], "--judge", recognizer_file)


@pytest.mark.parametrize("system", ["toy", "ganprior", "refstar", "detector"])
@pytest.mark.usefixtures("toy")
def test_weights_of_something_else_are_refused(
    system: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch.save({"weights": {"other": torch.zeros(1)}, "step": 3}, tmp_path / "weights.pt")
    (tmp_path / "broken.pt").write_bytes(b"nothing")
    for name in ("weights.pt", "broken.pt"):
        with pytest.raises(SystemExit, match=f"{name} does not hold weights of {system}"):
            run(monkeypatch, "export", system, tmp_path / name, "--out", tmp_path / "zoo")
    assert not (tmp_path / "zoo").exists()
