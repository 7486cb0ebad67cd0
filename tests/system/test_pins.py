"""constraints.txt: what an installation is made of."""

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]


def requirements() -> Iterator[str]:
    for member in ("service", "client", "model"):
        project = tomllib.loads((ROOT / member / "pyproject.toml").read_text())
        yield from project["project"]["dependencies"]
        for extra in project["project"].get("optional-dependencies", {}).values():
            yield from extra
        yield from project["build-system"]["requires"]
    yield from tomllib.loads((ROOT / "pyproject.toml").read_text())["dependency-groups"]["dev"]


def test_every_requirement_is_pinned_without_host_path_or_build_tag() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(re.fullmatch(r"[a-z0-9-]+==[0-9a-z.]+", line) for line in lines)
    pinned = {line.partition("==")[0] for line in lines}
    assert {re.split(r"[^\w-]", requirement)[0] for requirement in requirements()} <= pinned


def test_every_pin_has_its_hashes_but_those_of_several_indexes() -> None:
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    hashed: dict[str, list[str]] = {}
    pin = ""
    for line in (ROOT / "hashes.txt").read_text().splitlines():
        if line.startswith("    "):
            hashed[pin].append(line)
        elif not line.startswith("#"):
            pin = line.removesuffix(" \\")
            hashed[pin] = []
    assert sorted(hashed) == sorted(pins), "run scripts/pin.sh"
    assert [pin.partition("==")[0] for pin, hashes in hashed.items() if not hashes] == ["torch"]
    assert all(
        re.fullmatch(r"    --hash=sha256:[0-9a-f]{64}( \\)?", line)
        for hashes in hashed.values()
        for line in hashes
    )


def test_the_licenses_are_listed_of_the_versions_that_are_pinned() -> None:
    rows = re.findall(
        r"^\| ([\w.-]+) \| ([0-9][\w.]*) \| (\S.*?) \|", (ROOT / "docs" / "licenses.md").read_text(), re.M
    )
    listed = {f"{re.sub('[-_.]+', '-', name).lower()}=={version}" for name, version, _ in rows}
    assert len(listed) > 30
    pins = set((ROOT / "constraints.txt").read_text().splitlines())
    assert listed <= pins, "run scripts/list_licenses.py, as docs/licenses.md says"
