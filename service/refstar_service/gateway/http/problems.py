"""RFC 9457 problem details: the answer to a request that cannot be carried out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from refstar_service.gateway.http.problem_types import ProblemType

MEDIA_TYPE = "application/problem+json"


class ProblemError(Exception):
    """An answer to give instead of what was asked for; `extensions` are further members of its body."""

    def __init__(
        self,
        type: ProblemType,  # noqa: A002  RFC 9457's word
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        **extensions: Any,
    ) -> None:
        super().__init__(detail)
        self.type = type
        self.detail = detail
        self.headers = dict(headers or {})
        self.extensions = extensions

    def response(self, *, instance: str, request_id: str) -> JSONResponse:
        body = {
            "type": self.type.uri,
            "title": self.type.title,
            "status": self.type.status,
            "detail": self.detail,
            "instance": instance,
            "request_id": request_id,
            **self.extensions,
        }
        return JSONResponse(body, self.type.status, self.headers, MEDIA_TYPE)
