"""What a restoration leaves behind: the picture, and what was taken from which reference."""

from typing import Annotated, Any

from fastapi import APIRouter, Header, Response

from refstar_service.gateway.http.auth import CallerDep
from refstar_service.gateway.http.conditional import matches
from refstar_service.gateway.http.context import Gateway, GatewayDep
from refstar_service.gateway.http.filenames import EXTENSIONS, content_disposition, download_name
from refstar_service.gateway.http.problems import Problem, ProblemType
from refstar_service.gateway.http.responses import problem_responses
from refstar_service.gateway.routes.resources import ProblemDetails
from refstar_service.gateway.routes.restorations import checked_id, existing, retry_after
from refstar_service.jobs import Job, JobResult, JobStatus, StoredFile

router = APIRouter(prefix="/v1/restorations", tags=["restorations"])

IfNoneMatch = Annotated[str | None, Header()]
_PROBLEMS = problem_responses(
    ProblemType.UNKNOWN_RESTORATION,
    ProblemType.RESULT_NOT_READY,
    ProblemType.RESTORATION_FAILED,
    ProblemType.RESTORATION_CANCELED,
    ProblemType.RESTORATION_EXPIRED,
    ProblemType.QUEUE_UNAVAILABLE,
)


def _picture(*media_types: str) -> dict[str, Any]:
    schema = {"type": "string", "format": "binary"}
    return {"description": "The picture", "content": {kind: {"schema": schema} for kind in media_types}}


@router.get(
    "/{job_id}/image",
    response_class=Response,
    responses={200: _picture(*EXTENSIONS), **_PROBLEMS},
)
async def image(
    job_id: str, gateway: GatewayDep, caller: CallerDep, if_none_match: IfNoneMatch = None
) -> Response:
    """The restored picture."""
    job = existing(await gateway.queue.get(checked_id(job_id)), job_id, caller)
    result = await _result(gateway, job)
    return await _file(gateway, job, result.image, "restored", if_none_match)


@router.get(
    "/{job_id}/selection",
    response_class=Response,
    responses={200: _picture("image/png"), **_PROBLEMS},
)
async def selection(
    job_id: str, gateway: GatewayDep, caller: CallerDep, if_none_match: IfNoneMatch = None
) -> Response:
    """What was taken from which reference: the picture in gray, each reference's share in a color of its own."""
    job = existing(await gateway.queue.get(checked_id(job_id)), job_id, caller)
    result = await _result(gateway, job)
    if result.selection is None:
        raise Problem(ProblemType.NO_SELECTION, "This restoration took nothing from a reference.")
    return await _file(gateway, job, result.selection, "selection", if_none_match)


async def _result(gateway: Gateway, job: Job) -> JobResult:
    match job.status:
        case JobStatus.QUEUED | JobStatus.RUNNING:
            position = await gateway.queue.position(job.id)
            raise Problem(
                ProblemType.RESULT_NOT_READY,
                f"The restoration is {job.status}.",
                headers={"Retry-After": retry_after(position)},
            )
        case JobStatus.CANCELED:
            raise Problem(ProblemType.RESTORATION_CANCELED, "It was canceled before it ended.")
        case JobStatus.FAILED if job.failure:
            failure = ProblemDetails.of(job.failure, job.request.request_id).model_dump(exclude_none=True)
            raise Problem(ProblemType.RESTORATION_FAILED, job.failure.detail, failure=failure)
        case JobStatus.SUCCEEDED if job.result:
            return job.result
        case _:
            raise _expired()


async def _file(
    gateway: Gateway, job: Job, file: StoredFile, purpose: str, if_none_match: str | None
) -> Response:
    headers = {"ETag": f'"{file.sha256}"', "Cache-Control": "private, no-cache"}
    if matches(if_none_match, headers["ETag"]):
        return Response(status_code=304, headers=headers)
    data = await gateway.blobs.get(file.key)
    if data is None:
        raise _expired()
    name = download_name(job.request.image.name, purpose, file.media_type)
    headers["Content-Disposition"] = content_disposition(name)
    return Response(data, headers=headers, media_type=file.media_type)


def _expired() -> Problem:
    return Problem(ProblemType.RESTORATION_EXPIRED, "Its pictures have been deleted.")
