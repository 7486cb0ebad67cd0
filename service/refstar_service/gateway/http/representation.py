"""A resource as an answer: JSON with its tag, which a client that has it already need not be sent again."""

import hashlib

from fastapi import Response

from refstar_service.gateway.http.conditional import matches
from refstar_service.gateway.routes.resources import Resource


def represented(
    resource: Resource, status: int, *, waited: int | None = None, retry_after: str | None = None
) -> Response:
    """`waited`: seconds that `Prefer` asked for. `retry_after`: seconds until it is worth asking again, if it is."""
    body = resource.model_dump_json(by_alias=True).encode()
    # The body's own hash, not the job's version: the position in the queue changes without the job.
    headers = {"ETag": f'"{hashlib.sha256(body).hexdigest()[:24]}"', "Cache-Control": "private, no-cache"}
    if retry_after is not None:
        headers["Retry-After"] = retry_after
    if waited is not None:
        headers["Preference-Applied"] = f"wait={waited}"
    return Response(body, status, headers, "application/json")


def unless_known(response: Response, if_none_match: str | None) -> Response:
    """304 instead of the response, if the client has what is in it."""
    if not matches(if_none_match, response.headers["ETag"]):
        return response
    kept = {name: value for name, value in response.headers.items() if not name.startswith("content-")}
    return Response(status_code=304, headers=kept)
