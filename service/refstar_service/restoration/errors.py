"""Why a restoration cannot be done.

RestorationError
├─ RequestError   what was asked for cannot be meant: known before a pixel was decoded
└─ StepError      a picture is not what it must be
"""

from collections.abc import Sequence
from dataclasses import dataclass

from refstar_service.restoration.report import FaceReport, ReferenceReport


class RestorationError(ValueError):
    """``code`` is a problem slug, ``detail`` a sentence for whoever asked; ``faces`` and ``references``: what was seen
    until then."""

    def __init__(
        self,
        code: str,
        detail: str,
        faces: tuple[FaceReport, ...] = (),
        references: tuple[ReferenceReport, ...] = (),
    ) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail, self.faces, self.references = code, detail, faces, references


class StepError(RestorationError):
    """``detail`` names the file and what was found."""


@dataclass(frozen=True)
class Fault:
    """A value that cannot stand. "`parameter` `reason`" is a sentence."""

    parameter: str
    value: str
    reason: str


class RequestError(RestorationError):
    """``faults``: values that cannot stand, all at once. ``parameter``: which one it is about, if it is one alone.
    ``limit``: the number that was exceeded, if one was."""

    def __init__(
        self,
        code: str,
        detail: str,
        *,
        faults: Sequence[Fault] = (),
        parameter: str | None = None,
        limit: int | None = None,
    ) -> None:
        super().__init__(code, detail)
        self.faults, self.parameter, self.limit = tuple(faults), parameter, limit
