"""Commands beside restore: models, version, what is wrong with a start."""

import json
from importlib import metadata

import pytest
from refstar_service.app.cli import run
from refstar_service.restoration.knobs import KNOBS
from refstar_service.settings import Settings


def test_models_are_listed_with_their_data_and_limits(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models"]) == 0
    said = capsys.readouterr().out
    assert "\nrefstar " in f"\n{said}"
    assert f"  faces of 512 px, up to 8 references, in {Settings().models_dir / 'refstar'}\n" in said
    # Of files that are refstar's: those of ented begin with its name.
    files = (Settings().models_dir / "refstar").iterdir()
    size = sum(file.stat().st_size for file in files if not file.name.startswith(("ented_", "model.json")))
    assert f"  {size / 1e6:.1f} MB  " in said
    assert "trained on:" in said
    assert "limit:" in said


def test_models_are_listed_for_programs(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models", "--json"]) == 0
    models = json.loads(capsys.readouterr().out)
    shown = [(model["name"], model["input_size"], model["max_references"]) for model in models]
    assert shown == [("ented", 512, 8), ("ganprior", 512, 0), ("refstar", 512, 8)]
    for model in models:
        folder = Settings().models_dir / model["name"]
        manifest = json.loads((folder / "model.json").read_text())
        # One file of weights may be that of several models.
        weights = [manifest[name] for name in ("weights", "shared_weights") if name in manifest]
        named = [*manifest["graphs"].values(), *weights]
        assert model["bytes"] == sum((folder / one["file"]).stat().st_size for one in named)
        assert set(model["knobs"]) <= KNOBS.keys()


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run(["--version"])
    assert ended.value.code == 0
    assert capsys.readouterr().out == f"refstar {metadata.version('refstar-service')}\n"


def test_a_worker_alone_needs_a_redis(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("REFSTAR_REDIS_URL", raising=False)
    assert run(["worker"]) == 1
    assert "REFSTAR_REDIS_URL" in capsys.readouterr().err


def test_a_setting_that_is_wrong_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REFSTAR_MAX_BATCH", "0")
    assert run(["models"]) == 2
    assert "REFSTAR_MAX_BATCH" in capsys.readouterr().err
