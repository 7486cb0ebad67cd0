"""The OpenAPI document is fit for programs that make clients out of it."""

import re
from collections.abc import Iterator
from typing import Any

import httpx
import pytest


@pytest.fixture
async def document(client: httpx.AsyncClient) -> dict[str, Any]:
    found: dict[str, Any] = (await client.get("/openapi.json")).json()
    return found


def operations(document: dict[str, Any]) -> Iterator[dict[str, Any]]:
    for methods in document["paths"].values():
        yield from methods.values()


def parts(value: Any) -> Iterator[dict[str, Any]]:
    """Every object in it, however deep."""
    if isinstance(value, dict):
        yield value
    if isinstance(value, dict | list):
        for part in value.values() if isinstance(value, dict) else value:
            yield from parts(part)


def test_every_operation_has_a_name_for_a_function_and_a_line_that_says_what_it_does(
    document: dict[str, Any],
) -> None:
    names = [operation["operationId"] for operation in operations(document)]
    assert len(set(names)) == len(names) >= 18
    assert {"create_restoration", "download_image", "list_people"} <= set(names)
    for operation in operations(document):
        assert re.fullmatch(r"[a-z]+(_[a-z]+)+", operation["operationId"])
        assert re.fullmatch(r"[A-Z][^.`]{10,70}", operation["summary"]), operation["summary"]
        assert operation["description"].endswith(".")
    tags = {tag["name"] for tag in document["tags"]}
    assert {tag for operation in operations(document) for tag in operation["tags"]} == tags


def test_the_service_is_where_the_document_is(document: dict[str, Any]) -> None:
    assert [server["url"] for server in document["servers"]] == ["/"]


def test_every_list_says_what_is_in_it(document: dict[str, Any]) -> None:
    lists = [part for part in parts(document) if part.get("type") == "array"]
    assert len(lists) > 10
    for one in lists:
        assert "items" in one
        assert "prefixItems" not in one


def test_what_may_be_left_out_of_an_address_is_not_null(document: dict[str, Any]) -> None:
    parameters = [part for operation in operations(document) for part in operation.get("parameters", ())]
    assert len(parameters) > 10
    for parameter in parameters:
        assert "anyOf" not in parameter["schema"]
        assert parameter["description"], parameter


def test_pictures_are_bytes(document: dict[str, Any]) -> None:
    paths = document["paths"]
    for name, kinds in {
        "image": {"image/jpeg", "image/png", "image/avif"},
        "selection": {"image/png"},
    }.items():
        content = paths[f"/v1/restorations/{{job_id}}/{name}"]["get"]["responses"]["200"]["content"]
        assert kinds | {"application/octet-stream"} <= set(content)
        assert all(one["schema"] == {"type": "string", "format": "binary"} for one in content.values())
