"""The OpenAPI document, made fit for what reads it: people, and programs that make clients out of it."""

import re
from typing import Any

from fastapi import FastAPI

TAGS = {
    "restorations": "Photographs that are restored, and their results.",
    "people": "People whose references are stored once.",
    "models": "The installed models.",
    "problems": "What each type of problem means and what to do about it.",
    "operation": "For operators.",
}
_FIRST_SENTENCE = re.compile(r"(.+?)\.(?:\s+(.*))?", re.DOTALL)


def complete_description(app: FastAPI, forms: dict[str, dict[str, Any]]) -> None:
    """Finish the app's document. ``forms``: schemas of forms, by the name that operations call them by."""
    document: dict[str, Any] = app.openapi()
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
