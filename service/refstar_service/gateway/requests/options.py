"""The fields of a form: knobs, and what else a request says. Every field is checked, and none is ignored."""

from collections.abc import Iterable, Mapping
from dataclasses import asdict
from difflib import get_close_matches
from typing import Annotated, Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.gateway.http.validation import report_invalid_parameters
from refstar_service.gateway.requests.form import Form
from refstar_service.jobs.request import MOST_REFERENCES
from refstar_service.outgoing.endpoint import LONGEST_SIGNED_URL, LONGEST_URL
from refstar_service.restoration.errors import Fault, RequestError
from refstar_service.restoration.knobs import KNOBS, MOST_BOXES, Knob, KnobKind
from refstar_service.restoration.rules import MOST_PEOPLE

Options = TypeVar("Options", bound=BaseModel)
Asked = dict[str, Any]  # knobs that were named, and what was chosen

PERSON_KNOBS = {"reference_face": KNOBS["reference_face"]}


class RestorationOptions(BaseModel):
    """What a request says beside its pictures and its knobs. An empty form field counts as not given."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    image_url: str | None = Field(None, max_length=LONGEST_SIGNED_URL)
    """An https:// URL that a worker fetches the photograph from, instead of the file `image`. Public addresses only,
    unless the operator allows others. The limits are those of a file. Nothing behind the host is logged or shown."""

    reference_urls: list[str] = Field([], max_length=MOST_REFERENCES)
    """URLs of references, as `image_url`. In a form, repeat the field for each one; they come after the files in
    `references`."""

    output_url: str | None = Field(None, max_length=LONGEST_SIGNED_URL)
    """A URL, such as a presigned one of S3, that the result is sent to by PUT before the restoration counts as
    succeeded. If that cannot be done, the restoration fails. The result can also be downloaded until it expires."""

    model: str | None = Field(None, max_length=100)
    """Name of a model from `GET /v1/models`, or one version of it as `NAME@VERSION`. By default, the model that ranks
    first, with or without references, in its default version."""

    priority: Literal["normal", "high"] = "normal"
    """Restorations with `high` priority start first, but never block normal ones completely. Only for API keys that are
    permitted to use it."""

    person: list[Annotated[str, Field(max_length=64)]] = Field([], max_length=MOST_PEOPLE)
    """ID of a stored person whose references are used. Repeat the field for each person in the photograph: every face
    is given the references of the person that it most likely shows, or none. Leave out `references`."""

    webhook_url: str | None = Field(None, max_length=LONGEST_URL)
    """An https:// URL that receives a POST when the restoration ends, following Standard Webhooks. It is signed with
    your secret and sent up to ten times within three days until the receiver responds with 2xx, or with 410 to end
    it."""


class PersonOptions(BaseModel):
    """What a request says of a person beside their references."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    reference_urls: list[str] = Field([], max_length=MOST_REFERENCES)
    """https:// URLs that a worker fetches references from. In a form, repeat the field for each one; they come after
    the files in `references`."""

    name: str = Field("", max_length=80)
    """Your name for the person. Nobody else sees it."""

    aligned: bool = False
    """`true` if every reference is an aligned, square face crop. No face is searched for."""


class PersonChanges(BaseModel):
    """What a request says of how a person is to be changed, beside further references."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    name: str | None = Field(None, max_length=80)
    """The person's name from now on."""

    remove: list[Annotated[int, Field(ge=1)]] = Field([], max_length=MOST_REFERENCES)
    """`index` of a reference that is to be removed. Repeat the field for each one. The others keep their index.
    Removing one that was removed before changes nothing."""

    reference_urls: list[str] = Field([], max_length=MOST_REFERENCES)
    """https:// URLs that a worker fetches further references from. In a form, repeat the field for each one; they come
    after the files in `references`."""

    aligned: bool = False
    """`true` if every reference of this request is an aligned, square face crop. No face is searched for."""


def parse_options(form: Form) -> tuple[RestorationOptions, Asked]:
    """What the text fields of a form say; raises ProblemError naming every field that is wrong."""
    return _parse(RestorationOptions, KNOBS, form, ("image", "references"))


def parse_person(form: Form) -> tuple[PersonOptions, Asked]:
    """The same for the form of a person."""
    return _parse(PersonOptions, PERSON_KNOBS, form, ("references",))


def parse_changes(form: Form) -> tuple[PersonChanges, Asked]:
    """The same for the form that changes a person."""
    return _parse(PersonChanges, PERSON_KNOBS, form, ("references",))


def describe_refusal(error: RequestError, **more: Any) -> ProblemError:
    """The answer to a request that cannot be meant; ``more``: further members of it."""
    if error.faults:
        more["errors"] = [asdict(fault) for fault in error.faults]
    more |= {name: value for name in ("parameter", "limit") if (value := getattr(error, name)) is not None}
    kind = ProblemType.of(error.code) or ProblemType.INVALID_PARAMETER
    return ProblemError(
        kind, error.detail, setting="", **more
    )  # it may be the model's limit; else it is named


def _parse(
    kind: type[Options], knobs: Mapping[str, Knob], form: Form, files: tuple[str, ...]
) -> tuple[Options, Asked]:
    given = {name: value.strip() for name, value in form.fields.items() if value.strip()}
    for name in given:
        _check_name(name, [*files, *kind.model_fields, *knobs], files)
    asked, faults = {}, []
    for name, knob in knobs.items():
        if name in given:
            text = given.pop(name)
            try:
                asked[name] = knob.parse(text)
            except ValueError as error:
                faults.append(Fault(name, text, str(error)))
    try:
        options = kind.model_validate({**given, **form.lists})
    except ValidationError as error:
        raise report_invalid_parameters(error.errors(), faults) from error
    if faults:
        raise report_invalid_parameters([], faults)
    return options, asked


