"""What a restoration may be asked for beside its pictures, as keyword arguments. The service checks the values, and
its `/docs` explains them; docs/faces.md has the ones about faces."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, Literal, TypedDict

from refstar_client.resources import Box


class RestorationOptions(TypedDict, total=False):
    """Leave out what the service is to decide."""

    faces: Literal["all", "largest", "center", "boxes", "aligned"]
    boxes: Sequence[Box]
    min_face: int
    min_score: float
    upscale: Literal[1, 2, 4]
    reference_face: Literal["only", "largest"]
    fidelity: float
    reference_strength: float
    stranger: Literal["ignore", "refuse", "use"]
    format: str
    quality: int
    grain: bool
    keep: bool
    keep_location: bool
    model: str
    priority: Literal["normal", "high"]
    webhook_url: str
    image_url: str
    """Where the service fetches the photograph from, instead of a file."""
    reference_urls: Sequence[str]
    """The same of references, also beside files."""
    output_url: str
    """Where the service puts the result, by PUT."""


#: Fields that a form may have several times.
_LISTS = frozenset(("person", "reference_urls", "remove"))


def form_fields(options: Mapping[str, Any]) -> dict[str, str | list[str]]:
    """Options as text fields of a form; those that are None are left out."""
    return {
        name: [str(one) for one in value] if name in _LISTS else _as_text(value)
        for name, value in options.items()
        if value is not None
    }


def document_members(options: Mapping[str, Any]) -> dict[str, Any]:
    """The same as members of a JSON document, which has no files beside it."""
    return {name: value for name, value in options.items() if value is not None}


def _as_text(value: Any) -> str:
    match value:
        case bool():
            return "true" if value else "false"
        case str():
            return value
        case Sequence():
            return json.dumps(value)
        case _:
            return str(value)
