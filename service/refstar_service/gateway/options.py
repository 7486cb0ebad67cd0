"""The knobs of a restoration, as form fields. Every field is checked, and none is ignored."""

from collections.abc import Mapping
from difflib import get_close_matches
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from refstar_service.gateway.problems import Problem, ProblemType


class RestorationOptions(BaseModel):
    """What to do with the pictures. An empty form field counts as not given."""

    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)

    model: str | None = Field(None, max_length=64)
    """A name of `GET /v1/models`. Default: `refstar`; without references `ganprior` where there is one."""

    faces: Literal["all", "largest", "center", "aligned"] | None = Field(None, examples=["aligned"])
    """Which faces of the picture are restored. `aligned`: the picture is one aligned face crop, and so is
    every reference. Default: `largest` with references, `all` without. This version does `aligned` only."""

    fidelity: float = Field(0.5, ge=0, le=1, allow_inf_nan=False)
    """0: most detail, and most of it may be invented; 0.5: as the model was trained; 1: nearest to the picture."""

    reference_strength: float = Field(1.0, ge=0, le=1, allow_inf_nan=False)
    """How much may be taken from the references: 0 nothing, 1 as much as the model finds fitting."""

    format: Literal["same", "png", "jpeg", "webp"] = "same"
    """File type of the result. `same`: the type of the picture, or a lossless one if that is not written."""

    quality: int = Field(95, ge=1, le=100)
    """Quality of a JPEG or WebP result, in percent."""

    priority: Literal["normal", "high"] = "normal"
    """`high` is taken first, but never to the exclusion of normal ones."""


def parse_options(fields: Mapping[str, str]) -> RestorationOptions:
    """Checked options of a form's text fields; raises Problem naming every field that is wrong."""
    given = {name: value.strip() for name, value in fields.items() if value.strip()}
    known = RestorationOptions.model_fields
    for name in given:
        if name in ("image", "references"):
            raise Problem(
                ProblemType.INVALID_PARAMETER,
                f"{name!r} must be a file, not text: `curl -F {name}=@face.jpg` (mind the @).",
                parameter=name,
            )
        if name not in known:
            near = get_close_matches(name, [*known, "image", "references"], n=1)
            hint = f"; did you mean {near[0]!r}?" if near else f"; there are {', '.join(known)}."
            raise Problem(
                ProblemType.UNKNOWN_PARAMETER, f"There is no field {name[:80]!r}{hint}", parameter=name[:80]
            )
    try:
        return RestorationOptions.model_validate(given)
    except ValidationError as error:
        errors = [
            {
                "parameter": ".".join(map(str, item["loc"])),
                "value": str(item["input"])[:80],
                "reason": item["msg"].removeprefix("Input ").strip(),
            }
            for item in error.errors()
        ]
        detail = "; ".join(f"{item['parameter']} {item['reason']}, not {item['value']!r}" for item in errors)
        raise Problem(ProblemType.INVALID_PARAMETER, f"{detail}.", errors=errors) from error


def form_schema(max_references: int) -> dict[str, Any]:
    """The whole form as JSON Schema, for OpenAPI."""
    schema = RestorationOptions.model_json_schema()
    picture = {"type": "string", "format": "binary"}
    properties: dict[str, dict[str, Any]] = {
        "image": {
            **picture,
            "description": "The degraded picture. With `faces=aligned`: a square face crop.",
        },
        "references": {
            "type": "array",
            "items": picture,
            "maxItems": max_references,
            "description": "Sharp pictures of the same person; repeat the field for each.",
        },
    }
    for name, knob in schema["properties"].items():
        # `str | None` would show as a choice between two types, and a form cannot send null.
        choices = [choice for choice in knob.pop("anyOf", []) if choice.get("type") != "null"]
        properties[name] = {key: value for key, value in knob.items() if value is not None} | (
            choices[0] if choices else {}
        )
        properties[name]["description"] = " ".join(knob["description"].split())
    return {
        "title": "RestorationForm",
        "type": "object",
        "required": ["image"],
        "properties": properties,
        "additionalProperties": False,
    }
