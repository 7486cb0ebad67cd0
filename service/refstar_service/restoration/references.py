"""References: the face in each, whether it helps, and what is remembered of it."""

import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from refstar_service.engine.feature_cache import Features
from refstar_service.engine.restorer import ReferencePicture
from refstar_service.faces.align import Alignment, AlignmentError, align, cut, fit_aligned
from refstar_service.faces.face import Box, Face, FaceDetector
from refstar_service.faces.sharpness import LEAST_SHARPNESS, sharpness
from refstar_service.images import ImageLimits
from refstar_service.restoration.errors import StepError
from refstar_service.restoration.report import ReferenceReport
from refstar_service.restoration.stopwatch import Stopwatch
from refstar_service.restoration.upload import Upload

Pixels = NDArray[np.uint8]

# Why a reference is refused, and with it the job: it is not what the caller took it for.
WITHOUT_FACE = "reference-without-face"
SEVERAL_FACES = "several-faces"
# Why a reference is left out: it cannot help.
TOO_SMALL = "reference-too-small"
TOO_BLURRED = "reference-too-blurred"

#: Distance of the eyes in pixels below which a reference shows no more than a degraded face does.
LEAST_EYE_DISTANCE = 40.0
#: A second face with less than this share of the first one's side is somebody in the background, or none at all.
RIVAL_FROM = 1 / 3


@dataclass(frozen=True, eq=False)
class Finding:
    """What a look at a reference gave. Of a photograph `main` is the largest face, if there is any."""

    main: Face | None
    rivals: tuple[Box, ...]  # other faces that could as well be meant
    alignment: Alignment | None
    sharpness: float | None


class ReferenceMemory:
    """Findings by content, detector and crop, so that a known reference costs no second look. Thread-safe.

    ``entries``: most findings that are kept (half a kilobyte each); the least recently used go first.
    """

    def __init__(self, entries: int = 4096) -> None:
        self.entries = entries
        self._findings: OrderedDict[str, Finding] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Finding | None:
        with self._lock:
            if key in self._findings:
                self._findings.move_to_end(key)
            return self._findings.get(key)

    def put(self, key: str, finding: Finding) -> None:
        with self._lock:
            self._findings[key] = finding
            self._findings.move_to_end(key)
            while len(self._findings) > self.entries:
                self._findings.popitem(last=False)


@dataclass(frozen=True)
class Looking:
    """How references are looked at. ``size``: side of the model's crops. No ``detector``: they are crops already.

    ``cached``: features that are known already, by the key that `inspect_reference` gives a reference. ``face``: "only"
    refuses a reference with several faces, "largest" uses the largest of them.
    """

    recall: Callable[[str], Features | None]
    size: int
    detector: FaceDetector | None
    memory: ReferenceMemory
    limits: ImageLimits
    face: str


@dataclass(frozen=True, eq=False)
class Reference:
    """``picture`` is what the model gets; None if it is not used, for the reason in ``report``.

    ``work``: what had to be done to get so far, of fetch, decode and detect.
    """

    picture: ReferencePicture | Features | None
    report: ReferenceReport
    refusal: str | None = None  # the sentence for the caller, if the job must not go on with it
    work: tuple[str, ...] = ()


