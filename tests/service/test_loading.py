"""What a worker loads: several models side by side, each in a precision that it has, and one cache for all."""

import json
import logging
from pathlib import Path
from threading import Barrier

import pytest
from lone_model import write_lone_model
from refstar_service.app import loading
from refstar_service.app.loading import load
from refstar_service.engine.errors import ModelError
from refstar_service.engine.provider import Precision
from refstar_service.engine.restorer import Restorer
from refstar_service.settings import Settings
from small_model import write_small_model


def test_a_model_without_the_wanted_precision_does_not_stop_others(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_small_model(tmp_path)
    write_lone_model(tmp_path)
    (tmp_path / "detector").symlink_to(Settings().models_dir / "detector")
    caplog.set_level(logging.INFO)
    loaded = load(Settings(models_dir=tmp_path, threads=1, precision="int8"))
    restorers = {name: restorer for name, (_, restorer) in loaded.restorers.items()}
    assert restorers.keys() == {"lone@1", "refstar@0"}
    assert {restorer.precision for restorer in restorers.values()} == {Precision.FP32}
    assert "lone 1 has no graph restore_int8: it runs in fp32" in caplog.text
    assert restorers["lone@1"].cache is restorers["refstar@0"].cache


def test_models_are_loaded_side_by_side(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_small_model(tmp_path)
    write_lone_model(tmp_path)
    (tmp_path / "detector").symlink_to(Settings().models_dir / "detector")
    both = Barrier(2)

    class Patient(Restorer):
        def warm_up(self) -> None:
            both.wait(10)  # each waits until the other is there
            super().warm_up()

    monkeypatch.setattr(loading, "Restorer", Patient)
    assert load(Settings(models_dir=tmp_path, threads=2)).restorers.keys() == {"lone@1", "refstar@0"}


def test_a_model_that_computes_something_else_ends_the_loading(tmp_path: Path) -> None:
    write_small_model(tmp_path)
    write_lone_model(tmp_path)
    (tmp_path / "detector").symlink_to(Settings().models_dir / "detector")
    manifest = tmp_path / "lone" / "model.json"
    described = json.loads(manifest.read_text())
    described["golden"] = {"block_means": [0.0] * 192, "tolerance": 1.0}
    manifest.write_text(json.dumps(described))
    with pytest.raises(ModelError, match="lone 1: the golden picture differs"):
        load(Settings(models_dir=tmp_path, threads=2))
