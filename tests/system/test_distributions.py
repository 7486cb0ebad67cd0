"""The three distributions, built as for an index: one version, license, words, and no more than belongs in."""

import datetime
import runpy
import shutil
import subprocess
import sys
import zipfile
from email import message_from_string
from email.message import Message
from importlib import metadata
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
RELEASE: dict[str, Any] = runpy.run_path(str(ROOT / "scripts" / "release.py"))
DISTRIBUTIONS: tuple[str, ...] = RELEASE["DISTRIBUTIONS"]
ReleaseError = RELEASE["ReleaseError"]


@pytest.fixture(scope="module")
def wheels(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    out = tmp_path_factory.mktemp("dist")
    for name in DISTRIBUTIONS:
        build = [
            sys.executable,
            "-m",
            "build",
            "--wheel",
            "--no-isolation",
            "--outdir",
            str(out),
            str(ROOT / name),
        ]
        done = subprocess.run(build, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
    return {name: next(out.glob(f"refstar_{name}-*.whl")) for name in DISTRIBUTIONS}


def read_about(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as files:
        name = next(n for n in files.namelist() if n.endswith(".dist-info/METADATA"))
        return message_from_string(files.read(name).decode())


def test_an_index_would_take_them(wheels: dict[str, Path]) -> None:
    check = [sys.executable, "-m", "twine", "check", "--strict", *map(str, wheels.values())]
    done = subprocess.run(check, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout


@pytest.mark.parametrize("name", DISTRIBUTIONS)
def test_a_wheel_has_license_readme_classifiers_and_types(wheels: dict[str, Path], name: str) -> None:
    about = read_about(wheels[name])
    assert about["License-Expression"] == "Apache-2.0"
    assert "Typing :: Typed" in about.get_all("Classifier", [])
    assert f"refstar-{name}" in str(about.get_payload())
    with zipfile.ZipFile(wheels[name]) as files:
        names = files.namelist()
        license_file = next(n for n in names if n.endswith("licenses/LICENSE"))
        assert files.read(license_file) == (ROOT / "LICENSE").read_bytes()
    assert f"refstar_{name}/py.typed" in names
    assert {n.partition("/")[0].partition("-")[0] for n in names} == {f"refstar_{name}"}


def test_the_service_brings_its_models_and_its_page(wheels: dict[str, Path]) -> None:
    with zipfile.ZipFile(wheels["service"]) as files:
        page = {n.rpartition("/")[2] for n in files.namelist() if "/gateway/routes/page/" in n}
        models = {n.split("/")[2] for n in files.namelist() if n.endswith("/model.json")}
    assert {"detector", "refstar"} <= models
    assert page == {path.name for path in (ROOT / "service/refstar_service/gateway/routes/page").iterdir()}


def test_all_have_one_version() -> None:
    version = RELEASE["read_version"](ROOT)
    assert {metadata.version(f"refstar-{name}") for name in DISTRIBUTIONS} == {version}


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    """What a release changes."""
    for place in (*RELEASE["PLACES"], "docker-compose.yml", "CHANGELOG.md"):
        (tmp_path / place).parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(ROOT / place, tmp_path / place)
    shutil.copytree(ROOT / "deploy", tmp_path / "deploy", dirs_exist_ok=True)
    return tmp_path


def test_a_release_changes_the_version_everywhere(copy: Path) -> None:
    old = RELEASE["read_version"](copy)
    RELEASE["set_version"](copy, "77.0.1")
    assert RELEASE["read_version"](copy) == "77.0.1"
    named = [p for p in copy.rglob("*") if p.is_file() and f"refstar-worker:{old}" in p.read_text()]
    assert named == []
    assert "refstar-gateway:77.0.1" in (copy / "docker-compose.yml").read_text()
    with pytest.raises(ReleaseError, match=r"later than 77.0.1"):
        RELEASE["set_version"](copy, "76.9.9")


def test_versions_that_differ_are_refused(copy: Path) -> None:
    project = copy / "client" / "pyproject.toml"
    project.write_text(project.read_text().replace('\nversion = "', '\nversion = "9'))
    with pytest.raises(ReleaseError, match="the versions differ"):
        RELEASE["read_version"](copy)


def test_a_release_closes_the_open_section_of_the_changelog(copy: Path) -> None:
    path = copy / "CHANGELOG.md"
    RELEASE["close_changelog"](path, "77.0.1", datetime.date(2027, 1, 2))
    text = path.read_text()
    assert "## Unreleased\n\n## 77.0.1 (2027-01-02)\n" in text
    with pytest.raises(ReleaseError, match="what is new"):
        RELEASE["close_changelog"](path, "77.0.2", datetime.date(2027, 1, 3))


@pytest.mark.parametrize("name", ["bug", "result"])
def test_an_issue_form_asks_for_the_version(name: str) -> None:
    content = yaml.safe_load((ROOT / f".github/ISSUE_TEMPLATE/{name}.yml").read_text())
    assert {"name", "description", "body"} <= content.keys()
    assert any("refstar --version" in str(part) for part in content["body"])
