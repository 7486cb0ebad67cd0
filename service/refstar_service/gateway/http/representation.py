"""A resource as an answer: JSON with its tag, which a client that has it already need not be sent again."""

import hashlib
from typing import Annotated

from fastapi import Header, Response

from refstar_service.gateway.http.resource import Resource

IfNoneMatch = Annotated[
    str | None,
    Header(alias="If-None-Match", description="An `ETag`: what has not changed since is not sent again."),
]


def render_resource(
    resource: Resource, status: int, *, waited: int | None = None, retry_after: int | None = None
) -> Response:
    """`waited`: seconds that `Prefer` asked for. `retry_after`: seconds until it is worth asking again, if it is."""
    body = resource.model_dump_json(by_alias=True).encode()
    # The body's own hash, not the job's version: the position in the queue changes without the job.
    headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()[:24]}"', "Cache-Control": "private, no-cache"}
    if retry_after is not None:
        headers["Retry-After"] = str(retry_after)
    if waited is not None:
        headers["Preference-Applied"] = f"wait={waited}"
    return Response(body, status, headers, "application/json")


def omit_if_known(response: Response, if_none_match: str | None) -> Response:
    """304 instead of the response, if the client has what is in it."""
    if not match_etag(if_none_match, response.headers["ETag"]):
        return response
    kept = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
    return Response(status_code=304, headers=kept)


def match_etag(if_none_match: str | None, etag: str) -> bool:
    """Whether the client already has the representation with this (strong, quoted) tag: RFC 9110, 13.1.2."""
    if if_none_match is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag in tags
