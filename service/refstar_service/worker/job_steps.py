"""One job from bytes to bytes: decode, cut, (restore elsewhere,) put together, encode.

Plain functions without queue, blobs or HTTP, so that the command line restores with the same steps as the worker.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_service.engine.feature_cache import Features
from refstar_service.engine.restorer import FaceRestorer, FaceTask, ReferencePicture, RestoredFace
from refstar_service.faces.align import NotAligned, fit_aligned
from refstar_service.images import (
    Encoded,
    ImageLimits,
    ImageRefused,
    Picture,
    decode,
    encode,
    resolve_format,
)

Pixels = NDArray[np.uint8]

#: Which reference a place was taken from, in the selection picture: eight colors that stay apart.
REFERENCE_COLORS = (
    (230, 75, 53), (77, 187, 213), (0, 160, 135), (243, 155, 127),
    (60, 84, 136), (145, 209, 194), (220, 0, 0), (126, 97, 72),
)  # fmt: skip


class StepRefused(ValueError):  # noqa: N818  a refusal is an answer, not a fault
    """The job cannot be done; ``code`` is a problem slug, ``detail`` names the file and what was found."""

    def __init__(self, code: str, detail: str) -> None:
        super().__init__(f"{code}: {detail}")
        self.code, self.detail = code, detail


@dataclass(frozen=True)
class Upload:
    """A file as it was sent. ``sha256`` names its content; ``name`` is only for messages."""

    name: str
    data: bytes
    sha256: str


@dataclass(frozen=True)
class Knobs:
    """What the caller chose. ``format`` may be ``same``; quality 1..100; the other two 0..1."""

    faces: str
    fidelity: float
    reference_strength: float
    format: str
    quality: int


@dataclass(frozen=True, eq=False)
class Prepared:
    """A job ready for the model: one task per chosen face."""

    picture: Picture
    format: str  # of the result
    quality: int
    boxes: tuple[tuple[float, float, float, float], ...]  # x, y, width, height in the upright input
    tasks: tuple[FaceTask, ...]


@dataclass(frozen=True)
class FaceNote:
    """What became of one face; ``selected`` is the mean mask per reference, 0..1."""

    box: tuple[float, float, float, float]
    restored: bool
    reason: str | None
    selected: tuple[float, ...]


@dataclass(frozen=True)
class Composed:
    result: Encoded
    selection: Encoded | None  # none when there was no reference
    faces: tuple[FaceNote, ...]


def prepare(
    image: Upload,
    references: Sequence[Upload],
    knobs: Knobs,
    restorer: FaceRestorer,
    size: int,
    limits: ImageLimits,
) -> Prepared:
    """Decode and cut everything a model of ``size`` needs. Raises StepRefused.

    References that ``restorer`` has seen before are neither decoded nor encoded again.
    """
    if knobs.faces != "aligned":
        raise StepRefused(
            "faces-mode-unavailable", f"faces={knobs.faces} is not available, only faces=aligned"
        )
    picture = _decoded("image", image, limits)
    low_quality = _aligned("image", image, picture, size)
    known = tuple(_reference(i + 1, r, restorer, size, limits) for i, r in enumerate(references))
    height, width = picture.pixels.shape[:2]
    task = FaceTask(low_quality, known, knobs.reference_strength, knobs.fidelity)
    try:
        kind = resolve_format(knobs.format, picture.info)
    except ImageRefused as error:
        raise StepRefused(error.code, error.detail) from error
    return Prepared(picture, kind, knobs.quality, ((0.0, 0.0, float(width), float(height)),), (task,))


def compose(prepared: Prepared, restored: Sequence[RestoredFace]) -> Composed:
    """The result picture of an aligned job, [S, S] pixels. Raises StepRefused when no face came out.

    The degraded picture is never handed back as a result.
    """
    notes = tuple(
        FaceNote(
            box,
            face.finite,
            None if face.finite else "the model gave values that are not numbers",
            tuple(float(mask.mean()) / 255 for mask in face.selection),
        )
        for box, face in zip(prepared.boxes, restored, strict=True)
    )
    if not any(note.restored for note in notes):
        raise StepRefused("inference-failed", "The model gave no usable picture: its values are not finite.")
    face = restored[0]
    result = encode(face.pixels, format=prepared.format, quality=prepared.quality, like=prepared.picture)
    selection = None
    if len(face.selection):
        overlay = selection_picture(face.pixels, face.selection)
        selection = encode(overlay, format="png", quality=95)
    return Composed(result, selection, notes)


def selection_picture(pixels: Pixels, selection: NDArray[np.uint8]) -> Pixels:
    """What was taken from which reference: the result in gray, every reference's mask in its own color.

    pixels [S, S, 3]; selection [R, g, g], 255 = all taken; returns [S, S, 3].
    """
    side = pixels.shape[0]
    gray = pixels.astype(np.float32).mean(-1, keepdims=True) * 0.5 + 64
    out = np.repeat(gray, 3, -1)
    for mask, color in zip(selection, REFERENCE_COLORS, strict=False):
        large = cv2.resize(mask.astype(np.float32) / 255, (side, side), interpolation=cv2.INTER_LINEAR)[
            ..., None
        ]
        out = out + 0.8 * large * (np.array(color, np.float32) - gray)
    rounded: Pixels = np.clip(np.rint(out), 0, 255).astype(np.uint8)
    return rounded


def _reference(
    number: int, upload: Upload, restorer: FaceRestorer, size: int, limits: ImageLimits
) -> ReferencePicture | Features:
    # The key also says how the face was cut out: the same file cut otherwise is another reference.
    key = f"{upload.sha256}/aligned"
    features = restorer.cached(key)
    if features is not None:
        return features
    role = f"reference {number}"
    return ReferencePicture(key, _aligned(role, upload, _decoded(role, upload, limits), size))


def _decoded(role: str, upload: Upload, limits: ImageLimits) -> Picture:
    try:
        return decode(upload.data, limits)
    except ImageRefused as error:
        raise StepRefused(error.code, f"{_named(role, upload)}: {error.detail}") from error


def _aligned(role: str, upload: Upload, picture: Picture, size: int) -> Pixels:
    try:
        return fit_aligned(picture.pixels, size)
    except NotAligned as error:
        raise StepRefused("not-square", f"{_named(role, upload)}: {error}") from error


def _named(role: str, upload: Upload) -> str:
    return f"{role} ({upload.name})" if upload.name else role
