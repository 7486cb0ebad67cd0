"""The knobs of a restoration, as form fields. Every field is checked, and none is ignored."""

import json
import math
from collections.abc import Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    ValidationError,
    WithJsonSchema,
)

from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import Problem
from refstar_service.gateway.http.validation import report_invalid_parameters
from refstar_service.images import OUTPUT_FORMATS
from refstar_service.jobs import Box
from refstar_service.webhooks.endpoint import LONGEST_URL

Options = TypeVar("Options", bound=BaseModel)

MOST_BOXES = 32
SMALLEST_FACE = 24

FORMATS = ("same", *OUTPUT_FORMATS)


def _boxes(text: str) -> tuple[Box, ...]:
    try:
        boxes = json.loads(text)
    except (ValueError, RecursionError):
        boxes = None
    shape = f"must be a JSON list of 1 to {MOST_BOXES} boxes [x, y, width, height]"
    if not isinstance(boxes, list) or not 1 <= len(boxes) <= MOST_BOXES:
        raise ValueError(shape)
    return tuple(_box(box, f"{shape}; box {at}") for at, box in enumerate(boxes, 1))


def _box(box: object, which: str) -> Box:
    # bool is an int to Python, and JSON of Python's kind has NaN and numbers that no float can hold.
    if not isinstance(box, list) or len(box) != 4 or any(type(side) not in (int, float) for side in box):
        raise ValueError(f"{which} is not four numbers")
    try:
        x, y, width, height = (float(side) for side in box)
    except OverflowError as error:
        raise ValueError(f"{which} is not finite") from error
    if not all(map(math.isfinite, (x, y, width, height))):
        raise ValueError(f"{which} is not finite")
    if width <= 0 or height <= 0:
        raise ValueError(f"{which} has no area")
    return x, y, width, height


def _upscale(text: str) -> int | str:
    return int(text) if text in ("1", "2", "4") else text


def _format(name: str) -> str:
    if name not in FORMATS:
        raise ValueError(f"must be {', '.join(FORMATS[:-1])} or {FORMATS[-1]}, not {name[:80]!r}")
    return name


_BOXES_SCHEMA = {
    "type": "string",
    "contentMediaType": "application/json",
    "contentSchema": {
        "type": "array",
        "minItems": 1,
        "maxItems": MOST_BOXES,
        "items": {"type": "array", "minItems": 4, "maxItems": 4, "items": {"type": "number"}},
    },
}


class RestorationOptions(BaseModel):
    """What to do with the pictures. An empty form field counts as not given."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    model: str | None = Field(None, max_length=64)
    """A name of `GET /v1/models`. Default: `refstar`; without references `ganprior` where there is one."""

    faces: Literal["all", "largest", "center", "boxes", "aligned"] | None = None
    """Which faces of the photograph are restored. `center`: the one nearest to the middle. `boxes`: those in
    `boxes`. `aligned`: nothing is searched, the picture is one aligned face crop, and so is every reference.
    Default: `boxes` if those are given, else `largest` with references and `all` without."""

    boxes: Annotated[tuple[Box, ...], BeforeValidator(_boxes), WithJsonSchema(_BOXES_SCHEMA)] = ()
    """The faces to restore, as JSON: `[[x, y, width, height], ...]` in pixels of the upright picture, 32 at
    most. Each box stands for the face that fits it best. Goes with `faces=boxes` only, which may be left out."""

    min_face: int = Field(SMALLEST_FACE, ge=16, le=512)
    """Faces whose box is smaller than this many pixels a side are skipped, with the reason `face-too-small`."""

    upscale: Annotated[Literal[1, 2, 4], BeforeValidator(_upscale)] = 1
    """How many times larger than the picture the result is. The background is enlarged by Lanczos, which
    invents nothing; faces are put in at the higher resolution. An aligned face is enlarged by Lanczos as a whole."""

    reference_face: Literal["only", "largest"] = "only"
    """Which face of a reference counts. `only`: a reference with several faces is refused (`several-faces`).
    `largest`: its largest face is taken."""

    fidelity: float = Field(0.5, ge=0, le=1, allow_inf_nan=False)
    """0: most detail, and most of it may be invented; 0.5: as the model was trained; 1: nearest to the picture."""

    reference_strength: float = Field(1.0, ge=0, le=1, allow_inf_nan=False)
    """How much may be taken from the references: 0 nothing, 1 as much as the model finds fitting."""

    format: Annotated[str, AfterValidator(_format)] = Field("same", json_schema_extra={"enum": list(FORMATS)})
    """File type of the result. `same`: the type of the picture; where that cannot be written, PNG (of AVIF: WebP)."""

    quality: int = Field(95, ge=1, le=100)
    """Quality of a JPEG, WebP or AVIF result, in percent."""

    keep_location: bool = False
    """`true` keeps the place (GPS) in the result's metadata; it is dropped otherwise."""

    priority: Literal["normal", "high"] = "normal"
    """`high` is taken first, but never to the exclusion of normal ones."""

    person: str | None = Field(None, max_length=64)
    """The id of a stored person, whose references are used: instead of `references`, which are left out then."""

    webhook_url: str | None = Field(None, max_length=LONGEST_URL)
    """An https:// address that is told when the restoration ends, by a POST as Standard Webhooks has it: signed with
    your secret, and tried ten times in three days until it answers 2xx. 410 ends that."""

    def faces_mode(self, references: int) -> Literal["all", "largest", "center", "boxes", "aligned"]:
        """`faces`, or what stands for it with so many references."""
        if self.faces is not None:
            return self.faces
        if self.boxes:
            return "boxes"
        return "largest" if references else "all"


