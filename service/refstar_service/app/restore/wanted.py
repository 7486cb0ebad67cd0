"""What a call of ``refstar restore`` asks for."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum
from pathlib import Path
from typing import Any

JOURNAL = "refstar-restore.jsonl"


class Existing(Enum):
    """What becomes of a result whose name is taken by a file that exists."""

    REFUSE = "refuse"
    SKIP = "skip"  # the picture counts as done
    OVERWRITE = "overwrite"


@dataclass(frozen=True)
class RestoreFiles:
    """What to restore; see ``refstar restore --help``.

    ``output``: a file, or a folder if ``into_folder``; None: standard output. ``knobs``: those that were chosen. A
    ``format`` that was not is that of the output's name, else the input's. ``limits``: fields of `ImageLimits`.
    """

    input: Path
    output: Path | None
    into_folder: bool = False
    references: tuple[Path, ...] = ()
    model: str | None = None
    knobs: Mapping[str, Any] = field(default_factory=dict)
    limits: Mapping[str, Any] = field(default_factory=dict)
    selection: Path | None = None
    report: Path | None = None
    recursive: bool = False
    existing: Existing = Existing.REFUSE
    journal: Path | None = None
    retry_failed: bool = False
    as_json: bool = False
