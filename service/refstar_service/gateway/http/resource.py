"""What every body of an answer is, and the one that all rooms share: a problem."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict

from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.jobs import JobFailure


class Resource(BaseModel):
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True)


class ProblemDetails(Resource):
    """An RFC 9457 problem. Some problems have further members, such as `errors`, `limit` or `failure`."""

    model_config = ConfigDict(extra="allow")

    type: str
    """Identifies the problem: `/problems/<slug>`, which is also where it is explained."""
    title: str
    status: int
    detail: str
    instance: str | None = None
    request_id: str | None = None

    @classmethod
    def of(cls, failure: JobFailure, request_id: str) -> Self:
        """`request_id`: of the request that asked for what failed."""
        kind = ProblemType.of(failure.code)
        return cls(
            type=kind.uri if kind else "about:blank",
            title=kind.title if kind else "The restoration failed",
            status=kind.status if kind else 500,
            detail=kind.name_limit(failure.detail) if kind else failure.detail,
            request_id=request_id or None,
        )
