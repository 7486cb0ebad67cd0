"""One job from bytes to bytes: decode, find, cut, (restore elsewhere,) put back, encode.

Plain functions without queue, blobs or HTTP, so that the command line restores with the same steps as the worker.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Self

import numpy as np
from numpy.typing import NDArray

from refstar_service.engine.manifest import ModelManifest
from refstar_service.engine.restorer import FaceRestorer, FaceTask, ReferencePicture
from refstar_service.engine.staged import RestoredFace
from refstar_service.faces.face import FaceDetector
from refstar_service.faces.grain import match_grain
from refstar_service.faces.paste import PastedFace, enlarge, paste_faces
from refstar_service.images import EncodedPicture, ImageLimits, IndexedPicture, Picture
from refstar_service.images.encode import encode, encode_indexed
from refstar_service.restoration import selection_picture
from refstar_service.restoration.candidates import Candidate, find_candidates, report_failed, take_whole
from refstar_service.restoration.errors import RequestError, StepError
from refstar_service.restoration.knobs import Knobs, Stranger
from refstar_service.restoration.recalled import StoredReference, take_recalled
from refstar_service.restoration.references import Looking, ReferenceMemory, inspect_reference
from refstar_service.restoration.report import (
    NOT_FINITE,
    REFERENCE_STRANGER,
    FaceAction,
    FaceReport,
    ReferenceReport,
)
from refstar_service.restoration.review import find_objection
from refstar_service.restoration.rules import ResultPlan, plan_result
from refstar_service.restoration.selection_picture import FaceSelection
from refstar_service.restoration.stopwatch import Stopwatch
from refstar_service.restoration.strangers import Judged, describe_strangers, find_stranger, lay_out
from refstar_service.restoration.upload import Upload
from refstar_service.restoration.warmth import cool, warm, warm_reference

Pixels = NDArray[np.uint8]


@dataclass(frozen=True)
class Model:
    """A loaded model: its restorer, the side of its crops in pixels, and how many references it takes."""

    restorer: FaceRestorer
    size: int
    needs_references: bool = False
    max_references: int = 8

    @classmethod
    def of(cls, manifest: ModelManifest, restorer: FaceRestorer) -> Self:
        return cls(restorer, manifest.input_size, manifest.needs_references, manifest.max_references)


@dataclass(frozen=True)
class Viewer:
    """What looks at pictures: the detector, what is remembered of references, and the limits of a file.

    ``stranger_below``: the ``same_person`` below which a reference counts as a stranger's, where those are refused.
    """

    detector: FaceDetector | None  # None will do where all pictures are aligned faces
    memory: ReferenceMemory
    limits: ImageLimits
    stranger_below: float = 0.5


@dataclass(frozen=True, eq=False)
class PreparedPicture:
    """A job ready for the model: a task for each candidate that has a crop, in their order. ``people``: the ids of
    those who were named, numbered in the tasks in this order. ``stranger_below`` as in `Viewer`."""

    picture: Picture
    knobs: Knobs
    format: str  # of the result
    candidates: tuple[Candidate, ...]
    references: tuple[ReferenceReport, ...]
    tasks: tuple[FaceTask, ...]
    timings: dict[str, float]  # seconds by stage: decode, detect
    reference_work: tuple[
        str, ...
    ]  # what its references cost: fetch, decode, detect, encode, as often as it was done
    people: tuple[str, ...] = ()
    stranger_below: float = 0.5


@dataclass(frozen=True)
class ComposedPicture:
    result: EncodedPicture
    selection: EncodedPicture | None  # none when no reference was used, or it is not wanted
    faces: tuple[FaceReport, ...]
    references: tuple[ReferenceReport, ...]
    timings: dict[str, float]  # seconds by stage: review, paste, encode


def prepare(
    image: Upload,
    references: Sequence[Upload],
    knobs: Knobs,
    model: Model,
    viewer: Viewer,
    clock: Stopwatch | None = None,
    recalled: Sequence[StoredReference] = (),
    people: Sequence[str] = (),
) -> PreparedPicture:
    """Decode, find and cut everything the model needs. Raises RestorationError, with reports of what was found.

    ``recalled``: the references of stored ``people`` instead of uploaded ones. ``clock`` keeps the times also of what
    was refused.
    """
    clock = clock or Stopwatch()
    with clock("decode"):
        picture = image.decode("image", viewer.limits)
    plan = _plan(image, picture, knobs, model.size, viewer.limits)
    detector = None if knobs.aligned else viewer.detector
    with clock("detect"):
        if knobs.aligned:
            candidates: tuple[Candidate, ...] = (take_whole(image, picture, model.size),)
        elif detector is not None:
            candidates = find_candidates(image, picture, knobs, detector, model.size)
        else:
            raise ValueError(f"faces={knobs.faces} needs a detector")
    looking = Looking(
        recall=model.restorer.recall,
        size=model.size,
        detector=detector,
        memory=viewer.memory,
        limits=viewer.limits,
        face=knobs.reference_face,
    )
    seen = [inspect_reference(number, upload, looking, clock) for number, upload in enumerate(references, 1)]
    seen += [take_recalled(one, model.size, viewer.limits, clock) for one in recalled]
    reports = tuple(reference.report for reference in seen)
    used = tuple(warm_reference(one.picture) for one in seen if one.picture is not None)
    whose = tuple(people.index(report.person) for report in reports if report.used and report.person)
    refused = next((one for one in seen if one.refusal), None)
    if refused is None and seen and not used and model.needs_references:
        refused = seen[0]
    if refused is not None:
        code = refused.report.reason or ""
        detail = (
            refused.refusal
            or "None of the references can be used, and this model needs at least one; see `references`."
        )
        raise StepError(code, detail, report_failed(candidates, code), reports)
    gate_strength = 0.0 if knobs.stranger == Stranger.USE else 1.0
    tasks = tuple(
        FaceTask(warm(candidate.crop), used, knobs.reference_strength, knobs.fidelity, whose, gate_strength)
        for candidate in candidates
        if candidate.crop is not None
    )
    steps = [step for reference in seen for step in reference.work]
    steps += ["encode" for reference in used if isinstance(reference, ReferencePicture)]
    return PreparedPicture(
        picture,
        knobs,
        plan.format,
        candidates,
        reports,
        tasks,
        clock.seconds,
        tuple(steps),
        tuple(people),
        viewer.stranger_below,
    )


def compose(
    prepared: PreparedPicture,
    restored: Sequence[RestoredFace],
    *,
    selection: bool = True,
    clock: Stopwatch | None = None,
) -> ComposedPicture:
    """The result picture: [S, S] pixels of an aligned job, else the photograph with its restored faces; times
    ``upscale``. A face whose restoration is no better is kept as it was, and with all kept the picture is. A face that
    was given a stranger's reference is left as it was where those are refused. Raises StepError when no face came out:
    a degraded picture is never handed back as restored.

    The selection picture, unless it is not wanted, has the size of the result before ``upscale``, or less. ``clock``
    keeps the times also of what was refused.
    """
    clock, knobs = clock or Stopwatch(), prepared.knobs
    outputs = iter(restored)
    faces: list[FaceReport] = []
    good: list[tuple[Candidate, RestoredFace]] = []
    for candidate in prepared.candidates:
        report = candidate.report
        if candidate.crop is not None:
            face = next(outputs)
            given, count = _find_given(prepared, face), len(prepared.references)
            same_person = lay_out(face.same_person, given, count)
            action, reason = _review(prepared, candidate.crop, face, same_person, clock)
            selected, likeness = [0.0] * count, lay_out(None, given, count)
            if action is FaceAction.RESTORED:
                good.append((candidate, face))
                likeness = lay_out(face.likeness, given, count)
                for index, mask in zip(given, face.selection, strict=False):
                    selected[index] = float(mask.mean()) / 255
            report = replace(
                report,
                action=action,
                reason=reason,
                selected=tuple(selected),
                person=None if face.person is None else prepared.people[face.person],
                same_person=same_person,
                likeness=likeness,
            )
        faces.append(report)
    if not any(report.action in (FaceAction.RESTORED, FaceAction.KEPT) for report in faces):
        raise _explain_none(prepared, tuple(faces))
    with clock("paste"):
        pixels = _put_back(prepared, good)
    with clock("encode"):
        result = encode(
            pixels,
            format=prepared.format,
            quality=knobs.quality,
            like=prepared.picture,
            keep_location=knobs.keep_location,
        )
    shown = None
    if selection and any(len(face.selection) for _, face in good):
        with clock("paste"):
            overlay = _draw_selection(pixels, prepared, good)
        with clock("encode"):
            shown = encode_indexed(overlay)
    return ComposedPicture(result, shown, tuple(faces), prepared.references, clock.seconds)


def _review(
    prepared: PreparedPicture, crop: Pixels, face: RestoredFace, same_person: Judged, clock: Stopwatch
) -> tuple[FaceAction, str | None]:
    """What is done with a face, and why it is left as it was."""
    knobs = prepared.knobs
    if not face.finite:
        return FaceAction.FAILED, NOT_FINITE
    refuses = knobs.stranger == Stranger.REFUSE
    if refuses and find_stranger(same_person, prepared.stranger_below) is not None:
        return FaceAction.FAILED, REFERENCE_STRANGER
    if not knobs.keep:
        return FaceAction.RESTORED, None
    with clock("review"):
        # As the model made it: the photograph's own tone changes no brightness, and only that is looked at.
        objection = find_objection(crop, face.pixels)
    return (FaceAction.RESTORED, None) if objection is None else (FaceAction.KEPT, objection)


def _explain_none(prepared: PreparedPicture, faces: tuple[FaceReport, ...]) -> StepError:
    """Why no face came out."""
    code, detail = "inference-failed", "The model gave no usable picture: its values are not finite."
    if any(face.reason == REFERENCE_STRANGER for face in faces):
        code = REFERENCE_STRANGER
        detail = describe_strangers(faces, prepared.references, prepared.stranger_below)
    return StepError(code, detail, faces, prepared.references)


def _find_given(prepared: PreparedPicture, face: RestoredFace) -> list[int]:
    """The places of the references that a face was given: of several people's, those of its own person."""
    several = len(prepared.people) > 1
    person = prepared.people[face.person] if several and face.person is not None else None
    return [
        report.index - 1
        for report in prepared.references
        if report.used and (not several or report.person == person)
    ]


