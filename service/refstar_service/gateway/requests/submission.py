"""From a form to a job, or a refusal. Everything is checked before anything is stored or queued."""

import asyncio
import contextlib
import hashlib
import logging
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Annotated

from fastapi import Header
from opentelemetry import trace
from redis.exceptions import RedisError

from refstar_service import logs, tracing
from refstar_service.blobs import STORE_ERRORS, BlobsUnavailableError
from refstar_service.engine.catalog import Catalog
from refstar_service.engine.manifest import ModelManifest
from refstar_service.gateway.http.context import Gateway
from refstar_service.gateway.http.filenames import safe_name
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.gateway.requests.form import Form, FormLimits, Upload, report_surplus
from refstar_service.gateway.requests.idempotency import Creation
from refstar_service.gateway.requests.options import FORMS, describe_refusal, parse_options
from refstar_service.gateway.requests.promised_bytes import estimate_result_bytes, presume_result_bytes
from refstar_service.gateway.requests.shortage import report_misfit, report_shortage
from refstar_service.gateway.requests.urls import name_output, name_picture, name_pictures
from refstar_service.images import ImageError, ImageInfo, ImageLimits, probe
from refstar_service.jobs import (
    Claim,
    Job,
    JobTooLargeError,
    Priority,
    QueueFullError,
    Request,
    RestoreRequest,
    StoredFile,
)
from refstar_service.jobs.request import input_keys
from refstar_service.people import Person
from refstar_service.restoration.errors import RequestError
from refstar_service.restoration.rollout import Rollout
from refstar_service.restoration.rules import (
    MOST_PEOPLE,
    check_boxes,
    check_references,
    check_square,
    choose_model,
    image_limits,
    list_models,
    plan_result,
    settle_knobs,
)
from refstar_service.settings import Settings

log = logging.getLogger(__name__)


ShadowHeader = Annotated[
    str | None,
    Header(
        alias="Shadow-Model",
        description="A model, as `NAME@VERSION`, that is to do this restoration once more, for the metrics of the "
        "operator only: its result is compared and thrown away. It must be listed in `REFSTAR_SHADOW`.",
    ),
]


@dataclass(frozen=True, eq=False)
class Submission:
    """A request that may be queued: what is asked, and the bytes for each blob key."""

    job_id: str
    request: Request
    priority: Priority
    blobs: Mapping[str, bytes]
    results: int
    """Bytes that its results take at most."""
    webhook: str = ""
    """URL to tell when it ends; empty for none."""


def form_limits(settings: Settings) -> FormLimits:
    return FormLimits(
        files={"image": 1, "references": settings.max_references},
        max_file_bytes=settings.max_image_bytes,
        max_request_bytes=settings.max_request_bytes,
        timeout=settings.upload_timeout,
        lists={"person": MOST_PEOPLE, "reference_urls": settings.max_references},
        members=FORMS["RestorationDocument"]["properties"],
    )


def result_keys(job: Job | None) -> list[str]:
    """The blob keys of a job's recorded results."""
    if job is None or job.result is None:
        return []
    return [file.key for file in job.result.files]


def read_submission(
    form: Form,
    rollout: Rollout,
    settings: Settings,
    job_id: str,
    *,
    owner: str = "",
    people: Sequence[Person] = (),
    shadow: str | None = None,
) -> Submission:
    """The submission in a form that names these `people`; raises ProblemError. Hashes megabytes: call it by
    `scan_form`. `shadow`: what the header asks for."""
    options, asked = parse_options(form)
    images, references = form.files_of("image"), form.files_of("references")
    if bool(images) == bool(options.image_url):
        if images:
            raise _refuse_both("image", "image_url", "")
        raise ProblemError(
            ProblemType.MISSING_IMAGE,
            "Send the picture as a file in the field 'image', or name it by URL in 'image_url'.",
        )
    shown = len(references) + len(options.reference_urls)
    if people and shown:
        raise _refuse_both("person", "references", ", ".join(person.id for person in people))
    if shown > settings.max_references:
        raise report_surplus("references", settings.max_references)
    remote_image = name_picture(options.image_url, "image_url", settings) if options.image_url else None
    remote_references = name_pictures(options.reference_urls, settings)
    output = name_output(options.output_url, settings) if options.output_url else ""
    shown += sum(one.crop is not None for person in people for one in person.references)
    models = rollout.models

    def check(model: ModelManifest) -> None:
        check_references(model, shown, people=len(people))
        settle_knobs(asked, shown, model, people=len(people))

    try:
        model = choose_model(models, options.model, shown, people=len(people))
        if options.model != model.full_name:
            model = rollout.choose(model, owner, job_id, check)
        knobs = settle_knobs(asked, shown, model, people=len(people))
        limits = image_limits(settings)
        labels = ["image"] if images else []
        labels += [f"references[{index}]" for index in range(len(references))]
        uploads = [*images, *references]
        # Look at every header before the first hash: refusals should be cheap.
        infos = [probe_upload(upload, label, limits) for upload, label in zip(uploads, labels, strict=True)]
        if knobs.aligned:
            for info, label in zip(infos, labels, strict=True):
                check_square(info.width, info.height, label)
        elif images:
            check_boxes(knobs.boxes, infos[0].width, infos[0].height)
        plan = plan_result(infos[0], knobs, model.input_size, limits) if images else None
        repeated_by = rollout.choose_shadow(model, shadow, job_id, check)
    except RequestError as error:
        raise describe_refusal(error, **_name_installed(error, models)) from error
    image_key, *reference_keys = input_keys(job_id)
    keys = [*([image_key] if images else []), *reference_keys]
    files = [
        describe_file(upload, info, key) for upload, info, key in zip(uploads, infos, keys, strict=False)
    ]
    image, stored_references = (files[0], files[1:]) if remote_image is None else (remote_image, files)
    request = RestoreRequest(
        image=image,
        references=(*stored_references, *remote_references),
        model=model.name if models.is_default(model) else model.full_name,
        version=model.version,
        knobs=knobs,
        person=people[0].stored if people else None,
        others=tuple(person.stored for person in people[1:]),
        output_url=output,
        # What is fetched from elsewhere is not stored: there is nothing that could be restored once more.
        shadow="" if remote_image or remote_references else repeated_by,
    )
    return Submission(
        job_id=job_id,
        request=request,
        priority=Priority(options.priority),
        blobs={file.key: upload.data for file, upload in zip(files, uploads, strict=True)},
        results=(
            estimate_result_bytes(request, infos[0], plan)
            if plan is not None
            else presume_result_bytes(request, model.input_size, limits)
        ),
        webhook=options.webhook_url or "",
    )


