"""Exceptions to problem responses: whatever goes wrong, the answer has the same form."""

import logging
from http import HTTPStatus
from typing import cast

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse
from redis.exceptions import OutOfMemoryError, RedisError
from starlette.exceptions import HTTPException

from refstar_service.access.file import KeyFileError
from refstar_service.blobs import BlobsUnavailableError
from refstar_service.gateway.http.full_disk import is_disk_full
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import MEDIA_TYPE, ProblemError
from refstar_service.gateway.http.validation import report_invalid_parameters

log = logging.getLogger(__name__)


def install_handlers(app: FastAPI) -> None:
    app.add_exception_handler(ProblemError, _answer_problem)
    app.add_exception_handler(RedisError, _answer_redis_error)
    app.add_exception_handler(KeyFileError, _answer_key_error)
    app.add_exception_handler(BlobsUnavailableError, _answer_store_error)
    app.add_exception_handler(RequestValidationError, _answer_invalid_request)
    app.add_exception_handler(HTTPException, _answer_http_exception)


def render_problem(request: Request, problem: ProblemError) -> Response:
    # A marker for metrics: which refusal it was, without reading the body again.
    request.scope["state"]["problem"] = problem.type
    return problem.response(instance=request.url.path, request_id=request.scope["state"]["request_id"])


async def _answer_problem(request: Request, error: Exception) -> Response:
    return render_problem(request, cast(ProblemError, error))


async def _answer_redis_error(request: Request, error: Exception) -> Response:
    log.error("Redis failed: %s: %s", type(error).__name__, error)
    detail = f"{name_trouble(error)} Accepted restorations are not lost."
    problem = ProblemError(ProblemType.QUEUE_UNAVAILABLE, detail, headers={"Retry-After": "5"})
    return render_problem(request, problem)


def name_trouble(error: Exception) -> str:
    """What is wrong with Redis, by what it answered or did not answer."""
    if isinstance(error, OutOfMemoryError):
        return "The queue is out of memory and accepts nothing new."
    if is_disk_full(error):
        return "The queue cannot write to its disk and accepts nothing new."
    return "The queue does not respond."


async def _answer_key_error(request: Request, error: Exception) -> Response:
    log.error("API keys cannot be read: %s", error)
    detail = "The service cannot read its API keys."
    return render_problem(
        request, ProblemError(ProblemType.KEYS_UNAVAILABLE, detail, headers={"Retry-After": "10"})
    )


async def _answer_store_error(request: Request, error: Exception) -> Response:
    log.error("the picture store failed: %s", error)
    problem = ProblemError(
        ProblemType.STORAGE_UNAVAILABLE,
        "The picture store does not respond. Accepted restorations are not lost.",
        headers={"Retry-After": "10"},
    )
    return render_problem(request, problem)


async def _answer_invalid_request(request: Request, error: Exception) -> Response:
    problem = report_invalid_parameters(cast(RequestValidationError, error).errors())
    return render_problem(request, problem)


async def _answer_http_exception(request: Request, error: Exception) -> Response:
    error = cast(HTTPException, error)
    method, path = request.method, request.url.path
    match error.status_code:
        case 404:
            problem = ProblemError(ProblemType.NOT_FOUND, f"Nothing is served at {path[:200]}.")
        case 405:
            allowed = _allowed_methods(request, (error.headers or {}).get("Allow", ""))
            problem = ProblemError(
                ProblemType.METHOD_NOT_ALLOWED,
                f"{method} is not allowed here; use {allowed.replace(', ', ' or ')}.",
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
    return render_problem(request, problem)


def _allowed_methods(request: Request, first: str) -> str:
    # The router names only the methods of the first route with this path; OpenAPI knows them all.
    route = request.scope.get("route")
    operations = request.app.openapi()["paths"].get(getattr(route, "path", ""), {})
    methods = {method.upper() for method in operations} or set(filter(None, first.split(", ")))
    return ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))
