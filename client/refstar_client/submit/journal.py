"""What has become of each item, line by line in a file: a run that was cut short goes on where it was.

Lines are JSON. The first says which journal it is; every other one is an item's (`output`) latest news: accepted as
`id`, or ended with a `status`. A line that was cut off, the last one of a killed run, does not count.
"""

from __future__ import annotations

import json
import secrets
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO, Any, Self

FORMAT = 1


class JournalError(ValueError):
    """A file that is no journal, or one of another version."""


@dataclass
class Entry:
    """``tries``: how many restorations were made for the item. ``outcome``: its line, once it has ended."""

    id: str | None = None
    tries: int = 0
    outcome: dict[str, Any] | None = None


@dataclass
class Journal:
    """Use it in `with`. ``nonce`` makes the idempotency keys of this journal different from any other's."""

    path: Path
    nonce: str = ""
    entries: dict[str, Entry] = field(default_factory=dict)
    _file: IO[str] | None = None

    def __enter__(self) -> Self:
        """Reads what there is, then appends. Raises JournalError, OSError."""
        self.path.parent.mkdir(parents=True, exist_ok=True)
        whole = self._read()
        self._file = self.path.open("a", encoding="utf-8")
        if not whole:
            self._file.write("\n")
        if not self.nonce:
            self.nonce = secrets.token_hex(16)
            self._write({"refstar-journal": FORMAT, "nonce": self.nonce})
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._file is not None:
            self._file.close()

    def entry(self, output: str) -> Entry:
        return self.entries.setdefault(output, Entry())

    def note_accepted(self, output: str, restoration: str) -> None:
        self._take({"output": output, "id": restoration})
        self._write({"output": output, "id": restoration})

    def note_outcome(self, output: str, outcome: dict[str, Any]) -> None:
        """``outcome`` has a `status`, and whatever the report is to say."""
        line = {"output": output, **outcome}
        self._take(line)
        self._write(line)

    def _read(self) -> bool:
        """Whether the file ends with a whole line, or there is none."""
        if not self.path.exists():
            return True
        whole = True
        with self.path.open(encoding="utf-8", errors="replace") as file:
            for number, text in enumerate(file):
                whole = text.endswith("\n")
                try:
                    line = json.loads(text)
                except ValueError:
                    line = None
                if number == 0:
                    self._take_head(line)
                elif isinstance(line, dict) and isinstance(line.get("output"), str):
                    self._take(line)
        return whole

    def _take_head(self, line: Any) -> None:
        if not isinstance(line, dict) or not isinstance(line.get("nonce"), str):
            raise JournalError(f"{self.path} is no journal: name another file with --journal")
        if line.get("refstar-journal") != FORMAT:
            raise JournalError(f"{self.path} was written by another version of refstar-client")
        self.nonce = line["nonce"]

    def _take(self, line: dict[str, Any]) -> None:
        entry = self.entry(line["output"])
        if "status" in line:
            entry.outcome = line
        else:
            entry.id, entry.outcome = str(line.get("id")), None
            entry.tries += 1

    def _write(self, line: dict[str, Any]) -> None:
        assert self._file is not None, "used outside of `with`"
        self._file.write(json.dumps(line, ensure_ascii=False, separators=(",", ":")) + "\n")
        self._file.flush()
