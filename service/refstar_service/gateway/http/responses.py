"""How problems appear in OpenAPI: one response per status, one example per problem type."""

from http import HTTPStatus
from typing import Any

from refstar_service.gateway.http.problems import MEDIA_TYPE, ProblemType


def problem_responses(*types: ProblemType) -> dict[int | str, dict[str, Any]]:
    """The `responses` argument of a route that may answer with these problems."""
    responses: dict[int | str, dict[str, Any]] = {
        "default": _response([ProblemType.INTERNAL_ERROR], "Any problem")
    }
    for status in sorted({problem.status for problem in types}):
        same = [problem for problem in types if problem.status == status]
        responses[status] = _response(same, same[0].title if len(same) == 1 else HTTPStatus(status).phrase)
    return responses


def _response(types: list[ProblemType], description: str) -> dict[str, Any]:
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
                            "detail": problem.remedy,
                            "request_id": "5f2b9c0d1e3a4b67",
                        }
                    }
                    for problem in types
                },
            }
        },
    }


def links(parameter: str, *operations: str) -> dict[str, Any]:
    """For the description of an answer: the operations (by id) that its `id` is the `parameter` of."""
    following = {"parameters": {parameter: "$response.body#/id"}}
    return {
        "links": {
            operation.split("_")[0]: {"operationId": operation, **following} for operation in operations
        }
    }
