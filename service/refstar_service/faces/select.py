"""Which of the faces that were found are restored, and why the others are not."""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum

from refstar_service.faces.face import Box, Face

# Why a face is not chosen: slugs that a job reports.
NOT_LARGEST = "not-largest"
NOT_CENTER = "not-center"
NOT_IN_BOXES = "not-in-boxes"
FACE_TOO_SMALL = "face-too-small"
NO_FACE_FOUND = "no-face-found"  # in a box that was asked for

#: Width and height of an aligned crop may differ by this share; more means that it is not one.
SQUARE_WITHIN = 0.02

#: A face belongs to a box that covers this share of it, or that it covers this share of.
_SHARED = 0.5


class FaceMode(StrEnum):
    ALL = "all"
    LARGEST = "largest"
    CENTER = "center"  # the face nearest to the picture's center
    BOXES = "boxes"  # those in the boxes that the request names
    ALIGNED = "aligned"  # nothing is searched: the picture is one aligned face


def is_square(width: int, height: int) -> bool:
    return abs(width - height) <= SQUARE_WITHIN * max(width, height)


@dataclass(frozen=True, eq=False)
class Choice:
    """``face`` is None for a requested ``box`` in which there is no face. ``reason`` is None if ``chosen``."""

    face: Face | None
    box: Box
    chosen: bool
    reason: str | None


def choose(
    faces: Sequence[Face],
    mode: str,
    size: tuple[int, int],
    *,
    min_face: float,
    boxes: Sequence[Box] = (),
) -> tuple[Choice, ...]:
    """Every face in the order found, chosen or with the reason; after them the ``boxes`` that hold none.

    ``size``: width and height of the picture. ``min_face``: least side of a face, pixels; smaller ones are never chosen
    and do not keep a larger one from being the largest or the nearest. Raises ValueError for an
    unknown ``mode``, and for ALIGNED.
    """
    asked = FaceMode(mode)
    if asked is FaceMode.ALIGNED:
        raise ValueError("an aligned picture is one face: there is nothing to choose")
    large = [i for i, face in enumerate(faces) if face.size >= min_face]
    empty: list[Box] = []
    if asked is FaceMode.ALL:
        wanted, other = set(large), FACE_TOO_SMALL
    elif asked is FaceMode.LARGEST:
        # Of equals the one found with the better score, which comes first.
        wanted, other = set(sorted(large, key=lambda i: -faces[i].size)[:1]), NOT_LARGEST
    elif asked is FaceMode.CENTER:
        wanted, other = set(sorted(large, key=lambda i: _from_center(faces[i].box, size))[:1]), NOT_CENTER
    else:
        wanted, other = set(), NOT_IN_BOXES
        for box in boxes:
            inside = _in_box(faces, box, wanted)
            if inside is None:
                empty.append(box)
            else:
                wanted.add(inside)
    choices = []
    for i, face in enumerate(faces):
        chosen = i in wanted and i in large
        small = i not in large and (asked is not FaceMode.BOXES or i in wanted)
        choices.append(Choice(face, face.box, chosen, None if chosen else FACE_TOO_SMALL if small else other))
    return (*choices, *(Choice(None, box, False, NO_FACE_FOUND) for box in empty))


def _from_center(box: Box, size: tuple[int, int]) -> float:
    x, y, width, height = box
    return (x + width / 2 - size[0] / 2) ** 2 + (y + height / 2 - size[1] / 2) ** 2


def _in_box(faces: Sequence[Face], box: Box, taken: set[int]) -> int | None:
    """The free face that overlaps most with the box, if it lies in it for the most part or fills most of it."""
    best, overlap = None, 0.0
    for i, face in enumerate(faces):
        shared = _overlap(face.box, box)
        least = min(face.box[2] * face.box[3], box[2] * box[3])
        union = face.box[2] * face.box[3] + box[2] * box[3] - shared
        if i not in taken and least > 0 and shared >= _SHARED * least and shared / union > overlap:
            best, overlap = i, shared / union
    return best


def _overlap(a: Box, b: Box) -> float:
    """Area that two boxes share."""
    width = min(a[0] + a[2], b[0] + b[2]) - max(a[0], b[0])
    height = min(a[1] + a[3], b[1] + b[3]) - max(a[1], b[1])
    return max(width, 0.0) * max(height, 0.0)