def _check_name(name: str, known: list[str], files: tuple[str, ...]) -> None:
    if name in files:
        raise ProblemError(
            ProblemType.INVALID_PARAMETER,
            f"{name!r} must be a file, not text: `curl -F {name}=@photo.jpg` (note the @).",
            parameter=name,
        )
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"; did you mean {near[0]!r}?" if near else f"; the fields are {', '.join(known)}."
        raise ProblemError(
            ProblemType.UNKNOWN_PARAMETER, f"Unknown field {name[:80]!r}{hint}", parameter=name[:80]
        )


_PICTURE = {"type": "string", "format": "binary"}


def _references_schema(most: int) -> dict[str, Any]:
    return {
        "type": "array",
        "items": _PICTURE,
        "maxItems": most,
        "description": "Sharp photographs of the same person with one face in each. Repeat the field for each one.",
    }


def _schema(
    title: str,
    files: Mapping[str, dict[str, Any]],
    knobs: Iterable[Knob],
    kind: type[BaseModel],
    required: list[str],
) -> dict[str, Any]:
    """Of a form, or of a JSON document if there are no ``files``."""
    properties = dict(files) | {knob.name: _knob_schema(knob, text=bool(files)) for knob in knobs}
    for name, option in kind.model_json_schema()["properties"].items():
        # `str | None` would show as a choice between two types, and neither a form nor a document sends null.
        choices = [choice for choice in option.pop("anyOf", []) if choice.get("type") != "null"]
        shown = {key: value for key, value in option.items() if value is not None} | (
            choices[0] if choices else {}
        )
        text = " ".join(option["description"].split())
        properties[name] = shown | {"description": _tell_default(text, shown.pop("default", None))}
        if name in required and shown["type"] == "array":
            properties[name]["minItems"] = 1
    return {
        "title": title,
        "type": "object",
        **({"required": required} if required else {}),
        "properties": properties,
        "additionalProperties": False,
    }


def _tell_default(text: str, default: Any) -> str:
    """As a sentence. Programs that make clients would send a `default`, or ask for it, where nothing was chosen."""
    if default in (None, "", []):
        return text
    return f"{text} Default: {str(default).lower() if isinstance(default, bool) else default}."


def _knob_schema(knob: Knob, *, text: bool) -> dict[str, Any]:
    """``text``: in a form, where boxes are JSON in a text."""
    default = None if knob.kind is KnobKind.BOXES else knob.default  # an empty list may not be sent
    schema: dict[str, Any] = {"description": _tell_default(knob.help, default)}
    match knob.kind:
        case KnobKind.CHOICE:
            kind = "integer" if isinstance(knob.choices[0], int) else "string"
            return schema | {"type": kind, "enum": list(knob.choices)}
        case KnobKind.NUMBER:
            return schema | {"type": "number", "minimum": knob.least, "maximum": knob.most}
        case KnobKind.WHOLE:
            return schema | {"type": "integer", "minimum": knob.least, "maximum": knob.most}
        case KnobKind.SWITCH:
            return schema | {"type": "boolean"}
        case KnobKind.BOXES:
            return schema | (_BOXES_TEXT if text else _BOXES)


_BOXES = {
    "type": "array",
    "minItems": 1,
    "maxItems": MOST_BOXES,
    "items": {"type": "array", "minItems": 4, "maxItems": 4, "items": {"type": "number"}},
}
_BOXES_TEXT = {"type": "string", "contentMediaType": "application/json", "contentSchema": _BOXES}


def _describe_forms() -> dict[str, dict[str, Any]]:
    image = {
        **_PICTURE,
        "description": "The degraded photograph, or a square face crop with `faces=aligned`. Required unless there is "
        "an `image_url`.",
    }
    files = {"image": image, "references": _references_schema(MOST_REFERENCES)}
    of_person = {"references": _references_schema(MOST_REFERENCES)}
    person_knobs = PERSON_KNOBS.values()
    return {
        "RestorationForm": _schema("RestorationForm", files, KNOBS.values(), RestorationOptions, []),
        "RestorationDocument": _schema(
            "RestorationDocument", {}, KNOBS.values(), RestorationOptions, ["image_url"]
        ),
        "PersonForm": _schema("PersonForm", of_person, person_knobs, PersonOptions, []),
        "PersonDocument": _schema("PersonDocument", {}, person_knobs, PersonOptions, ["reference_urls"]),
        "PersonChangesForm": _schema("PersonChangesForm", of_person, person_knobs, PersonChanges, []),
        "PersonChangesDocument": _schema("PersonChangesDocument", {}, person_knobs, PersonChanges, []),
    }


#: The forms, and the documents that may be sent in their place, as JSON Schema, by name.
FORMS = _describe_forms()


def describe_body(of: str) -> dict[str, Any]:
    """The `openapi_extra` of a route whose body is a form of `FORMS` or the document in its place: "Restoration"."""
    kinds = {"multipart/form-data": f"{of}Form", "application/json": f"{of}Document"}
    content = {kind: {"schema": {"$ref": f"#/components/schemas/{name}"}} for kind, name in kinds.items()}
    return {"requestBody": {"required": True, "content": content}}
