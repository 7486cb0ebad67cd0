"""RFC 9457 problem details: the answer to a request that cannot be carried out."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from starlette.responses import JSONResponse

from refstar_service.gateway.http.problem_types import ProblemType

MEDIA_TYPE = "application/problem+json"


class ProblemError(Exception):
    """An answer to give instead of what was asked for; `extensions` are further members of its body.

    `setting`: which one changes the limit that was met, where the type has several; empty, where none of them does or
    the detail names it.
    """

    def __init__(
        self,
        type: ProblemType,  # noqa: A002  RFC 9457's word
        detail: str,
        *,
        headers: Mapping[str, str] | None = None,
        setting: str | None = None,
        **extensions: Any,
    ) -> None:
        if setting is None and len(type.settings) == 1:
            (setting,) = type.settings
        if setting:
            extensions["setting"] = setting
        self.type = type
        self.detail = detail if setting == "" else type.name_limit(detail, setting)
        super().__init__(self.detail)
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
