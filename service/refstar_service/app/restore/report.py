"""What became of one picture, for people and for programs."""

import json
import re
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from enum import StrEnum
from typing import Any

from refstar_service.restoration.report import FaceAction, FaceReport, ReferenceReport


class Outcome(StrEnum):
    RESTORED = "restored"
    KEPT = "kept"  # no face came out better than it was: the result shows the picture unchanged
    FAILED = "failed"
    SKIPPED = "skipped"  # its result exists
    PASSED_OVER = "passed-over"  # not a picture, or in a folder that was not searched


@dataclass
class PictureReport:
    """``reason``: why it was passed over."""

    input: str
    status: Outcome = Outcome.FAILED
    output: str | None = None
    selection: str | None = None
    error: dict[str, str] | None = None
    reason: str | None = None
    faces: tuple[FaceReport, ...] = ()
    references: tuple[ReferenceReport, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)

    def fail(self, code: str, detail: str) -> None:
        self.status, self.output = Outcome.FAILED, None
        self.error = {"code": code, "detail": detail}

    def note_faces(self) -> None:
        """Whether it was restored, by what became of its faces."""
        restored = any(face.action is FaceAction.RESTORED for face in self.faces)
        self.status = Outcome.RESTORED if restored else Outcome.KEPT

    @property
    def summary(self) -> str:
        if self.error is not None:
            return f"failed: {self.error['code']}: {self.error['detail']}"
        if self.status is Outcome.SKIPPED:
            return f"skipped: {self.output} exists"
        restored = sum(face.action is FaceAction.RESTORED for face in self.faces)
        noun = "face" if len(self.faces) == 1 else "faces"
        why = Counter(face.reason for face in self.faces if face.action is not FaceAction.RESTORED)
        others = [f"{count} {reason}" for reason, count in why.items()]
        others += [f"reference {r.index} {r.reason}" for r in self.references if not r.used]
        return f"{restored} of {len(self.faces)} {noun} restored{in_parentheses(others)}  {self.output}"

    def as_line(self) -> dict[str, Any]:
        return asdict(self)


def sum_up(lines: Iterable[Mapping[str, Any]]) -> str:
    """How many there are of each outcome, and why some failed; the status of the program is in it."""
    lines = list(lines)
    count = Counter(line["status"] for line in lines)
    failed = Counter(line["error"]["code"] for line in lines if line["status"] == Outcome.FAILED)
    why = in_parentheses([f"{number} {code}" for code, number in failed.most_common()])
    parts = [f"{count[Outcome.RESTORED]} restored", f"{count[Outcome.FAILED]} failed{why}"]
    parts += [f"{count[Outcome.KEPT]} kept as they were"] if count[Outcome.KEPT] else []
    parts += [f"{count[Outcome.SKIPPED]} skipped"] if count[Outcome.SKIPPED] else []
    parts += [f"{count[Outcome.PASSED_OVER]} passed over"] if count[Outcome.PASSED_OVER] else []
    return ", ".join(parts)


def in_parentheses(parts: list[str]) -> str:
    return f" ({', '.join(parts)})" if parts else ""


def show(text: object) -> str:
    """A name for people: bytes that are not UTF-8 as ``\\xe8``, which every terminal and every encoding can show."""
    return str(text).encode(errors="surrogateescape").decode(errors="backslashreplace")


def as_json(value: Any, indent: int | None = None) -> str:
    """JSON that every reader takes: names of files that are not UTF-8 as `show` has them."""
    text = json.dumps(value, indent=indent, ensure_ascii=False)
    return re.sub("[\udc80-\udcff]", lambda found: f"\\\\x{ord(found[0]) - 0xDC00:02x}", text)
