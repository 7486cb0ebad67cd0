"""What stands in the guides works: commands without a server, programs, and folders that are submitted."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
import skimage.data
from documented import DOCS, read_commands
from file_server import serve_files_aside
from refstar_service.app import cli
from small_model import write_small_model

GUIDES = DOCS / "guides"
#: Run by tests of their own, or for ever.
ELSEWHERE = ("refstar serve", "refstar-model")
COMMANDS = [
    (guide.stem, command)
    for guide in sorted(GUIDES.glob("*.md"))
    for command in read_commands(guide)
    if not shlex.join(command).startswith(ELSEWHERE)
]
PROGRAMS = [
    (guide.stem, program)
    for guide in sorted(GUIDES.glob("*.md"))
    for program in re.findall(r"```python\n(.*?)```", guide.read_text(), re.S)
]


@pytest.fixture(scope="module")
def quick_models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One, which loads in a moment."""
    folder = tmp_path_factory.mktemp("models")
    write_small_model(folder)
    return folder


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with the pictures that the guides name."""
    photograph = skimage.data.astronaut()[:256, 96:352]
    for name in ("grandma", "grandma-1975", "grandma-1980", "ada", "ben", "photo", "reference"):
        cv2.imwrite(str(tmp_path / f"{name}.jpg"), photograph[..., ::-1])
    cv2.imwrite(str(tmp_path / "group.jpg"), skimage.data.astronaut()[..., ::-1])
    for folder in ("album", "scans"):
        (tmp_path / folder).mkdir()
        shutil.copy(tmp_path / "photo.jpg", tmp_path / folder)
    return tmp_path


@pytest.mark.parametrize(("guide", "command"), COMMANDS, ids=[f"{g} {' '.join(c)[:40]}" for g, c in COMMANDS])
def test_a_command_of_a_guide_works(
    guide: str,
    command: list[str],
    pictures: Path,
    url: str,
    quick_models: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(pictures)
    monkeypatch.setenv("REFSTAR_MODELS_DIR", str(quick_models))
    assert command[0] == "refstar"
    assert cli.run([word.replace("http://127.0.0.1:8000", url) for word in command[1:]]) == 0
    written = command[command.index("--output" if "--output" in command else "-o") + 1]
    made = pictures / written
    assert any(made.iterdir()) if made.is_dir() else made.stat().st_size > 1000


@pytest.mark.parametrize(
    ("guide", "program"), PROGRAMS, ids=[f"{g} {n}" for n, (g, _) in enumerate(PROGRAMS, 1)]
)
def test_a_program_of_a_guide_runs(guide: str, program: str, pictures: Path, url: str) -> None:
    far = {path.stem: path.read_bytes() for path in pictures.glob("*.jpg")}
    with serve_files_aside(**far) as server:
        urls = {
            "PHOTO_URL": server.url("/photo"),
            "REFERENCE_URL": server.url("/reference"),
            "RESULT_URL": server.url("/restored"),
        }
        ran = subprocess.run(
            [sys.executable, "-c", program],
            cwd=pictures,
            env={"REFSTAR_URL": url, "PATH": os.environ["PATH"], **urls},
            capture_output=True,
            text=True,
            check=False,
        )
    assert ran.returncode == 0, ran.stderr
    written = [path.name for path in pictures.iterdir()] + [path.strip("/") for path in server.files]
    assert [name for name in written if name.startswith("restored")]