class PersonOptions(BaseModel):
    """How a person's references are to be looked at."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str = Field("", max_length=80)
    """What you call the person; nobody else sees it."""

    reference_face: Literal["only", "largest"] = "only"
    """Which face of a reference counts. `only`: a reference with several faces is refused (`several-faces`).
    `largest`: its largest face is taken."""

    aligned: bool = False
    """`true`: nothing is searched, every reference is one aligned, square face crop."""


def parse_options(fields: Mapping[str, str]) -> RestorationOptions:
    """Checked options of a form's text fields; raises Problem naming every field that is wrong."""
    options = _validate(RestorationOptions, fields, ("image", "references"))
    if errors := _contradictions(options):
        detail = "; ".join(f"{item['parameter']}={item['value']} {item['reason']}" for item in errors)
        raise Problem(ProblemType.INVALID_PARAMETER, f"{detail}.", errors=errors)
    return options


def parse_person(fields: Mapping[str, str]) -> PersonOptions:
    """The same for the form of a person."""
    options = _validate(PersonOptions, fields, ("references",))
    if options.aligned and options.reference_face != "only":
        reason = "is for whole photographs: leave it out with aligned=true"
        errors = [_error("reference_face", options.reference_face, reason)]
        raise Problem(
            ProblemType.INVALID_PARAMETER, f"reference_face={options.reference_face} {reason}.", errors=errors
        )
    return options


def _validate(kind: type[Options], fields: Mapping[str, str], files: tuple[str, ...]) -> Options:
    given = {name: value.strip() for name, value in fields.items() if value.strip()}
    known = kind.model_fields
    for name in given:
        if name in files:
            raise Problem(
                ProblemType.INVALID_PARAMETER,
                f"{name!r} must be a file, not text: `curl -F {name}=@photo.jpg` (note the @).",
                parameter=name,
            )
        if name not in known:
            near = get_close_matches(name, [*known, *files], n=1)
            hint = (
                f"; did you mean {near[0]!r}?" if near else f"; the fields are {', '.join([*files, *known])}."
            )
            raise Problem(
                ProblemType.UNKNOWN_PARAMETER, f"Unknown field {name[:80]!r}{hint}", parameter=name[:80]
            )
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        raise report_invalid_parameters(error.errors()) from error


def _contradictions(options: RestorationOptions) -> list[dict[str, str]]:
    """What is fine by itself and has no meaning beside the rest."""
    if options.faces == "boxes" and not options.boxes:
        return [_error("faces", options.faces, "needs the field boxes: [[x, y, width, height], ...]")]
    if options.boxes and options.faces not in ("boxes", None):
        return [_error("faces", options.faces, "does not go with boxes: say faces=boxes or leave faces out")]
    if options.person is not None and options.reference_face != "only":
        reason = "was chosen when the person was stored: leave it out with person"
        return [_error("reference_face", options.reference_face, reason)]
    if options.faces != "aligned":
        return []
    wrong = {
        "min_face": options.min_face != SMALLEST_FACE,
        "reference_face": options.reference_face != "only",
    }
    reason = "is for whole photographs: leave it out with faces=aligned"
    return [_error(name, getattr(options, name), reason) for name, is_wrong in wrong.items() if is_wrong]


def _error(parameter: str, value: object, reason: str) -> dict[str, str]:
    return {"parameter": parameter, "value": str(value)[:80], "reason": reason}


def form_schema(max_references: int) -> dict[str, Any]:
    """The whole form of a restoration as JSON Schema, for OpenAPI."""
    image = {**_PICTURE, "description": "The degraded photograph. With `faces=aligned`: a square face crop."}
    files = {"image": image, "references": _references_schema(0, max_references)}
    return _form_schema("RestorationForm", RestorationOptions, files, ["image"])


def person_schema(max_references: int) -> dict[str, Any]:
    """The same of a person."""
    files = {"references": _references_schema(1, max_references)}
    return _form_schema("PersonForm", PersonOptions, files, ["references"])


_PICTURE = {"type": "string", "format": "binary"}


def _references_schema(least: int, most: int) -> dict[str, Any]:
    return {
        "type": "array",
        "items": _PICTURE,
        **({"minItems": least} if least else {}),
        "maxItems": most,
        "description": "Sharp photographs of the same person, each showing one face; repeat the field for each.",
    }


def _form_schema(
    title: str, kind: type[BaseModel], files: dict[str, dict[str, Any]], required: list[str]
) -> dict[str, Any]:
    schema, properties = kind.model_json_schema(), dict(files)
    for name, knob in schema["properties"].items():
        # `str | None` would show as a choice between two types, and a form cannot send null.
        choices = [choice for choice in knob.pop("anyOf", []) if choice.get("type") != "null"]
        shown = {key: value for key, value in knob.items() if value is not None} | (
            choices[0] if choices else {}
        )
        if name == "boxes":
            del shown["default"]  # no boxes are kept as an empty list, which may not be sent
        properties[name] = shown | {"description": " ".join(knob["description"].split())}
    return {
        "title": title,
        "type": "object",
        "required": required,
        "properties": properties,
        "additionalProperties": False,
    }
