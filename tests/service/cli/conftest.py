"""A folder to restore from."""

from pathlib import Path

import pytest
from inverting_restore import picture
from lone_model import write_lone_model
from pictures import file_of


@pytest.fixture
def place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, with a picture, and a folder of three."""
    write_lone_model(tmp_path / "zoo")
    monkeypatch.setenv("REFSTAR_MODELS_DIR", str(tmp_path / "zoo"))
    here = tmp_path / "here"
    (here / "in").mkdir(parents=True)
    (here / "grandma.jpg").write_bytes(file_of(picture(), ".jpg"))
    for number, name in enumerate(("a.png", "b.png", "c.png")):
        (here / "in" / name).write_bytes(file_of(picture(number)))
    monkeypatch.chdir(here)
    return here
