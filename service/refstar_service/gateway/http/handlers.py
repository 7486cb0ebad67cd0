"""Exceptions to problem responses: whatever goes wrong, the answer has the same form."""

import logging
from http import HTTPStatus
from typing import cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from redis.exceptions import OutOfMemoryError, RedisError
from starlette.exceptions import HTTPException

from refstar_service.gateway.http.problems import MEDIA_TYPE, Problem, ProblemType

logger = logging.getLogger(__name__)


def install(app: FastAPI) -> None:
    app.add_exception_handler(Problem, _problem)
    app.add_exception_handler(RedisError, _redis_error)
    app.add_exception_handler(OSError, _store_error)
    app.add_exception_handler(RequestValidationError, _invalid_request)
    app.add_exception_handler(HTTPException, _http_exception)


def respond(request: Request, problem: Problem) -> Response:
    # A marker for metrics: which refusal it was, without reading the body again.
    request.scope["state"]["problem"] = problem.type
    return problem.response(instance=request.url.path, request_id=request.scope["state"]["request_id"])


async def _problem(request: Request, error: Exception) -> Response:
    return respond(request, cast(Problem, error))


async def _redis_error(request: Request, error: Exception) -> Response:
    logger.error("redis: %s: %s", type(error).__name__, error)
    detail = f"The queue {_trouble(error)}; accepted restorations are kept."
    problem = Problem(ProblemType.QUEUE_UNAVAILABLE, detail, headers={"Retry-After": "5"})
    return respond(request, problem)


def _trouble(error: Exception) -> str:
    if isinstance(error, OutOfMemoryError):
        return "is out of memory and takes nothing new"
    if "MISCONF" in str(error):  # in whatever words, by version and command: it cannot write its file
        return "cannot write to its disk and takes nothing new"
    return "does not answer"


async def _store_error(request: Request, error: Exception) -> Response:
    logger.error("blobs: %s", error)
    problem = Problem(
        ProblemType.STORAGE_UNAVAILABLE,
        "The store of pictures does not answer; accepted restorations are kept.",
        headers={"Retry-After": "10"},
    )
    return respond(request, problem)


async def _invalid_request(request: Request, error: Exception) -> Response:
    errors = [
        {"parameter": ".".join(map(str, item["loc"])), "reason": item["msg"]}
        for item in cast(RequestValidationError, error).errors()
    ]
    detail = "; ".join(f"{item['parameter']}: {item['reason']}" for item in errors)
    return respond(request, Problem(ProblemType.INVALID_PARAMETER, detail, errors=errors))


async def _http_exception(request: Request, error: Exception) -> Response:
    error = cast(HTTPException, error)
    method, path = request.method, request.url.path
    match error.status_code:
        case 404:
            problem = Problem(ProblemType.NOT_FOUND, f"There is nothing at {path[:200]}.")
        case 405:
            allowed = _allowed_methods(request) or (error.headers or {}).get("Allow", "")
            problem = Problem(
                ProblemType.METHOD_NOT_ALLOWED,
                f"{path[:200]} takes {allowed}, not {method}.",
                headers={"Allow": allowed},
            )
        case status:  # raised by the framework itself, about which there is nothing more to say
            body = {
                "type": "about:blank",
                "title": HTTPStatus(status).phrase,
                "status": status,
                "detail": str(error.detail),
                "instance": path,
                "request_id": request.scope["state"]["request_id"],
            }
            return JSONResponse(body, status, error.headers, MEDIA_TYPE)
    return respond(request, problem)


def _allowed_methods(request: Request) -> str:
    # The router names only the methods of the first route with this path; OpenAPI knows them all.
    route = request.scope.get("route")
    operations = request.app.openapi()["paths"].get(getattr(route, "path", ""), {})
    return ", ".join(sorted(method.upper() for method in operations))
