"""What the tests of whole systems share."""

import os
from pathlib import Path

import pytest
from refstar_service.settings import PREFIX, Settings
from small_model import write_small_model


@pytest.fixture(scope="session")
def small_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of models that loads in a moment: a small one, and the shipped detector. Not to be written to."""
    folder = tmp_path_factory.mktemp("small") / "models"
    write_small_model(folder)
    (folder / "detector").symlink_to(Settings().models_dir / "detector")
    return folder


@pytest.fixture
def defaults(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    return Settings()
