"""Models of one's own: in folders beside the shipped ones, without a detector of their own."""

import json
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from lone_model import write_lone_model
from refstar_service.app import cli
from refstar_service.app.installed import installed_models
from refstar_service.app.loading import load
from refstar_service.engine.errors import ModelError
from refstar_service.settings import Settings
from refstar_service.settings.models import SHIPPED_MODELS
from small_model import write_small_model


@pytest.fixture
def folders(tmp_path: Path) -> tuple[Path, Path]:
    """Two, each with a model of one system; the second has another name."""
    first, second = tmp_path / "first", tmp_path / "second"
    for folder in (first, second):
        write_small_model(folder)
    rename(second / "refstar", "family")
    return first, second


def rename(model: Path, name: str) -> None:
    manifest = json.loads((model / "model.json").read_text())
    (model / "model.json").write_text(json.dumps(manifest | {"name": name}))


def joined(*folders: Path) -> Path:
    return Path(os.pathsep.join(map(str, folders)))


def test_two_models_of_one_system_are_loaded_with_the_detector_of_the_package(
    folders: tuple[Path, Path],
) -> None:
    settings = Settings(models_dir=joined(*folders), threads=1)
    assert settings.model_folders == folders
    assert settings.detector_models == SHIPPED_MODELS
    loaded = load(settings)
    assert loaded.restorers.keys() == {"refstar@0", "family@0"}
    assert loaded.detector.label.startswith("refstar-detector")


def test_a_folder_that_has_a_detector_comes_before_the_package(folders: tuple[Path, Path]) -> None:
    (folders[1] / "detector").symlink_to(SHIPPED_MODELS / "detector")
    assert Settings(models_dir=joined(*folders)).detector_models == folders[1]


def test_the_command_line_takes_several_folders(
    folders: tuple[Path, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    write_lone_model(folders[1])
    options = [word for folder in folders for word in ("--models-dir", str(folder))]
    assert cli.run(["models", "--json", *options]) == 0
    models = {model["name"]: model["folder"] for model in json.loads(capsys.readouterr().out)}
    assert models == {
        "refstar": str(folders[0] / "refstar"),
        "family": str(folders[1] / "refstar"),
        "lone": str(folders[1] / "lone"),
    }


def test_a_photograph_is_restored_by_the_model_that_is_named(
    folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFSTAR_MODELS_DIR", str(joined(*folders)))
    picture, result = tmp_path / "face.png", tmp_path / "restored.png"
    photograph = skimage.data.astronaut()
    cv2.imwrite(str(picture), photograph)
    asked = ["restore", str(picture), "-o", str(result), "-r", str(picture), "--model", "family"]
    assert cli.run(asked) == 0
    restored = cv2.imread(str(result))
    assert restored.shape == photograph.shape
    assert not np.array_equal(restored, photograph)


@pytest.mark.parametrize(
    ("name", "complaint"),
    [("gone", "is not a folder"), ("first/refstar", "is a model itself; name the folder that contains it")],
)
def test_what_holds_no_models_is_refused(
    folders: tuple[Path, Path], tmp_path: Path, name: str, complaint: str
) -> None:
    with pytest.raises(ModelError, match=complaint):
        installed_models(Settings(models_dir=joined(folders[0], tmp_path / name)))


def test_two_folders_with_one_version_of_a_name_are_refused_with_what_to_do(
    folders: tuple[Path, Path],
) -> None:
    rename(folders[1] / "refstar", "refstar")
    with pytest.raises(ModelError, match=r"is taken by .*first/refstar; .*--version or --name"):
        installed_models(Settings(models_dir=joined(*folders)))
