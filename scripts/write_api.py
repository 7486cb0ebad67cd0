"""The API as a page: docs/api.md, from the OpenAPI document and an example for each call.

    .venv/bin/python scripts/write_api.py > docs/api.md

tests/client/test_api_examples.py runs the examples, in the order of the page.
"""

import asyncio
from collections.abc import Iterator
from typing import Any

from refstar_service.engine.catalog import Catalog
from refstar_service.engine.manifest import load_manifests
from refstar_service.gateway.app import create_app
from refstar_service.settings import Settings
from refstar_service.settings.models import SHIPPED_MODELS

HEAD = """\
# API

<!-- Made by: .venv/bin/python scripts/write_api.py > docs/api.md -->

Every service describes itself at `/openapi.json`, and at `/docs` for people. This page has the same calls with an
example each. The examples are run by a test, one after the other; they need `bash`, `curl` and `python3`, and a folder
with `photo.jpg` and `reference.jpg`. With API keys, add `-H "Authorization: Bearer $REFSTAR_API_KEY"` to every call of
`/v1`.

```sh
url=${REFSTAR_URL:-http://127.0.0.1:8000}
field() { python3 -c "import json, sys; print(json.load(sys.stdin)['$1'])"; }
```

Errors are problem documents, listed under [errors](errors.md). Which pictures are taken: [images](images.md). How faces
and references are chosen: [faces](faces.md).
"""

#: Of bodies: a form, and the document in its place, which has no files.
KINDS = ("multipart/form-data", "application/json")

EXAMPLES = {
    "create_restoration": """\
job=$(curl -sf -H 'Prefer: wait=30' -F image=@photo.jpg -F references=@reference.jpg \\
    $url/v1/restorations | field id)
curl -sf -H 'Content-Type: application/json' -d '{"image_url": "https://photos.example/photo.jpg", "upscale": 2}' \\
    $url/v1/restorations""",
    "list_restorations": 'curl -sf "$url/v1/restorations?limit=10"',
    "read_restoration": "curl -sf $url/v1/restorations/$job",
    "cancel_restoration": """\
late=$(curl -sf -F image=@photo.jpg $url/v1/restorations | field id)
curl -s -X POST $url/v1/restorations/$late/cancel""",
    "download_image": "curl -sf -o restored.jpg $url/v1/restorations/$job/image",
    "download_selection": "curl -sf -o selection.png $url/v1/restorations/$job/selection",
    "stream_events": "curl -sfN $url/v1/restorations/$job/events",
    "delete_restoration": "curl -sf -X DELETE $url/v1/restorations/$job",
    "create_person": """\
person=$(curl -sf -H 'Prefer: wait=30' -F references=@reference.jpg $url/v1/people | field id)
curl -sf -F image=@photo.jpg -F person=$person $url/v1/restorations""",
    "list_people": "curl -sf $url/v1/people",
    "read_person": "curl -sf $url/v1/people/$person",
    "update_person": """\
curl -sf -X PATCH -H 'Prefer: wait=30' -F name=Ada -F references=@reference.jpg -F remove=1 $url/v1/people/$person""",
    "delete_person": "curl -sf -X DELETE $url/v1/people/$person",
    "list_models": "curl -sf $url/v1/models",
    "list_problems": "curl -sf $url/problems",
    "explain_problem": "curl -sf $url/problems/malformed-request",
    "check_health": "curl -sf $url/healthz",
    "check_readiness": "curl -sf $url/readyz",
    "scrape_metrics": "curl -sf $url/metrics",
}


def main() -> None:
    print(write_markdown(describe()), end="")


def describe() -> dict[str, Any]:
    """The OpenAPI document of a service with the models of the package. Nothing is asked of what stands behind it."""

    async def make() -> dict[str, Any]:
        nothing: Any = _Nothing()
        settings = Settings(models_dir=SHIPPED_MODELS)
        models = Catalog.of(load_manifests(SHIPPED_MODELS))
        return create_app(settings, models=models, queue=nothing, blobs=nothing, redis=nothing).openapi()

    return asyncio.run(make())


class _Nothing:
    """Stands where queue, store and Redis are in a service; a description needs none of them."""

    def __getattr__(self, name: str) -> None:
        return None


def write_markdown(document: dict[str, Any]) -> str:
    lines = [HEAD]
    for tag in document["tags"]:
        lines += [f"## {tag['name'].capitalize()}\n", f"{tag['description']}\n"]
        for method, path, operation in _operations(document, tag["name"]):
            lines += _describe_operation(method, path, operation, document)
    return "\n".join(lines)


def _operations(document: dict[str, Any], tag: str) -> list[tuple[str, str, dict[str, Any]]]:
    """What deletes comes last, so that examples have something to look at."""
    found = [
        (method.upper(), path, operation)
        for path, operations in document["paths"].items()
        for method, operation in operations.items()
        if tag in operation["tags"]
    ]
    return sorted(found, key=lambda one: one[0] == "DELETE")


def _describe_operation(
    method: str, path: str, operation: dict[str, Any], document: dict[str, Any]
) -> list[str]:
    name = operation["operationId"]
    lines = [f"### {operation['summary']}\n", f"`{method} {path}`\n"]
    if operation["description"] != operation["summary"]:
        lines.append(f"{operation['description']}\n")
    if rows := [*_parameters(operation), *_form_fields(operation, document)]:
        lines += ["| name | in | what it is |", "|---|---|---|", *rows, ""]
    answers = ", ".join(
        f"{status} {' '.join(answer['description'].split())}" if status.startswith("2") else status
        for status, answer in operation["responses"].items()
    )
    return [*lines, f"Answers: {answers}\n", f"```sh\n{EXAMPLES[name]}\n```\n"]


def _parameters(operation: dict[str, Any]) -> Iterator[str]:
    for parameter in operation.get("parameters", ()):
        yield _row(parameter["name"], parameter["in"], parameter.get("description", ""))


def _form_fields(operation: dict[str, Any], document: dict[str, Any]) -> Iterator[str]:
    content = operation.get("requestBody", {}).get("content", {})
    if not content:
        return
    form, members = (_schema_of(content[kind]["schema"], document) for kind in KINDS)
    for name, field in form["properties"].items():
        place = "form, JSON" if name in members["properties"] else "form"
        yield _row(name, place, field.get("description", ""))


def _schema_of(schema: dict[str, Any], document: dict[str, Any]) -> dict[str, Any]:
    found: dict[str, Any] = document["components"]["schemas"][schema["$ref"].rpartition("/")[2]]
    return found


def _row(name: str, place: str, text: str) -> str:
    return f"| `{name}` | {place} | {' '.join(text.split()).replace('|', chr(92) + '|')} |"


if __name__ == "__main__":
    main()