def _plan(image: Upload, picture: Picture, knobs: Knobs, side: int, limits: ImageLimits) -> ResultPlan:
    """The same as the gateway's, by the decoded picture."""
    try:
        return plan_result(picture.info, knobs, side, limits)
    except RequestError as error:
        raise StepError(error.code, f"{image.describe('image')}: {error.detail}") from error


def _put_back(prepared: PreparedPicture, good: Sequence[tuple[Candidate, RestoredFace]]) -> Pixels:
    picture, knobs = prepared.picture, prepared.knobs
    if knobs.aligned:
        (crop,) = (candidate.crop for candidate in prepared.candidates if candidate.crop is not None)
        pixels = cool(good[0][1].pixels, crop) if good else crop
        return pixels if knobs.upscale == 1 else enlarge(pixels, knobs.upscale)
    pasted = [
        PastedFace(
            match_grain(face.pixels, candidate.crop) if knobs.grain else face.pixels,
            candidate.alignment,
            candidate.face.points,
        )
        for candidate, face in good
        if candidate.alignment is not None and candidate.face is not None and candidate.crop is not None
    ]
    return paste_faces(picture.pixels, pasted, knobs.upscale)


def _draw_selection(
    pixels: Pixels, prepared: PreparedPicture, good: Sequence[tuple[Candidate, RestoredFace]]
) -> IndexedPicture:
    """``pixels``: the result. The color of a mask is the place of its reference, or among several people that of its
    person."""
    people = len(prepared.people)
    if people > 1:
        colors = list(range(people))
        masks = [_sum_for_people(face, people) for _, face in good]
    else:
        colors = [report.index - 1 for report in prepared.references if report.used]
        masks = [face.selection for _, face in good]
    if prepared.knobs.aligned:
        ((_, face),) = good
        return selection_picture.draw_for_crop(face.pixels, masks[0], colors)
    faces = [
        FaceSelection(mask, candidate.alignment, candidate.face.points)
        for mask, (candidate, _) in zip(masks, good, strict=True)
        if candidate.alignment is not None and candidate.face is not None
    ]
    size = (prepared.picture.pixels.shape[1], prepared.picture.pixels.shape[0])
    return selection_picture.draw_for_photograph(pixels, size, faces, colors)


def _sum_for_people(face: RestoredFace, people: int) -> NDArray[np.uint8]:
    """A mask for each of so many people: what was taken from the references of the face's own, else nothing."""
    masks = np.zeros((people, *face.selection.shape[1:]), np.uint8)
    if face.person is not None:
        masks[face.person] = face.selection.sum(0).clip(max=255)
    return masks
