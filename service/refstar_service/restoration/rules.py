"""The rules of a request, for gateway, worker and command line alike: each stands here and nowhere else."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from math import inf
from typing import Any

from refstar_service.engine.catalog import Catalog
from refstar_service.engine.manifest import ModelManifest
from refstar_service.faces.face import Box
from refstar_service.faces.select import FaceMode, is_square
from refstar_service.images import ImageError, ImageInfo, ImageLimits, LimitNames, resolve_format
from refstar_service.restoration.errors import Fault, RequestError
from refstar_service.restoration.knobs import KNOBS, Knobs, ReferenceFace
from refstar_service.restoration.report import ReferenceReport
from refstar_service.settings import Settings

#: Why a reference of a stored person is left out: fewer are taken, and others are better.
SURPLUS = "reference-surplus"

#: Most people whom one request may name: the model is shown a reference of each together.
MOST_PEOPLE = 8
#: Most references that are used of several people together. Each takes 3 MB of a worker's memory until the job ends.
MOST_TOGETHER = 16

#: What is not needed where nothing is searched.
_OF_PHOTOGRAPHS = ("min_face", "min_score", "reference_face", "grain")
#: What not every model has.
_OF_MODELS = ("fidelity", "reference_strength", "stranger")
_NOT_FOR_ALIGNED = "applies to whole photographs, not to aligned faces; leave it out"


@dataclass(frozen=True)
class ResultPlan:
    """File type and size, in pixels, that the result will have."""

    format: str
    width: int
    height: int


def image_limits(settings: Settings) -> ImageLimits:
    """What a picture may be."""
    return ImageLimits(
        max_bytes=settings.max_image_bytes,
        max_pixels=settings.max_image_pixels,
        max_side=settings.max_image_side,
        min_side=settings.min_image_side,
        names=LimitNames(
            "REFSTAR_MAX_IMAGE_BYTES",
            "REFSTAR_MAX_IMAGE_PIXELS",
            "REFSTAR_MAX_IMAGE_SIDE",
            "REFSTAR_MIN_IMAGE_SIDE",
        ),
    )


def choose_model(models: Catalog, wanted: str | None, references: int, *, people: int = 0) -> ModelManifest:
    """The model that is ``wanted``, a name or ``NAME@VERSION``, or the default for so many references. Raises
    RequestError.

    ``people``: the references are those of so many stored people, of whom a model uses as many as it takes.
    """
    if not models:
        raise RequestError("no-model", "No model is installed.")
    model = models.find(wanted) if wanted is not None else _default_model(models, references)
    if model is None:
        raise RequestError(
            "unknown-model", f"No such model: {wanted!r}; installed: {', '.join(list_models(models))}."
        )
    check_references(model, references, people=people)
    return model


def check_references(model: ModelManifest, references: int, *, people: int = 0) -> None:
    """Raises RequestError unless the model takes so many. ``people``: as in `choose_model`."""
    if references and not model.max_references:
        detail = f"The model {model.name!r} takes no references."
        raise RequestError("too-many-references", detail, limit=0)
    if references and people > model.max_references:
        detail = f"The model {model.name!r} tells at most {model.max_references} people apart, not {people}."
        raise RequestError("invalid-parameter", detail, parameter="person", limit=model.max_references)
    if references > model.max_references and not people:
        detail = (
            f"The model {model.name!r} takes at most {model.max_references} references, not {references}."
        )
        raise RequestError("too-many-references", detail, limit=model.max_references)
    if model.needs_references and not references:
        raise RequestError("references-required", f"The model {model.name!r} needs at least one reference.")


def list_models(models: Catalog) -> list[str]:
    """What a request may ask for: each name, and each version where a name has several."""
    listed = []
    for default in models.default_versions:
        versions = [one.full_name for one in models.all_versions if one.name == default.name]
        listed += [default.name, *(versions if len(versions) > 1 else [])]
    return listed


def settle_knobs(
    asked: Mapping[str, Any], references: int, model: ModelManifest, *, people: int = 0
) -> Knobs:
    """All knobs, from those that were ``asked`` for. Raises RequestError for those that contradict each other or that
    the model does not have. ``people``: the references are those of so many stored people."""
    faults = _contradictions(asked, stored=people > 0) or _without_effect(asked, model)
    if faults:
        raise _refuse(faults)
    return Knobs(**{"faces": _default_faces(asked, references, people), **asked})


def settle_reference_face(asked: Mapping[str, Any], *, aligned: bool) -> ReferenceFace:
    """Which face of a new person's references counts. Raises RequestError where the references are aligned faces."""
    face = ReferenceFace(asked.get("reference_face", ReferenceFace.ONLY))
    if aligned and face != ReferenceFace.ONLY:
        raise _refuse([_fault("reference_face", asked, _NOT_FOR_ALIGNED)])
    return face


def check_square(width: int, height: int, called: str) -> None:
    """Raises RequestError unless a picture of this size, ``called`` so, may be an aligned face crop."""
    if not is_square(width, height):
        detail = f"{called}: an aligned face crop must be square, but this has {width} x {height} pixels."
        raise RequestError("not-square", detail, parameter=called)


