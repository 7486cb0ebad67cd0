"""What became of each picture of a folder, line by line in a file: a run that was cut short goes on where it was.

Lines are JSON; the first says what the file is. A line that was cut off, the last one of a killed run, does not count.
`refstar submit` has a journal of its own: it keeps what a service has accepted, and needs nothing of this package.
"""

from __future__ import annotations

import fcntl
import json
import os
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

from refstar_service.app.restore.targets import Stamp, stamp

FORMAT = 1


class JournalError(ValueError):
    """A file that is no journal, one of another version, or one that another run writes."""


@dataclass(frozen=True)
class Entry:
    """``request``: a picture as it was, and all that was wanted of it. ``report``: what became of it. ``file``: its
    result, seen from the journal."""

    request: str
    report: dict[str, Any]
    file: str | None


@dataclass
class Journal:
    """Use it in `with`. ``files``: what the runs wrote, each with its size and time of change."""

    path: Path
    entries: dict[str, Entry] = field(default_factory=dict)
    files: dict[str, Stamp] = field(default_factory=dict)
    _file: IO[str] | None = None

    def __enter__(self) -> Self:
        """Reads what there is, then appends. Raises JournalError, OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        self._file = self.path.open("a+", encoding="ascii")
        try:
            self._begin(self._file)
        except BaseException:
            self._file.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def find(self, picture: str, request: str) -> Entry | None:
        """What became of the picture when just this was wanted of it."""
        entry = self.entries.get(picture)
        return entry if entry is not None and entry.request == request else None

    def find_result(self, entry: Entry) -> Path | None:
        """Where the result lies, if it is still the one that was written."""
        path = None if entry.file is None else self.path.parent / entry.file
        return path if path is not None and self.wrote(path) else None

    def note(
        self, picture: str, request: str, report: dict[str, Any], result: tuple[Path, Stamp] | None
    ) -> None:
        """``result`` is noted before it is there: of a run that is killed, it is missing then, or what is noted."""
        written = None if result is None else [self._name(result[0]), *result[1]]
        self._add({"picture": picture, "request": request, "report": report, "file": written})

    def note_file(self, path: Path) -> None:
        self._add({"file": [self._name(path), *stamp(path)]})

    def wrote(self, path: Path) -> bool:
        """Whether what is there now was written by a run of this journal."""
        try:
            return self.files.get(self._name(path)) == stamp(path)
        except OSError:
            return False

    def _name(self, path: Path) -> str:
        """Seen from the journal: both may be moved together, and found from another folder."""
        return os.path.relpath(path.resolve(), self.path.parent.resolve())

    def _begin(self, file: IO[str]) -> None:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise JournalError(f"another run writes {self.path}; wait until it ends") from None
        file.seek(0)
        whole, number = True, 0
        for number, text in enumerate(file, 1):
            whole = text.endswith("\n")
            try:
                line = json.loads(text)
            except ValueError:
                line = None
            if number == 1 and (not isinstance(line, dict) or line.get("refstar-restore") != FORMAT):
                raise JournalError(
                    f"{self.path} is no journal of this version of refstar: name another file with --journal"
                )
            if isinstance(line, dict):
                self._take(line)
        if not whole:
            file.write("\n")
        if not number:
            self._add({"refstar-restore": FORMAT})

    def _add(self, line: dict[str, Any]) -> None:
        assert self._file is not None, "used outside of `with`"
        self._take(line)
        self._file.write(json.dumps(line, separators=(",", ":")) + "\n")
        self._file.flush()

    def _take(self, line: dict[str, Any]) -> None:
        name = None
        if written := line.get("file"):
            name, size, changed = written
            self.files[name] = size, changed
        if "picture" in line:
            self.entries[line["picture"]] = Entry(line["request"], line["report"], name)
