"""A gateway in this process on a real Redis, and a worker that answers at once."""

import asyncio
import hashlib
import io
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from PIL import Image
from redis.asyncio import Redis
from refstar_service.blobs import RedisBlobs
from refstar_service.engine.catalog import Catalog
from refstar_service.engine.manifest import ModelFile, ModelManifest, Ranks
from refstar_service.gateway.app import create_app
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.jobs import Attempt, JobFailure, JobQueue, JobResult, JobStatus, Outcome, StoredFile
from refstar_service.restoration.report import FaceAction, FaceReport, ReferenceReport
from refstar_service.settings import Settings

RESULT = b"\x89PNG restored"
SELECTION = b"\x89PNG selection"
POINTS = ((10.0, 14.0), (22.0, 14.0), (16.0, 20.0), (11.0, 28.0), (21.0, 28.0))


@pytest.fixture
def blobs(redis: Redis) -> RedisBlobs:
    return RedisBlobs(redis)


@pytest.fixture(scope="session")
def settings() -> Settings:
    return Settings(
        max_image_bytes=100_000,
        max_request_bytes=400_000,
        queue_limit=5,
        max_uploads_at_once=2,
        upload_timeout=5.0,
    )


@pytest.fixture
async def queue(new_queue: Callable[..., JobQueue], settings: Settings) -> JobQueue:
    queue = new_queue(limit=settings.queue_limit)
    await queue.setup()
    return queue


INPUTS = ("low_quality", "features_fine", "reference_weight", "fidelity")


def manifest(
    name: str,
    max_references: int = 8,
    *,
    needs_references: bool = False,
    ranks: Ranks = Ranks(1, 2),  # noqa: B008  a frozen value
    inputs: tuple[str, ...] = INPUTS,
) -> ModelManifest:
    return ModelManifest(
        name=name,
        version="1.0",
        system=name,
        license="Apache-2.0",
        training_data=("faces of a test",),
        commit="0" * 40,
        input_size=512,
        precision="fp16",
        max_references=max_references,
        needs_references=needs_references,
        graphs={"restore": ModelFile("restore.onnx", "ab" * 32, inputs)},
        ranks=ranks,
        quality={"identity": 0.7},
        limits=("profiles",),
        golden={},
        folder=Path(name),
    )


@pytest.fixture
def models() -> Catalog:
    return Catalog.of([manifest("refstar"), manifest("ented", 2, needs_references=True, ranks=Ranks())])


@pytest.fixture
def app(settings: Settings, queue: JobQueue, blobs: RedisBlobs, models: Catalog, redis: Redis) -> FastAPI:
    return create_app(settings, queue=queue, blobs=blobs, models=models, redis=redis)


@pytest.fixture
async def client(app: FastAPI) -> AsyncIterator[httpx.AsyncClient]:
    transport = httpx.ASGITransport(app=app)
    async with httpx.AsyncClient(transport=transport, base_url="http://localhost", timeout=20) as client:
        yield client


@pytest.fixture
def picture() -> Callable[..., bytes]:
    """Makes the bytes of a small picture: `picture(64, 64, mode="RGB", kind="PNG", **save_options)`."""

    def make(
        width: int = 64, height: int = 64, *, mode: str = "RGB", kind: str = "PNG", **options: Any
    ) -> bytes:
        buffer = io.BytesIO()
        Image.linear_gradient("L").resize((width, height)).convert(mode).save(buffer, kind, **options)
        return buffer.getvalue()

    return make


@pytest.fixture
def post(
    client: httpx.AsyncClient, picture: Callable[..., bytes]
) -> Callable[..., Awaitable[httpx.Response]]:
    """Posts a restoration that would be accepted, but for what the arguments change; `image=None` sends none."""

    async def send(
        *,
        image: Any = ...,
        references: Sequence[Any] = (),
        headers: dict[str, str] | None = None,
        **fields: str | None,
    ) -> httpx.Response:
        form = {name: value for name, value in {"faces": "aligned", **fields}.items() if value is not None}
        image = ("face.png", picture()) if image is ... else image
        files = [("image", image)] if image is not None else []
        files += [("references", reference) for reference in references]
        # Without a file httpx would send no multipart body; a nameless one stands for "none chosen".
        return await client.post(
            "/v1/restorations", data=form, files=files or [("image", ("", b""))], headers=headers
        )

    return send


