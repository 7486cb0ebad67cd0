"""The examples of client/README.md run as they stand, against a real service."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import cv2
import pytest
from refstar_client.cli import main

ROOT = Path(__file__).parents[2]
README = (ROOT / "client" / "README.md").read_text()
MANIFEST = "".join(re.findall(r"```csv\n(.*?)```", README, re.S))
COMMANDS = re.findall(r"^refstar-client (submit .*)$", README, re.M)
PROGRAMS = re.findall(r"```python\n(.*?)```", README, re.S)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """A folder with the pictures that the examples name."""
    shutil.copy(ROOT / "docs/example/degraded.jpg", tmp_path / "photo.jpg")
    shutil.copy(ROOT / "docs/example/reference.jpg", tmp_path / "reference.jpg")
    return tmp_path


@pytest.mark.parametrize("program", PROGRAMS, ids=[f"program {n}" for n in range(1, len(PROGRAMS) + 1)])
def test_a_program_of_the_readme_runs(program: str, pictures: Path, url: str) -> None:
    ran = subprocess.run(
        [sys.executable, "-W", "error::DeprecationWarning", "-c", program],
        cwd=pictures,
        env={"REFSTAR_URL": url},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr


def test_the_first_program_writes_a_picture(pictures: Path, url: str) -> None:
    subprocess.run([sys.executable, "-c", PROGRAMS[0]], cwd=pictures, env={"REFSTAR_URL": url}, check=True)
    restored = (pictures / "restored.jpg").read_bytes()
    assert restored.startswith(b"\xff\xd8")
    assert restored != (pictures / "photo.jpg").read_bytes()


@pytest.mark.parametrize("command", COMMANDS)
def test_a_command_of_the_readme_runs(
    command: str, pictures: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(pictures)
    (pictures / "album.csv").write_text(MANIFEST)
    cv2.imwrite(str(pictures / "group.png"), cv2.imread(str(pictures / "photo.jpg")))
    (pictures / "scans").mkdir()
    shutil.copy(pictures / "photo.jpg", pictures / "scans")
    with pytest.raises(SystemExit) as ended:
        main(command.replace("http://127.0.0.1:8000", url).split())
    assert ended.value.code == 0
    assert [path for path in (pictures / "restored").iterdir() if path.suffix in (".jpg", ".png")]
