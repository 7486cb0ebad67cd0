"""Without the networks of others: what is missing is named, with where to get it and what is lost; and it works."""

import json
import shutil
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from refstar_model import cli
from refstar_model.data.photos import DataError, PhotoSet
from refstar_model.evaluation import Extent, Judges, RestoredPicture, evaluate, markdown, quick_scores
from refstar_model.evaluation.cases import few_cases
from refstar_model.options.teachers import JUDGE, MESH, RECOGNIZER, find_teachers
from refstar_model.progress import follow


def test_a_missing_network_is_named_with_where_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REFSTAR_DATA", str(tmp_path))
    assert RECOGNIZER.find() is None
    assert find_teachers() is None
    with pytest.raises(SystemExit, match=r"--recognizer gone.onnx is no file.*becauseofAI/MobileFace"):
        RECOGNIZER.choose(Path("gone.onnx"), "--recognizer", "likeness is lost")
    with pytest.raises(SystemExit, match=r"--teachers is missing.*mediapipe.*models/mediapipe"):
        MESH.require(None, "--teachers")
    assert JUDGE.choose(None, "--judge", "identity is not measured") is None
    said = capsys.readouterr().out
    assert said.startswith("without --judge, identity is not measured. MobileFace V2")
    assert "models/mobileface/mobileface_v2.onnx in a folder that REFSTAR_DATA names" in said


def test_networks_below_a_folder_of_the_environment_are_found(
    recognizer_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for teacher in (RECOGNIZER, MESH):
        (tmp_path / teacher.place).parent.mkdir(parents=True)
        shutil.copy(recognizer_file, tmp_path / teacher.place)
    monkeypatch.setenv("REFSTAR_DATA", str(tmp_path))
    assert RECOGNIZER.find() == tmp_path / RECOGNIZER.place
    assert find_teachers() == tmp_path / "models"


def copy(
    low_quality: np.ndarray, references: Sequence[np.ndarray], strength: float = 1.0, fidelity: float = 0.5
) -> RestoredPicture:
    """A model that does nothing."""
    return RestoredPicture(low_quality, np.zeros((max(1, len(references)), 4, 4), np.uint8), True)


def test_a_model_is_evaluated_without_a_judge_and_the_report_says_so(photos: PhotoSet) -> None:
    everything = Extent(levels=("severe",), cases=2, knobs_every=2, per_group=1, lone_cases=1)
    table, records = evaluate(copy, photos, Judges(), extent=everything)
    said = markdown(table)
    assert "Identity: off (no --judge)" in said
    assert "PSNR" in said
    assert records
    assert not any("identity" in name for record in records for name in record.scores)
    assert "identity" not in json.dumps(table["bars"])
    scores = quick_scores(copy, photos.split("val"), None, cases=2)
    assert np.isfinite(scores["score"])
    assert not any("identity" in name for name in scores)


def test_people_too_few_to_judge_by_are_refused_with_what_to_do(photos: PhotoSet) -> None:
    val = photos.split("val")
    with pytest.raises(DataError, match="prepare an album of more people"):
        few_cases(replace(val, pairs=val.pairs[:1]), "severe", 2)


def test_long_work_says_how_far_it_is(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("refstar_model.progress.EVERY", 0.0)
    assert list(follow([1, 2, 3], "severe")) == [1, 2, 3]
    assert capsys.readouterr().err.splitlines() == [
        "severe: 1 of 3, 0 s left",
        "severe: 2 of 3, 0 s left",
    ]


def test_training_needs_data_and_says_how_to_make_some(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REFSTAR_DATA", raising=False)
    monkeypatch.setattr(sys, "argv", ["refstar-model", "train", "refstar", "--out", str(tmp_path)])
    with pytest.raises(SystemExit, match=r"--data is missing.*refstar-model prepare"):
        cli.main()