def inspect_reference(number: int, upload: Upload, looking: Looking, clock: Stopwatch) -> Reference:
    """The ``number``-th reference, from 1. Raises StepError for bytes that are no picture.

    What was seen before and is still known to the model is neither decoded nor looked at again.
    """
    role = f"reference {number}"
    # The keys also say how the face was cut out: the same file cut otherwise is another reference.
    how = "aligned" if looking.detector is None else looking.detector.label
    key = f"{upload.sha256}/{how}"
    remembered = f"{key}/{looking.size}"
    finding, features = looking.memory.get(remembered), looking.recall(key)
    pixels, crop = None, None
    work: tuple[str, ...] = ()
    if finding is None or features is None:
        work += ("decode",)
        with clock("decode"):
            pixels = upload.decode(role, looking.limits).pixels
    if finding is None:
        assert pixels is not None
        work += ("detect",)
        with clock("detect"):
            finding, crop = _look(role, upload, pixels, looking)
        looking.memory.put(remembered, finding)
    reason = _find_objection(finding, looking)
    report = _describe(number, upload, finding, reason)
    if reason in (WITHOUT_FACE, SEVERAL_FACES):
        return Reference(None, report, _explain(upload.describe(role), finding, reason), work)
    if reason is not None:
        return Reference(None, report, None, work)
    if features is None and crop is None:
        assert pixels is not None
        with clock("detect"):
            crop = _crop(role, upload, pixels, finding.alignment, looking.size)
    picture = features if features is not None else ReferencePicture(key, _there(crop))
    return Reference(picture, report, None, work)


def _look(role: str, upload: Upload, pixels: Pixels, looking: Looking) -> tuple[Finding, Pixels | None]:
    """The finding, and the crop that it was measured on."""
    if looking.detector is None:
        crop = _crop(role, upload, pixels, None, looking.size)
        return Finding(None, (), None, sharpness(crop)), crop
    faces = sorted(looking.detector.find(pixels), key=lambda face: -face.size)
    if not faces:
        return Finding(None, (), None, None), None
    main = faces[0]
    rivals = tuple(face.box for face in faces[1:] if face.size >= RIVAL_FROM * main.size)
    try:
        alignment = align(main.points, looking.size)
    except AlignmentError:
        return Finding(main, rivals, None, None), None
    crop = cut(pixels, alignment)
    return Finding(main, rivals, alignment, sharpness(crop)), crop


def _crop(role: str, upload: Upload, pixels: Pixels, alignment: Alignment | None, size: int) -> Pixels:
    if alignment is not None:
        return cut(pixels, alignment)
    try:
        return fit_aligned(pixels, size)
    except AlignmentError as error:
        raise StepError("not-square", f"{upload.describe(role)}: {error}") from error


def _find_objection(finding: Finding, looking: Looking) -> str | None:
    if looking.detector is None:
        return None
    if finding.main is None or finding.alignment is None or finding.sharpness is None:
        return WITHOUT_FACE
    if finding.rivals and looking.face == "only":
        return SEVERAL_FACES
    left, right = finding.main.points[:2]
    if float(np.hypot(*(right - left))) < LEAST_EYE_DISTANCE:
        return TOO_SMALL
    return TOO_BLURRED if finding.sharpness < LEAST_SHARPNESS else None


def _describe(number: int, upload: Upload, finding: Finding, reason: str | None) -> ReferenceReport:
    main = finding.main
    return ReferenceReport(
        index=number,
        name=upload.name,
        box=_round_box(main.box) if main else None,
        score=round(main.score, 4) if main else None,
        size=round(main.size, 1) if main else None,
        sharpness=None if finding.sharpness is None else round(finding.sharpness, 4),
        used=reason is None,
        reason=reason,
    )


def _explain(called: str, finding: Finding, reason: str) -> str:
    if reason == WITHOUT_FACE:
        what = "no face was found" if finding.main is None else "its face cannot be aligned"
        return f"{called}: {what}. Send a picture that shows the person's face from the front."
    assert finding.main is not None
    boxes = ", ".join(str([round(side) for side in box]) for box in (finding.main.box, *finding.rivals))
    return (
        f"{called}: it shows {1 + len(finding.rivals)} faces, at {boxes} (x, y, width, height). "
        "Crop it to the person meant, or ask for the largest face with reference_face=largest."
    )


def _round_box(box: Box) -> Box:
    x, y, width, height = (round(float(side), 1) for side in box)
    return x, y, width, height


def _there(crop: Pixels | None) -> Pixels:
    assert crop is not None
    return crop
