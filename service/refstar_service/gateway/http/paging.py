"""Lists, page by page: where the next page begins, as a client is told it and as it says it again."""

import base64
import binascii
import re
from collections.abc import Mapping
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Query, Response

from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.jobs import Place

MOST_ENTRIES = 100
_PLACE = re.compile(r"(\d{1,20})\.([A-Za-z0-9_-]{1,64})", re.ASCII)

Limit = Annotated[int, Query(ge=1, le=MOST_ENTRIES, description="Number of entries on a page.")]
Cursor = Annotated[
    str | None,
    Query(max_length=200, description="Where this page begins: the cursor in `next` of the page before."),
]


def parse_cursor(cursor: str | None) -> Place | None:
    """Raises ProblemError for a cursor that is not ours."""
    if cursor is None:
        return None
    try:
        text = base64.b64decode(cursor + "=" * (-len(cursor) % 4), b"-_", validate=True).decode()
    except (binascii.Error, ValueError):
        text = ""
    if match := _PLACE.fullmatch(text):
        return Place(match[1], match[2])
    raise ProblemError(
        ProblemType.INVALID_PARAMETER,
        f"cursor must come from `next` of another page, not {cursor[:80]!r}. Leave it out for the first page.",
        errors=[
            {"parameter": "cursor", "value": cursor[:80], "reason": "must come from `next` of another page"}
        ],
    )


def link_next_page(
    response: Response, path: str, rest: Place | None, query: Mapping[str, str | int | None]
) -> str | None:
    """The address of the page that begins at `rest`, also in the response's `Link`; None after the last page."""
    if rest is None:
        return None
    pairs = {name: value for name, value in query.items() if value is not None} | {"cursor": _encode(rest)}
    address = f"{path}?{urlencode(pairs)}"
    response.headers["Link"] = f'<{address}>; rel="next"'
    return address


def _encode(place: Place) -> str:
    # Opaque to clients, so that it may change; no secret.
    return base64.urlsafe_b64encode(f"{place.moment}.{place.id}".encode()).decode().rstrip("=")
