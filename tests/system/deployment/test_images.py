"""The images, as far as that can be told without building one."""

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from deployed_files import DOCKERFILES, ROOT, TOOLS, named, run
from refstar_service.settings import PREFIX


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=named)
def test_dockerfile_passes_hadolint(dockerfile: Path) -> None:
    run(TOOLS / "hadolint", dockerfile)


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=named)
def test_final_stage_is_bare_and_runs_without_root(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    assert text.startswith("ARG BASE="), "the base image is the first thing one may want to replace"
    final = text.rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (.*)$", final, re.M) == ["10001:10001"]
    assert re.search(r'^CMD \["refstar", ', final, re.M)
    assert re.search(r"^HEALTHCHECK ", final, re.M)
    assert not re.search(r"\b(gcc|apt-get|pip|uv)\b", final)
    if "worker" in dockerfile.name:  # onnxruntime reports home unless told not to
        assert "ORT_DISABLE_TELEMETRY=1" in final
        assert f"{PREFIX}WORKER_METRICS_HOST=0.0.0.0" in final


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=named)
def test_what_a_build_behind_a_proxy_needs_stays_in_the_first_stage(dockerfile: Path) -> None:
    first, final = dockerfile.read_text().split("\nFROM ${BASE}\n")
    for argument in ("INDEX", "CA_BUNDLE"):
        assert re.search(rf"^ARG {argument}=$", first, re.M)
        assert first.index(f"ARG {argument}=") < first.index("\nRUN ")
        assert argument not in final
    assert "/build" not in re.findall(r"^COPY --from=build (\S+)", final, re.M)


def test_installers_take_empty_variables_as_none(tmp_path: Path) -> None:
    """Without arguments, the variables of the build are there and empty."""
    empty = dict.fromkeys(("PIP_INDEX_URL", "PIP_CERT", "UV_DEFAULT_INDEX", "SSL_CERT_FILE"), "")
    environment = os.environ | empty | {"VIRTUAL_ENV": sys.prefix}
    for command in (["uv", "pip", "check"], ["uv", "pip", "install", "--dry-run", "--offline", "pytest"]):
        done = subprocess.run(
            [TOOLS / command[0], *command[1:]], env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stderr


def test_the_script_that_builds_them_knows_every_image_and_says_what_it_lacks(tmp_path: Path) -> None:
    script = ROOT / "scripts" / "check_images.sh"
    built = set(re.findall(r"\bbuild ([\w-]+) \d+$", script.read_text(), re.M))
    assert built == {path.name.removesuffix(".Dockerfile") for path in DOCKERFILES}
    done = subprocess.run([script], env=os.environ | {"ENGINE": "no-engine"}, capture_output=True, text=True)
    assert done.returncode == 1
    assert "no-engine is not installed" in done.stderr


@pytest.mark.skipif(shutil.which("shellcheck") is None, reason="shellcheck is not installed")
def test_shell_scripts_pass_shellcheck() -> None:
    run("shellcheck", "--external-sources", *sorted((ROOT / "scripts").rglob("*.sh")))


def test_dockerignore_lets_in_what_the_dockerfiles_copy() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = [
        source
        for dockerfile in DOCKERFILES
        for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile.read_text(), re.M)
        for source in line.split()[:-1]
    ]
    assert copies
    for source in copies:
        assert (ROOT / source).exists()
        assert any(source == name or source.startswith(f"{name}/") for name in allowed), source


def test_gateway_runs_where_nothing_that_restores_is_installed() -> None:
    """OpenCV is half of what an image of the gateway would hold."""
    for modules in ("gateway.app", "app.processes", "app.courier", "app.keys"):
        without = (
            "import sys; sys.modules['onnxruntime'] = sys.modules['cv2'] = None; import refstar_service."
            + modules
        )
        run(sys.executable, "-c", without)
