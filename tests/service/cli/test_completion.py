"""What a shell completes, in a real one."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from refstar_service.app.cli import run

COMPLETE = """
cd "$1"; source "$2"; shift 2
COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); COMP_LINE="$*"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9
_python_argcomplete refstar "${!#}" "${COMP_WORDS[$COMP_CWORD - 1]}"
printf '%s\\n' "${COMPREPLY[@]}"
"""


@pytest.fixture
def script(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Path:
    (tmp_path / "scans").mkdir()
    (tmp_path / "scan.png").touch()
    assert run(["completion", "bash"]) == 0
    (tmp_path / "refstar.bash").write_text(capsys.readouterr().out)
    return tmp_path / "refstar.bash"


@pytest.mark.parametrize(
    ("words", "completed"),
    [
        (["re"], {"restore"}),
        (["restore", "--fa"], {"--faces"}),
        (["restore", "--faces", ""], {"all", "largest", "center", "boxes", "aligned"}),
        (["restore", "-o", "sca"], {"scan.png", "scans"}),
        (["restore", "--models-dir", "sca"], {"scans"}),
        (["submit", "--in"], {"--in-flight"}),
        (["worker", "--pa"], set()),  # for `refstar serve` only
        (["completion", ""], {"bash", "zsh", "fish"}),
    ],
)
def test_bash_completes(script: Path, words: list[str], completed: set[str]) -> None:
    command = ["bash", "--norc", "-c", COMPLETE, "bash", str(script.parent), str(script), "refstar", *words]
    path = f"{Path(sys.executable).parent}:{os.environ['PATH']}"
    done = subprocess.run(
        command, capture_output=True, text=True, check=True, env={**os.environ, "PATH": path}
    )
    assert {word.rstrip("/") for word in done.stdout.split()} == completed, done.stderr


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_there_are_scripts_for_other_shells(capsys: pytest.CaptureFixture[str], shell: str) -> None:
    assert run(["completion", shell]) == 0
    said = capsys.readouterr().out
    assert ("compdef _python_argcomplete refstar" if shell == "zsh" else "--command refstar") in said


def test_how_to_use_it_is_said(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["completion", "--help"])
    assert 'eval "$(refstar completion bash)"' in capsys.readouterr().out