def _refuse_both(one: str, other: str, value: str) -> ProblemError:
    fault = {"parameter": one, "value": value, "reason": f"cannot be combined with {other}"}
    return ProblemError(
        ProblemType.INVALID_PARAMETER, f"Send either `{one}` or `{other}`, not both.", errors=[fault]
    )


def _name_installed(error: RequestError, models: Catalog) -> dict[str, list[str]]:
    return {"models": list_models(models)} if error.code == "unknown-model" else {}


async def submit_job(gateway: Gateway, submission: Submission, owner: str, creation: Creation) -> Job:
    """Store the bytes, then queue the job; if that fails, nothing is left behind, but for what another request with the
    same Idempotency-Key goes on with. A job that it has queued by then is returned."""
    job_id, uploads = submission.job_id, submission.request.bytes
    try:  # before megabytes are written only to be deleted again
        claim = await gateway.queue.claim(job_id, owner=owner, uploads=uploads, results=submission.results)
        await _delete_quietly(gateway, claim.evicted)
    except QueueFullError as error:
        await _delete_quietly(gateway, error.evicted)
        raise report_shortage(error) from error
    except JobTooLargeError as error:
        raise report_misfit(error) from error
    # A job may wait for `job_ttl` and then run for as long; its pictures must outlast it.
    ttl = 2 * gateway.settings.job_ttl
    may_be_queued = False
    try:
        await _store_uploads(gateway, submission, ttl)
        trace.get_current_span().set_attribute("refstar.job_id", submission.job_id)
        request = replace(
            submission.request, request_id=logs.request_id(), traceparent=tracing.write_traceparent()
        )
        may_be_queued = True  # a lost connection may hide that it is
        job = await gateway.queue.submit(
            submission.job_id,
            request,
            priority=submission.priority,
            owner=owner,
            webhook=submission.webhook,
            claim=claim,
            holder=creation.holder,
        )
        if job.status.terminal:  # another request's, which ended while this one hung
            await _delete_quietly(gateway, submission.blobs)
        return job
    except BaseException as error:
        undoing = _undo(gateway, submission, claim, creation, may_be_queued=may_be_queued)
        made_by_another = await asyncio.shield(undoing)
        if made_by_another is not None and isinstance(error, Exception):
            log.warning("job %s was queued by another request with the same key: %s", job_id, error)
            return made_by_another
        if isinstance(error, QueueFullError):
            raise report_shortage(error) from error
        if isinstance(error, BlobsUnavailableError):
            log.error("pictures cannot be stored: %s", error)
            raise ProblemError(
                ProblemType.STORAGE_UNAVAILABLE,
                "The pictures could not be stored. Nothing was queued.",
                headers={"Retry-After": "10"},
            ) from error
        raise


async def _store_uploads(gateway: Gateway, submission: Submission, ttl: float) -> None:
    """All at the same time. It ends when none is being written any more, so that nothing comes after what undoes it."""
    writing = (gateway.blobs.put(key, data, ttl) for key, data in submission.blobs.items())
    for outcome in await asyncio.gather(*writing, return_exceptions=True):
        if outcome is not None:
            raise outcome


async def _undo(
    gateway: Gateway, submission: Submission, claim: Claim, creation: Creation, *, may_be_queued: bool
) -> Job | None:
    """What cannot be undone now expires. Returns the job, if another request has queued it: then nothing is undone."""
    job_id = submission.job_id
    if not await creation.is_ours():
        with contextlib.suppress(RedisError):
            return await gateway.queue.get(job_id)
        return None
    try:
        other = await gateway.queue.take_back(job_id, creation.holder)
    except RedisError:
        if may_be_queued and creation.holder:
            return None  # then it needs its pictures: a repetition of the request finds it, and is accepted
    else:
        if other is not None:
            return other
    await _delete_quietly(gateway, submission.blobs)
    with contextlib.suppress(RedisError):
        await gateway.queue.disclaim(claim)
    return None


async def _delete_quietly(gateway: Gateway, blobs: Collection[str]) -> None:
    """What cannot be deleted now stays until it expires."""
    if blobs:
        with contextlib.suppress(*STORE_ERRORS):
            await gateway.blobs.delete(*blobs)


def probe_upload(upload: Upload, label: str, limits: ImageLimits) -> ImageInfo:
    try:
        return probe(upload.data, limits, claimed_media_type=upload.media_type)
    except ImageError as refused:
        kind = ProblemType.of(refused.code) or ProblemType.IMAGE_UNDECODABLE
        raise ProblemError(kind, f"{label}: {refused.detail}", parameter=label) from refused


def describe_file(upload: Upload, info: ImageInfo, key: str) -> StoredFile:
    digest = hashlib.sha256(upload.data).hexdigest()
    pixels = info.width * info.height
    return StoredFile(key, digest, info.media_type, len(upload.data), safe_name(upload.name), pixels)