def check_boxes(boxes: Sequence[Box], width: int, height: int) -> None:
    """Raises RequestError if one lies outside of a picture of this size."""
    reason = f"lies outside the picture, which has {width} x {height} pixels (upright)"
    outside = [
        box
        for box in boxes
        if box[0] >= width or box[1] >= height or box[0] + box[2] <= 0 or box[1] + box[3] <= 0
    ]
    if outside:
        faults = [Fault("boxes", str(list(box)), reason) for box in outside]
        detail = "; ".join(f"the box {fault.value} {reason}" for fault in faults)
        raise RequestError("invalid-parameter", f"boxes: {detail}.", faults=faults)


def plan_result(info: ImageInfo, knobs: Knobs, side: int, limits: ImageLimits) -> ResultPlan:
    """What the result of a picture will be; ``side``: of the model's crops, in pixels. Raises RequestError where there
    can be none of this size."""
    width, height = (side, side) if knobs.aligned else (info.width, info.height)
    width, height = knobs.upscale * width, knobs.upscale * height
    limit, unit = (0, "")
    if width * height > limits.max_pixels:
        limit, unit = limits.max_pixels, f"pixels ({limits.names.max_pixels})"
    elif max(width, height) > limits.max_side:
        limit, unit = limits.max_side, f"pixels per side ({limits.names.max_side})"
    if limit and knobs.upscale > 1:
        size = f"{width} x {height} pixels"
        detail = f"With upscale={knobs.upscale} the result would have {size}; the limit is {limit} {unit}."
        raise RequestError("result-too-large", detail, parameter="upscale", limit=limit)
    try:
        return ResultPlan(resolve_format(knobs.format, info, size=(width, height)), width, height)
    except ImageError as refused:  # some file types hold less than the service does
        raise RequestError("result-too-large", refused.detail, parameter="format") from refused


def share_references(people: int, most: int) -> int:
    """How many references of each of so many people are used, of a model that takes ``most``."""
    return most if people < 2 else max(1, min(most, MOST_TOGETHER // people))


def leave_out_surplus(reports: Sequence[ReferenceReport], most: int) -> tuple[ReferenceReport, ...]:
    """The reports of a stored person's references, of which at most ``most`` are used: the sharpest."""
    usable = [report for report in reports if report.used]
    best = sorted(usable, key=lambda report: -(report.sharpness or 0.0))[:most]
    return tuple(
        replace(report, used=False, reason=SURPLUS) if report.used and report not in best else report
        for report in reports
    )


def _default_model(models: Catalog, references: int) -> ModelManifest:
    """The one of the first rank; those without a rank, or that do not fit, come last."""

    def order(model: ModelManifest) -> tuple[bool, float, str]:
        if references:
            return not model.max_references, model.ranks.with_references or inf, model.name
        return model.needs_references, model.ranks.without_references or inf, model.name

    return min(models.default_versions, key=order)


def _default_faces(asked: Mapping[str, Any], references: int, people: int) -> FaceMode:
    if asked.get("boxes"):
        return FaceMode.BOXES
    return FaceMode.LARGEST if references and people < 2 else FaceMode.ALL


def _contradictions(asked: Mapping[str, Any], *, stored: bool) -> list[Fault]:
    """What is fine by itself and has no meaning beside the rest."""
    faces = asked.get("faces")
    if faces == FaceMode.BOXES and not asked.get("boxes"):
        return [_fault("faces", asked, "requires at least one box [x, y, width, height]")]
    if asked.get("boxes") and faces not in (FaceMode.BOXES, None):
        return [_fault("faces", asked, "cannot be combined with boxes; use faces=boxes or leave it out")]
    if stored and asked.get("reference_face", ReferenceFace.ONLY) != ReferenceFace.ONLY:
        return [_fault("reference_face", asked, "was set when the person was stored; leave it out")]
    if faces != FaceMode.ALIGNED:
        return []
    return [_fault(name, asked, _NOT_FOR_ALIGNED) for name in _OF_PHOTOGRAPHS if _is_changed(name, asked)]


def _without_effect(asked: Mapping[str, Any], model: ModelManifest) -> list[Fault]:
    """Knobs of models that this one does not have."""
    lacking = [name for name in _OF_MODELS if name not in model.knobs]
    reason = f"has no effect on the model {model.name!r}; leave it out"
    return [_fault(name, asked, reason) for name in lacking if _is_changed(name, asked)]


def _is_changed(name: str, asked: Mapping[str, Any]) -> bool:
    return bool(asked.get(name, KNOBS[name].default) != KNOBS[name].default)


def _refuse(faults: Sequence[Fault]) -> RequestError:
    sentences = "; ".join(f"{fault.parameter}={fault.value} {fault.reason}" for fault in faults)
    return RequestError("invalid-parameter", f"{sentences}.", faults=faults)


def _fault(name: str, asked: Mapping[str, Any], reason: str) -> Fault:
    return Fault(name, str(asked[name])[:80], reason)
