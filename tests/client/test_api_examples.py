"""docs/api.md is what the service says of itself, and its examples run as they stand."""

import re
import runpy
import shutil
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PAGE = ROOT / "docs" / "api.md"
WRITE_API = runpy.run_path(str(ROOT / "scripts" / "write_api.py"))


def test_the_page_is_what_the_service_says() -> None:
    again = ".venv/bin/python scripts/write_api.py > docs/api.md"
    assert PAGE.read_text() == WRITE_API["write_markdown"](WRITE_API["describe"]()), f"make it again: {again}"


def test_every_call_has_an_example() -> None:
    document = WRITE_API["describe"]()
    named = {o["operationId"] for operations in document["paths"].values() for o in operations.values()}
    assert named == WRITE_API["EXAMPLES"].keys()


@pytest.mark.skipif(shutil.which("curl") is None, reason="curl is not installed")
def test_the_examples_run_one_after_the_other(url: str, tmp_path: Path) -> None:
    shutil.copy(ROOT / "docs/example/degraded.jpg", tmp_path / "photo.jpg")
    shutil.copy(ROOT / "docs/example/reference.jpg", tmp_path / "reference.jpg")
    examples = re.findall(r"```sh\n(.*?)```", PAGE.read_text(), re.S)
    assert len(examples) > 15
    ran = subprocess.run(
        ["bash", "-euo", "pipefail", "-xc", "\n".join(examples)],
        cwd=tmp_path,
        env={"REFSTAR_URL": url, "PATH": "/usr/local/bin:/usr/bin:/bin", "NO_PROXY": "*"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-2000:]
    assert (tmp_path / "restored.jpg").read_bytes().startswith(b"\xff\xd8")
    assert (tmp_path / "selection.png").read_bytes().startswith(b"\x89PNG")
