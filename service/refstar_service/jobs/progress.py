"""How far a running job is, for those who watch it. Losing it harms nobody."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum


class Stage(StrEnum):
    PREPARING = "preparing"  # its pictures are read and its faces sought
    RESTORING = "restoring"  # its faces go through the model
    STORING = "storing"  # the result is made and kept


@dataclass(frozen=True)
class Progress:
    """`faces`: how many go through the model; None until they are found. `faces_done`: how many of them are through."""

    stage: Stage
    faces_done: int = 0
    faces: int | None = None

    def to_text(self) -> str:
        return f"{self.stage} {self.faces_done} {'-' if self.faces is None else self.faces}"

    @classmethod
    def from_text(cls, text: str) -> Progress | None:
        """What `to_text` wrote; None for what another version wrote and this one cannot read."""
        try:
            stage, done, faces = text.split(" ")
            return cls(Stage(stage), int(done), None if faces == "-" else int(faces))
        except ValueError:
            return None
