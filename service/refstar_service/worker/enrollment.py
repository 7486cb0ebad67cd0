"""Enrolling a person, or further references of one: checked, cut, encoded and kept, so that no restoration has to do it
again."""

import hashlib
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from refstar_service.engine.feature_cache import Features
from refstar_service.engine.restorer import ReferencePicture
from refstar_service.faces.align import fit_aligned
from refstar_service.images.encode import encode
from refstar_service.jobs.job import JobFailure, JobResult
from refstar_service.jobs.request import EnrollRequest, PersonReference, StoredFile
from refstar_service.people import blob_keys, crop_key
from refstar_service.restoration.errors import StepError
from refstar_service.restoration.references import Looking, ReferenceMemory, inspect_reference
from refstar_service.restoration.report import ReferenceReport
from refstar_service.restoration.steps import Model, Viewer
from refstar_service.restoration.stopwatch import Stopwatch
from refstar_service.restoration.upload import Upload
from refstar_service.restoration.warmth import warm
from refstar_service.worker.recall import Recall


@dataclass(frozen=True, eq=False)
class Cut:
    """A person's references, looked at. ``pictures``: the aligned face of each one that is of use, by its number."""

    reports: tuple[ReferenceReport, ...]
    pictures: Mapping[int, ReferencePicture]
    files: Mapping[int, bytes]  # the same as PNG
    names: Mapping[int, str]
    work: tuple[str, ...]  # what it cost, as in `Reference`


@dataclass(frozen=True, eq=False)
class EnrolledFaces:
    """``features``: by encoder, then by the index of the reference."""

    cut: Cut
    features: Mapping[str, Mapping[int, Features]]


def cut_references(
    person_id: str,
    uploads: Sequence[Upload],
    request: EnrollRequest,
    size: int,
    viewer: Viewer,
    clock: Stopwatch,
) -> Cut:
    """Look at every reference and cut its face, [size, size]. Raises StepError, with the reports, for one that is not
    what it was taken for, or if none is of use."""
    looking = Looking(
        recall=lambda key: None,  # the face itself is wanted
        size=size,
        detector=None if request.aligned else viewer.detector,
        memory=ReferenceMemory(0),
        limits=viewer.limits,
        face=request.reference_face,
    )
    numbered = enumerate(uploads, request.first)
    seen = [inspect_reference(number, upload, looking, clock) for number, upload in numbered]
    reports = tuple(one.report for one in seen)
    used = {one.report.index: one.picture for one in seen if isinstance(one.picture, ReferencePicture)}
    refused = next((one for one in seen if one.refusal), None if used else seen[0])
    if refused is not None:
        reasons = ", ".join(f"reference {report.index} ({report.reason})" for report in reports)
        detail = refused.refusal or f"None of the references can be used: {reasons}."
        raise StepError(refused.report.reason or "", detail, (), reports)
    with clock("encode"):
        files = {
            index: encode(picture.pixels, format="png", quality=95).data for index, picture in used.items()
        }
    pictures = {
        index: ReferencePicture(_memory_key(person_id, index, files[index]), picture.pixels)
        for index, picture in used.items()
    }
    steps = tuple(step for one in seen for step in one.work)
    return Cut(reports, pictures, files, {one.index: one.name for one in reports}, steps)


def encode_references(cut: Cut, model: Model) -> dict[int, Features]:
    """What the model's encoder says of each picture; call it where the model runs."""
    pictures = [
        ReferencePicture(picture.key, warm(fit_aligned(picture.pixels, model.size)))
        for picture in cut.pictures.values()
    ]
    return dict(zip(cut.pictures, model.restorer.encode(pictures), strict=True))


async def keep(
    recall: Recall, job_id: str, request: EnrollRequest, enrolled: EnrolledFaces
) -> JobResult | None:
    """Store everything, then say that the person is ready, or has these references too. None if the person is gone, or
    this change is not wanted any more: then nothing is left of it."""
    cut, encoders, person_id = enrolled.cut, tuple(enrolled.features), request.person or job_id
    person = await recall.people.get(person_id)
    ready = False
    crops = {index: _describe(person_id, index, cut) for index in cut.files}
    if person is not None:
        ttl = max(1.0, person.expires_at - time.time())
        for index, data in cut.files.items():
            await recall.blobs.put(crops[index].key, data, ttl)
        for encoder, features in enrolled.features.items():
            if await recall.people.will_store(person_id, encoder):
                await recall.keep(person_id, encoder, features)
        references = tuple(PersonReference(report, crops.get(report.index)) for report in cut.reports)
        if request.person:
            ready = await _extend(recall, job_id, request, references)
        else:
            ready = await recall.people.ready(person_id, references, encoders)
    if not ready:
        await recall.blobs.delete(*blob_keys(person_id, encoders, cut.names.keys()))
        return None
    return JobResult(next(iter(crops.values())), None)


async def refuse(
    recall: Recall,
    job_id: str,
    request: EnrollRequest,
    failure: JobFailure,
    reports: Sequence[ReferenceReport],
    ttl: float,
) -> None:
    """Say why no use can be made of the references. The record of a new person says so for ``ttl`` seconds; one who was
    there before stays as they were."""
    if request.person:
        await recall.people.end_change(request.person, job_id, failure)
    else:
        described = [PersonReference(report, None) for report in reports]
        await recall.people.fail(job_id, failure, described, ttl=ttl)


async def _extend(
    recall: Recall, job_id: str, request: EnrollRequest, references: tuple[PersonReference, ...]
) -> bool:
    """The person has these references from now on, in the place of those that go. False if nobody waits for them."""
    changed = await recall.people.extend(request.person, job_id, references, request.remove)
    if changed is None:
        return False
    await recall.blobs.delete(*blob_keys(request.person, changed.encoders, request.remove))
    return True


def _memory_key(person_id: str, index: int, data: bytes) -> str:
    return f"{crop_key(person_id, index)}/{hashlib.sha256(data).hexdigest()}"


def _describe(person_id: str, index: int, cut: Cut) -> StoredFile:
    data = cut.files[index]
    digest = hashlib.sha256(data).hexdigest()
    return StoredFile(crop_key(person_id, index), digest, "image/png", len(data), cut.names[index])
