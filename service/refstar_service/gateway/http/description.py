"""The OpenAPI document, made fit for what reads it: people, and programs that make clients out of it."""

import re
from typing import Any

from fastapi import FastAPI

from refstar_service.gateway.http.auth import describe_access

TAGS = {
    "restorations": "Photographs that are restored, and their results.",
    "people": "People whose references are stored once.",
    "models": "The installed models.",
    "problems": "What each type of problem means and what to do about it.",
    "operation": "For operators.",
}
_FIRST_SENTENCE = re.compile(r"(.+?)\.(?:\s+(.*))?", re.DOTALL)


class DescribedApp(FastAPI):
    """Its document is made when it is first asked for: a gateway is ready sooner, and most are never asked.

    ``forms``: schemas of forms, by the name that operations call them by. ``guarded``: whether it asks for keys.
    """

    def __init__(self, forms: dict[str, dict[str, Any]], *, guarded: bool, **settings: Any) -> None:
        super().__init__(**settings)
        self._forms, self._guarded = forms, guarded
        self._completed: dict[str, Any] | None = None

    def openapi(self) -> dict[str, Any]:
        document = super().openapi()
        if document is not self._completed:
            _complete(document, self._forms)
            if self._guarded:
                describe_access(document)
            self._completed = document
        return document


def _complete(document: dict[str, Any], forms: dict[str, dict[str, Any]]) -> None:
    document["servers"] = [{"url": "/", "description": "This service"}]
    document["tags"] = [{"name": name, "description": text} for name, text in TAGS.items()]
    document["components"]["schemas"] |= forms
    for operations in document["paths"].values():
        for operation in operations.values():
            _summarize(operation)
            for parameter in operation.get("parameters", ()):
                parameter["schema"] = _without_null(parameter["schema"])


def _summarize(operation: dict[str, Any]) -> None:
    """What its function says: the first sentence is the summary, the rest the description."""
    text = " ".join(operation["description"].split())
    if found := _FIRST_SENTENCE.fullmatch(text):
        operation["summary"] = found[1]
        operation["description"] = found[2] or text


def _without_null(schema: dict[str, Any]) -> dict[str, Any]:
    """The schema of a parameter that may be left out: no address and no header can say null."""
    choices: list[dict[str, Any]] = [
        choice for choice in schema.get("anyOf", ()) if choice.get("type") != "null"
    ]
    if len(choices) != 1:
        return schema
    return {name: value for name, value in schema.items() if name != "anyOf"} | choices[0]
