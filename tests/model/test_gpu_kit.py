"""The commands for a machine with a GPU and no network, rehearsed on the CPU: pack, train by the clock, go on."""

import shutil
import sys
from pathlib import Path

import cv2
import pytest
import torch
from narrow_nets import GANPRIOR, REFSTAR
from refstar_model import cli
from refstar_model.data.photos import PhotoSet
from refstar_model.training.parcel import read_parcel


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.delenv("REFSTAR_DATA", raising=False)
    monkeypatch.setattr(sys, "argv", ["refstar-model", *map(str, arguments)])
    threads = torch.get_num_threads()
    try:
        cli.main()
    finally:
        torch.set_num_threads(threads)


@pytest.fixture
def few_photos(photos: PhotoSet, tmp_path: Path) -> Path:
    """The photographs for training, and two to judge by: restoring those is what takes the time here."""
    folder = shutil.copytree(photos.roots[0], tmp_path / "few")
    for name in ("faces.csv", "pairs.csv"):
        lines = (folder / name).read_text().splitlines(keepends=True)
        (folder / name).write_text("".join(line for line in lines if "p4" not in line and "p5_1" not in line))
    return folder


@pytest.mark.parametrize(("system", "narrow"), [("refstar", REFSTAR), ("ganprior", GANPRIOR)])
def test_what_comes_back_from_a_borrowed_gpu_goes_on_here(
    system: str,
    narrow: object,
    few_photos: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(f"refstar_model.{system}.params.SMALL", narrow)
    run(monkeypatch, "pack", "--data", few_photos, "--out", tmp_path / "pack")
    assert "train" in capsys.readouterr().out
    command = ["train", system, "--data", tmp_path / "pack", "--on-device", "--by-clock", "--batch", 2]
    rehearsed = ["--device", "cpu", "--minutes", 0.03]
    there, back = tmp_path / "there", tmp_path / "back"
    run(monkeypatch, *command, *rehearsed, "--out", there, "--travel", back)
    assert cv2.imread(str(back / "sheet.jpg")) is not None
    tensors, about = read_parcel(back)
    assert about["done"] >= 1
    assert tensors
    assert all(file.stat().st_size <= 15.1 * 2**20 for file in back.iterdir())
    run(monkeypatch, *command, *rehearsed, "--out", back)
    assert f"resuming at step {about['done']}" in capsys.readouterr().out
    assert torch.load(back / "checkpoint.pt", weights_only=True)["done"] > about["done"]


def test_a_clock_needs_its_minutes(photos: PhotoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match="--by-clock needs --minutes"):
        run(monkeypatch, "train", "refstar", "--data", photos.roots[0], "--out", tmp_path, "--by-clock")


def test_a_data_folder_that_is_none_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(SystemExit, match=r"refstar-model: .*neither a folder of face photographs"):
        run(monkeypatch, "data", "--data", tmp_path)