@pytest.fixture
async def refused(redis: Redis, queue: JobQueue) -> Callable[..., Awaitable[dict[str, Any]]]:
    """Checks that an answer is this problem, and that Redis, jobs and blobs, is as it was before the test."""
    before = await _everything(redis)

    async def check(response: httpx.Response, status: int, slug: str) -> dict[str, Any]:
        problem: dict[str, Any] = response.json()
        assert (response.status_code, problem["type"]) == (status, f"/problems/{slug}"), problem
        assert response.headers["content-type"] == "application/problem+json"
        assert problem["status"] == status
        assert problem["request_id"] == response.headers["x-request-id"]
        assert problem["title"]
        assert problem["detail"]
        kind = ProblemType.of(slug)
        assert kind is not None
        # Limits of a model or of a file type are no settings.
        if kind.settings and not any(
            words in problem["detail"] for words in ("The model", " can have at most ")
        ):
            assert any(name in problem["detail"] for name in kind.settings), problem["detail"]
        assert await _everything(redis) == before
        return problem

    return check


async def _everything(redis: Redis) -> dict[bytes, Any]:
    found = {}
    for key in await redis.keys("*"):
        found[key] = await redis.dump(key)
    return found


@pytest.fixture
def worker(queue: JobQueue, blobs: RedisBlobs) -> Callable[..., AbstractAsyncContextManager[None]]:
    """`async with worker():` jobs succeed; `worker(failure)`: they fail with it."""

    async def answer(started: Attempt, failure: JobFailure | None) -> Outcome:
        sent, references = started.request.files[0], started.request.references
        seen = tuple(_seen(number, file.name) for number, file in enumerate(references, 1))
        skipped = FaceReport((40.0, 8.0, 12.0, 12.0), 0.7, FaceAction.SKIPPED, "face-too-small", ())
        if failure:
            return Outcome(JobStatus.FAILED, None, failure, (skipped,), {"fetch": 0.001}, seen)
        picture = await _stored(blobs, f"{started.job_id}/result", RESULT, sent.name)
        shown = (
            await _stored(blobs, f"{started.job_id}/selection", SELECTION, sent.name) if references else None
        )
        share = (0.5,) * len(references)
        face = FaceReport((0.0, 0.0, 32.0, 40.0), 0.9, FaceAction.RESTORED, None, share, POINTS)
        result = JobResult(picture, shown)
        return Outcome(JobStatus.SUCCEEDED, result, None, (face, skipped), {"infer": 0.1}, seen)

    async def run(failure: JobFailure | None, stop: asyncio.Event) -> None:
        while not stop.is_set():
            for started in await queue.start(await queue.reserve(4, block=0.1)):
                if started is not None:
                    await queue.finish([(started, await answer(started, failure))])

    @asynccontextmanager
    async def working(failure: JobFailure | None = None) -> AsyncIterator[None]:
        stop = asyncio.Event()
        task = asyncio.create_task(run(failure, stop))
        yield
        stop.set()
        await task

    return working


def _seen(number: int, name: str) -> ReferenceReport:
    """The first reference is of use, the others are blurred."""
    used = number == 1
    reason = None if used else "reference-too-blurred"
    sharpness = 0.8 if used else 0.01
    return ReferenceReport(number, name, (4.0, 4.0, 50.0, 50.0), 0.95, 50.0, sharpness, used, reason)


async def _stored(blobs: RedisBlobs, key: str, data: bytes, name: str) -> StoredFile:
    await blobs.put(key, data, 60)
    return StoredFile(key, hashlib.sha256(data).hexdigest(), "image/png", len(data), name)
