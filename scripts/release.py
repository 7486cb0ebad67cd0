"""Give everything one new version, close the changelog's open section, commit and tag.

    .venv/bin/python scripts/release.py 0.2.0

Wants a clean working tree. It pushes and publishes nothing: `git push --follow-tags` does, once the tests are green.
"""

import argparse
import datetime
import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
VERSION = re.compile(r"\d+\.\d+\.\d+")
DISTRIBUTIONS = ("service", "client", "model")
#: Where the version stands, and in which form; {} is the version.
PLACES = {
    "service/pyproject.toml": ('version = "{}"',),
    "client/pyproject.toml": ('version = "{}"',),
    "model/pyproject.toml": ('version = "{}"',),
    "deploy/chart/Chart.yaml": ("version: {}", "appVersion: {}"),
}
#: Files that name images of this version: refstar-gateway:0.1.0.
NAMING_IMAGES = ("docker-compose.yml", "deploy/README.md", "deploy/**/*.yaml")
IMAGE = re.compile(r"(refstar-(?:gateway|worker|worker-gpu):)\d+\.\d+\.\d+")
OPEN = "## Unreleased\n"


class ReleaseError(Exception):
    """What is in the way of a release."""


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("version", help="such as 0.2.0")
    new = parser.parse_args().version
    try:
        if _run("status", "--porcelain"):
            raise ReleaseError("the working tree has changes: commit them first")
        set_version(ROOT, new)
        close_changelog(ROOT / "CHANGELOG.md", new, datetime.datetime.now(datetime.UTC).date())
    except ReleaseError as error:
        sys.exit(f"release: {error}")
    _run("commit", "--all", "--message", f"Version {new}")
    _run("tag", "--annotate", f"v{new}", "--message", f"Version {new}")
    print(f"tagged v{new}")


def read_version(root: Path) -> str:
    """The one version of all. Raises ReleaseError where they differ."""
    found = {}
    for place, forms in PLACES.items():
        for form in forms:
            pattern = "(.*)".join(map(re.escape, form.split("{}")))
            match = re.search(f"^{pattern}$", (root / place).read_text(), re.M)
            if match is None:
                raise ReleaseError(f"{place} has no line {form.format('...')}")
            found[f"{place}, {form.partition(' ')[0]}"] = match[1]
    if len(set(found.values())) > 1:
        raise ReleaseError(f"the versions differ: {found}")
    return next(iter(found.values()))


def set_version(root: Path, new: str) -> None:
    """Raises ReleaseError for what is no version, or not a later one."""
    old = read_version(root)
    if not VERSION.fullmatch(new) or _parts(new) <= _parts(old):
        raise ReleaseError(f"{new} is not a version of three numbers that is later than {old}")
    for place, forms in PLACES.items():
        text = (root / place).read_text()
        for form in forms:
            text = re.sub(f"^{re.escape(form.format(old))}$", form.format(new), text, flags=re.M)
        (root / place).write_text(text)
    for pattern in NAMING_IMAGES:
        for path in root.glob(pattern):
            text = path.read_text()
            if (changed := IMAGE.sub(rf"\g<1>{new}", text)) != text:
                path.write_text(changed)


def close_changelog(path: Path, version: str, day: datetime.date) -> None:
    """What is unreleased is that version's; a new open section is above it. Raises ReleaseError where it is empty."""
    before, found, after = path.read_text().partition(OPEN)
    if not found or not after.lstrip().startswith(("-", "###")):
        raise ReleaseError(f"{path.name} says nothing below {OPEN.strip()!r}: what is new?")
    path.write_text(f"{before}{OPEN}\n## {version} ({day.isoformat()})\n{after}")


def _parts(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def _run(*arguments: str) -> str:
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


if __name__ == "__main__":
    main()
