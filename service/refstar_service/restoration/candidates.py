"""The faces of a job's picture on their way to the model."""

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from refstar_service.faces.align import Alignment, AlignmentError, align, cut, fit_aligned
from refstar_service.faces.face import Face, FaceDetector
from refstar_service.faces.select import FACE_TOO_SMALL, Choice, FaceMode
from refstar_service.images import Picture
from refstar_service.restoration.errors import StepError
from refstar_service.restoration.finding import find_faces
from refstar_service.restoration.knobs import Knobs
from refstar_service.restoration.report import FaceAction, FaceReport
from refstar_service.restoration.upload import Upload

Pixels = NDArray[np.uint8]

#: Why a chosen face is left as it was: its points are not those of a face that can be set upright.
POINTS_UNUSABLE = "points-unusable"


@dataclass(frozen=True, eq=False)
class Candidate:
    """``report`` is how it stands until a model has restored it."""

    report: FaceReport
    crop: Pixels | None  # [S, S, 3] if the model gets it
    face: Face | None  # where it stands in a photograph
    alignment: Alignment | None  # how it was cut from one


def take_whole(image: Upload, picture: Picture, size: int) -> Candidate:
    """A picture that is an aligned face itself. Raises StepError unless it is square."""
    height, width = picture.pixels.shape[:2]
    try:
        crop = fit_aligned(picture.pixels, size)
    except AlignmentError as error:
        raise StepError("not-square", f"{image.describe('image')}: {error}") from error
    report = FaceReport((0.0, 0.0, float(width), float(height)), 1.0, FaceAction.FAILED, None, ())
    return Candidate(report, crop, None, None)


def find_candidates(
    image: Upload, picture: Picture, knobs: Knobs, detector: FaceDetector, size: int
) -> tuple[Candidate, ...]:
    """Every face of a photograph, and the requested boxes without one.

    Raises StepError (no-face-found, face-too-small) with all reports when none can be restored.
    """
    choices = find_faces(picture.pixels, knobs, detector)
    candidates = tuple(_candidate(choice, picture.pixels, size) for choice in choices)
    if all(candidate.crop is None for candidate in candidates):
        raise _nothing_to_restore(image, picture, knobs, tuple(one.report for one in candidates))
    return candidates


def report_failed(candidates: tuple[Candidate, ...], reason: str) -> tuple[FaceReport, ...]:
    """The reports of a job that ends for ``reason`` before its chosen faces came to the model."""
    return tuple(one.report if one.crop is None else replace(one.report, reason=reason) for one in candidates)


def _candidate(choice: Choice, pixels: Pixels, size: int) -> Candidate:
    x, y, width, height = (round(float(side), 1) for side in choice.box)
    report = FaceReport((x, y, width, height), 0.0, FaceAction.FAILED, choice.reason, ())
    face = choice.face
    if face is None:
        return Candidate(report, None, None, None)
    points = tuple((round(float(x), 2), round(float(y), 2)) for x, y in face.points)
    report = replace(report, score=round(float(face.score), 4), points=points)
    if not choice.chosen:
        return Candidate(replace(report, action=FaceAction.SKIPPED), None, face, None)
    try:
        alignment = align(face.points, size)
    except AlignmentError:
        return Candidate(replace(report, reason=POINTS_UNUSABLE), None, face, None)
    return Candidate(report, cut(pixels, alignment), face, alignment)


def _nothing_to_restore(
    image: Upload, picture: Picture, knobs: Knobs, faces: tuple[FaceReport, ...]
) -> StepError:
    name = f"{image.describe('image')} ({picture.info.width} x {picture.info.height} pixels)"
    small = [face for face in faces if face.reason == FACE_TOO_SMALL]
    unusable = [face for face in faces if face.reason == POINTS_UNUSABLE]
    if small:
        largest = max((face.box[2] * face.box[3]) ** 0.5 for face in small)
        detail = (
            f"{name}: every face is smaller than min_face ({knobs.min_face} pixels a side); the largest has "
            f"{largest:.0f}. Lower min_face to restore it."
        )
        return StepError(FACE_TOO_SMALL, detail, faces)
    if knobs.faces == FaceMode.BOXES:
        others = sum(face.score > 0 for face in faces)
        elsewhere = f"; {others} elsewhere in the picture, see `faces`" if others else ""
        detail = f"{name}: no face was found in the boxes of the request{elsewhere}."
    elif unusable:
        detail = f"{name}: what was found cannot be set upright, because no face is seen from the front."
    else:
        detail = f"{name}: no face was found. If you know where there is one, send its box in `boxes`."
    return StepError("no-face-found", detail, faces)
