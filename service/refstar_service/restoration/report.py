"""What is said of each face and of each reference, whatever became of them."""

from dataclasses import dataclass
from enum import StrEnum

from refstar_service.faces.face import Box

#: Why a face that went through the model was left as it was: it gave values that are not numbers, or a reference that
#: the face was given probably shows somebody else.
NOT_FINITE, REFERENCE_STRANGER = "not-finite", "reference-stranger"


class FaceAction(StrEnum):
    RESTORED = "restored"
    SKIPPED = "skipped"  # found, but not chosen by the request; `reason` says why
    KEPT = "kept"  # chosen, but left as it was, since its restoration is no better; `reason` says why
    FAILED = "failed"  # chosen, but left as it was; `reason` says why


@dataclass(frozen=True)
class FaceReport:
    """One face of the picture, or a box in which one was asked for and none is (`score` 0).

    `selected`: mean mask per reference, 0 to 1. `points`: eyes, nose and mouth corners (x, y) in pixels of the
    upright input, those at the picture's left first; none for an aligned picture. `person`: the id of whose face it
    is, of the people who were named.

    `same_person` and `likeness`, per reference and 0 to 1: the probability that it shows the person of this face, and
    what the same judge says of the restored face, if it was put in. None for a reference that the face was not given,
    and of a model that does not judge. Records of older releases have neither.
    """

    box: Box
    score: float
    action: FaceAction
    reason: str | None
    selected: tuple[float, ...]
    points: tuple[tuple[float, float], ...] = ()
    person: str | None = None
    same_person: tuple[float | None, ...] = ()
    likeness: tuple[float | None, ...] = ()

    @property
    def computed(self) -> bool:
        """Whether it went through the model, whatever came of that."""
        restored_or_kept = self.action in (FaceAction.RESTORED, FaceAction.KEPT)
        return restored_or_kept or self.reason in (NOT_FINITE, REFERENCE_STRANGER)


@dataclass(frozen=True)
class ReferenceReport:
    """What was seen in one reference, and whether it was used.

    `index` counts from 1 in the order of the request. `box`, `score` and `size` (side of the face, pixels) are of
    the face that was taken, if one was found. `sharpness`: 0 to about 1, of the aligned face. `person`: the id of
    whose it is, where people were named; then the order is theirs.
    """

    index: int
    name: str
    box: Box | None
    score: float | None
    size: float | None
    sharpness: float | None
    used: bool
    reason: str | None
    person: str | None = None
