"""How problems appear in OpenAPI: one response per status, one example per problem type."""

from http import HTTPStatus
from typing import Any

from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import MEDIA_TYPE
from refstar_service.gateway.http.remedies import describe_remedy

#: What every form with pictures may be answered with.
PICTURE_PROBLEMS = (
    ProblemType.NOT_SQUARE,
    ProblemType.NOT_AN_IMAGE,
    ProblemType.IMAGE_EMPTY,
    ProblemType.IMAGE_TRUNCATED,
    ProblemType.IMAGE_TYPE_MISMATCH,
    ProblemType.IMAGE_TYPE_UNSUPPORTED,
    ProblemType.IMAGE_TOO_MANY_BYTES,
    ProblemType.IMAGE_TOO_MANY_PIXELS,
    ProblemType.IMAGE_TOO_SMALL,
    ProblemType.IMAGE_ANIMATED,
    ProblemType.IMAGE_UNDECODABLE,
)
#: What every form that becomes a job may be answered with.
SUBMISSION_PROBLEMS = (
    ProblemType.MALFORMED_REQUEST,
    ProblemType.UPLOAD_TIMEOUT,
    ProblemType.REQUEST_TOO_LARGE,
    ProblemType.UNSUPPORTED_MEDIA_TYPE,
    ProblemType.INVALID_PARAMETER,
    ProblemType.UNKNOWN_PARAMETER,
    ProblemType.UNKNOWN_MODEL,
    ProblemType.TOO_MANY_REFERENCES,
    ProblemType.URLS_DISABLED,
    ProblemType.IMAGE_URL_REFUSED,
    ProblemType.QUEUE_FULL,
    ProblemType.STORAGE_FULL,
    ProblemType.QUOTA_EXCEEDED,
    ProblemType.TOO_MANY_UNFINISHED,
    ProblemType.TOO_MANY_UPLOADS,
    ProblemType.QUEUE_UNAVAILABLE,
    ProblemType.STORAGE_UNAVAILABLE,
    ProblemType.NO_MODEL,
)
IDEMPOTENCY_PROBLEMS = (
    ProblemType.IDEMPOTENCY_KEY_MALFORMED,
    ProblemType.IDEMPOTENCY_KEY_REUSED,
    ProblemType.IDEMPOTENT_REQUEST_RUNNING,
)


def describe_problems(*types: ProblemType) -> dict[int | str, dict[str, Any]]:
    """The `responses` argument of a route that may answer with these problems."""
    responses: dict[int | str, dict[str, Any]] = {
        "default": _describe([ProblemType.INTERNAL_ERROR], "Any problem")
    }
    for status in sorted({problem.status for problem in types}):
        same = [problem for problem in types if problem.status == status]
        responses[status] = _describe(same, same[0].title if len(same) == 1 else HTTPStatus(status).phrase)
    return responses


def _describe(types: list[ProblemType], description: str) -> dict[str, Any]:
    return {
        "description": description,
        "content": {
            MEDIA_TYPE: {
                "schema": {"$ref": "#/components/schemas/ProblemDetails"},
                "examples": {
                    problem.slug: {
                        "value": {
                            "type": problem.uri,
                            "title": problem.title,
                            "status": problem.status,
                            "detail": describe_remedy(problem),
                            "request_id": "5f2b9c0d1e3a4b67",
                        }
                    }
                    for problem in types
                },
            }
        },
    }


def describe_links(parameter: str, *operations: str) -> dict[str, Any]:
    """For the description of an answer: the operations (by id) that its `id` is the `parameter` of."""
    following = {"parameters": {parameter: "$response.body#/id"}}
    return {"links": {operation: {"operationId": operation, **following} for operation in operations}}
