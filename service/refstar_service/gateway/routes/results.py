"""The pictures that a restoration makes: the result, and what was taken from which reference."""

from contextlib import suppress
from typing import Any

from fastapi import Request, Response
from redis.exceptions import RedisError
from starlette.background import BackgroundTask

from refstar_service.gateway.http.auth import CallerDep
from refstar_service.gateway.http.context import Gateway, GatewayDep
from refstar_service.gateway.http.filenames import EXTENSIONS, content_disposition, download_name
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.gateway.http.representation import IfNoneMatch, match_etag
from refstar_service.gateway.http.resource import ProblemDetails
from refstar_service.gateway.http.responses import describe_problems
from refstar_service.gateway.http.router import new_router
from refstar_service.gateway.http.waiting import estimate_poll_delay
from refstar_service.gateway.requests.lookup import RestorationId, find_restoration
from refstar_service.jobs import Job, JobResult, JobStatus, StoredFile

router = new_router("/v1/restorations", tag="restorations")

_PROBLEMS = describe_problems(
    ProblemType.UNKNOWN_RESTORATION,
    ProblemType.RESULT_NOT_READY,
    ProblemType.RESTORATION_FAILED,
    ProblemType.RESTORATION_CANCELED,
    ProblemType.RESTORATION_EXPIRED,
    ProblemType.QUEUE_UNAVAILABLE,
)


#: What a picture is sent as to clients that ask for it: most programs that make clients know no other bytes.
_BYTES = "application/octet-stream"


def _describe_picture(*media_types: str) -> dict[str, Any]:
    schema = {"type": "string", "format": "binary"}
    kinds = (*media_types, _BYTES)
    return {
        "description": f"The picture; as `{_BYTES}` where `Accept` names that and no image type.",
        "content": {kind: {"schema": schema} for kind in kinds},
    }


@router.get(
    "/{job_id}/image",
    response_class=Response,
    responses={200: _describe_picture(*EXTENSIONS), **_PROBLEMS},
)
async def download_image(
    request: Request,
    job_id: RestorationId,
    gateway: GatewayDep,
    caller: CallerDep,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Download the restored picture."""
    job = await find_restoration(gateway, caller, job_id)
    result = await _read_result(gateway, job)
    response = await _send_file(gateway, request, job, result.image, "restored", if_none_match)
    if request.method == "GET":  # whoever only asks about it may still come for it
        response.background = BackgroundTask(_note_fetched, gateway, job.id)
    return response


@router.get(
    "/{job_id}/selection",
    response_class=Response,
    responses={200: _describe_picture("image/png"), **_PROBLEMS},
)
async def download_selection(
    request: Request,
    job_id: RestorationId,
    gateway: GatewayDep,
    caller: CallerDep,
    if_none_match: IfNoneMatch = None,
) -> Response:
    """Download a picture of what was taken from which reference. It is the photograph in gray, with each reference's
    contribution in a color of its own."""
    job = await find_restoration(gateway, caller, job_id)
    result = await _read_result(gateway, job)
    if result.selection is None:
        raise ProblemError(ProblemType.NO_SELECTION, "This restoration used no reference.")
    return await _send_file(gateway, request, job, result.selection, "selection", if_none_match)


async def _note_fetched(gateway: Gateway, job_id: str) -> None:
    """When the picture is sent: nobody waits for it."""
    with suppress(RedisError):  # then it keeps its place until it expires
        await gateway.queue.note_fetched(job_id)


async def _read_result(gateway: Gateway, job: Job) -> JobResult:
    match job.status:
        case JobStatus.QUEUED | JobStatus.RUNNING:
            position = await gateway.queue.position(job.id)
            raise ProblemError(
                ProblemType.RESULT_NOT_READY,
                f"The restoration is {job.status}.",
                headers={"Retry-After": str(estimate_poll_delay(position))},
            )
        case JobStatus.CANCELED:
            raise ProblemError(
                ProblemType.RESTORATION_CANCELED, "The restoration was canceled before it ended."
            )
        case JobStatus.FAILED if job.failure:
            failure = ProblemDetails.of(job.failure, job.request.request_id).model_dump(exclude_none=True)
            raise ProblemError(ProblemType.RESTORATION_FAILED, job.failure.detail, failure=failure)
        case JobStatus.SUCCEEDED if job.result:
            return job.result
        case JobStatus.EXPIRED if job.failure:
            raise ProblemError(ProblemType.RESTORATION_EXPIRED, job.failure.detail, setting="REFSTAR_JOB_TTL")
        case _:
            raise _report_expiry()


async def _send_file(
    gateway: Gateway,
    request: Request,
    job: Job,
    file: StoredFile,
    purpose: str,
    if_none_match: str | None,
) -> Response:
    headers = {"ETag": f'"{file.sha256}"', "Cache-Control": "private, no-cache", "Vary": "Accept"}
    if match_etag(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    data = await gateway.blobs.get(file.key)
    if data is None:
        raise _report_expiry()
    name = download_name(file.name, purpose, file.media_type)
    headers["Content-Disposition"] = content_disposition(name)
    kind = _BYTES if _wants_bytes(request.headers.get("accept", "")) else file.media_type
    return Response(data, headers=headers, media_type=kind)


def _wants_bytes(accept: str) -> bool:
    kinds = {part.partition(";")[0].strip().lower() for part in accept.split(",")}
    return _BYTES in kinds and not any(kind == "*/*" or kind.startswith("image/") for kind in kinds)


def _report_expiry() -> ProblemError:
    return ProblemError(
        ProblemType.RESTORATION_EXPIRED,
        "The pictures of this restoration have been deleted.",
        setting="REFSTAR_RESULT_TTL",
    )
