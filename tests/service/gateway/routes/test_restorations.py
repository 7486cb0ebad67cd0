"""The life of a restoration over HTTP, with a worker that answers at once."""

import asyncio
import hashlib
import re
import time
from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from refstar_service.blobs import RedisBlobs
from refstar_service.engine.catalog import Catalog
from refstar_service.engine.manifest import Ranks
from refstar_service.faces.select import FaceMode
from refstar_service.images import OUTPUT_FORMATS
from refstar_service.jobs import JobFailure, JobQueue
from refstar_service.restoration.knobs import Knobs, Stranger
from refstar_service.restoration.rollout import Rollout

from ..conftest import INPUTS, manifest

Post = Callable[..., Awaitable[httpx.Response]]
Picture = Callable[..., bytes]
Worker = Callable[..., AbstractAsyncContextManager[None]]
WAIT = {"Prefer": "wait=10"}


async def test_an_accepted_restoration_is_stored_and_queued(
    post: Post, picture: Picture, queue: JobQueue, blobs: RedisBlobs
) -> None:
    references = [("one.webp", picture(48, 48, kind="WEBP")), ("two.png", picture(96, 96))]
    response = await post(
        references=references, fidelity="0.25", format="jpeg", quality="80", priority="high"
    )
    assert response.status_code == 202
    body = response.json()
    assert response.headers["location"] == f"/v1/restorations/{body['id']}"
    assert int(response.headers["retry-after"]) == 1
    assert re.fullmatch(r"[0-9a-f]{32}", body["id"])
    assert body["status"] == "queued"
    assert body["queue_position"] == 0
    assert body["model"] == "refstar"
    assert body["links"] == {
        "self": f"/v1/restorations/{body['id']}",
        "image": None,
        "selection": None,
        "events": f"/v1/restorations/{body['id']}/events",
        "cancel": f"/v1/restorations/{body['id']}/cancel",
    }

    job = await queue.get(body["id"])
    assert job is not None
    asked = job.request
    assert asked.knobs == Knobs(FaceMode.ALIGNED, fidelity=0.25, format="jpeg", quality=80)
    assert job.priority == "high"
    assert [file.name for file in (asked.image, *asked.references)] == ["face.png", "one.webp", "two.png"]
    assert [file.media_type for file in asked.references] == ["image/webp", "image/png"]
    assert asked.image.key == f"{job.id}/image"
    assert [file.pixels for file in asked.files] == [64 * 64, 48 * 48, 96 * 96]
    for file, sent in zip(asked.references, references, strict=True):
        assert await blobs.get(file.key) == sent[1]
        assert file.sha256 == hashlib.sha256(sent[1]).hexdigest()
        assert file.size == len(sent[1])


@pytest.mark.parametrize(
    ("mode", "kind"),
    [("CMYK", "JPEG"), ("L", "PNG"), ("P", "PNG"), ("RGBA", "PNG"), ("I;16", "PNG"), ("RGB", "TIFF")],
)
async def test_unusual_pictures_are_accepted(post: Post, picture: Picture, mode: str, kind: str) -> None:
    assert (await post(image=("face", picture(mode=mode, kind=kind)))).status_code == 202


@pytest.mark.parametrize(
    ("fields", "references", "mode"),
    [
        ({}, 0, "all"),
        ({}, 1, "largest"),
        ({"boxes": "[[1, 2, 30.5, 40]]"}, 1, "boxes"),
        ({"faces": "boxes", "boxes": "[[1, 2, 30.5, 40]]"}, 0, "boxes"),
        ({"faces": "all"}, 1, "all"),
        ({"faces": "center"}, 0, "center"),
    ],
)
async def test_whole_photographs_are_taken_in_any_shape(
    post: Post, picture: Picture, queue: JobQueue, fields: dict[str, str], references: int, mode: str
) -> None:
    sent = [("r.jpg", picture(40, 90, kind="JPEG"))] * references
    response = await post(image=("photo.png", picture(120, 70)), references=sent, **{"faces": None} | fields)
    assert response.status_code == 202
    job = await queue.get(response.json()["id"])
    assert job is not None
    assert job.request.knobs.faces == mode
    assert job.request.knobs.boxes == (((1.0, 2.0, 30.5, 40.0),) if mode == "boxes" else ())


async def test_the_knobs_of_whole_photographs_reach_the_worker(
    post: Post, picture: Picture, queue: JobQueue
) -> None:
    knobs = {"min_face": "48", "upscale": "4", "reference_face": "largest", "keep_location": "true"}
    job = await queue.get((await post(faces="all", **knobs)).json()["id"])
    assert job is not None
    asked = job.request.knobs
    assert (asked.min_face, asked.upscale) == (48, 4)
    assert (asked.reference_face, asked.keep_location) == ("largest", True)

    job = await queue.get((await post(faces="all")).json()["id"])
    assert job is not None
    asked = job.request.knobs
    assert (asked.min_face, asked.upscale) == (24, 1)
    assert (asked.reference_face, asked.keep_location) == ("only", False)


async def test_what_a_stranger_means_reaches_the_worker_of_a_model_that_tells(
    post: Post, client: httpx.AsyncClient, queue: JobQueue, app: FastAPI
) -> None:
    telling = Catalog.of([manifest("refstar", inputs=(*INPUTS, "gate_strength"))])
    app.state.gateway = replace(app.state.gateway, rollout=Rollout(telling, {}, {}))
    (model,) = (await client.get("/v1/models")).json()["models"]
    assert model["knobs"] == ["fidelity", "reference_strength", "stranger"]
    job = await queue.get((await post(stranger="use")).json()["id"])
    assert job is not None
    assert job.request.knobs.stranger is Stranger.USE


@pytest.mark.parametrize("kind", OUTPUT_FORMATS)
async def test_every_file_type_that_is_written_may_be_asked_for(
    post: Post, queue: JobQueue, kind: str
) -> None:
    job = await queue.get((await post(format=kind)).json()["id"])
    assert job is not None
    assert job.request.knobs.format == kind


async def test_faces_and_references_are_reported(post: Post, picture: Picture, worker: Worker) -> None:
    references = [("one.png", picture()), ("two.png", picture(70, 50))]
    async with worker():
        body = (await post(faces="all", references=references, headers=WAIT)).json()
    restored, skipped = body["faces"]
    assert restored["box"] == [0, 0, 32, 40]
    assert restored["points"] == [[10, 14], [22, 14], [16, 20], [11, 28], [21, 28]]
    assert restored["selected"] == [0.5, 0.5]
    # As an older worker records it, and as one does whose model does not say.
    assert restored["same_person"] == restored["likeness"] == [None, None]
    assert skipped["same_person"] == skipped["likeness"] == skipped["selected"] == []
    assert (skipped["action"], skipped["reason"], skipped["points"]) == ("skipped", "face-too-small", [])
    used, left_out = body["references"]
    assert (used["index"], used["name"], used["used"], used["reason"]) == (1, "one.png", True, None)
    assert (left_out["index"], left_out["used"]) == (2, False)
    assert (left_out["reason"], left_out["sharpness"]) == ("reference-too-blurred", 0.01)
    assert left_out["box"] == [4, 4, 50, 50]


async def test_squareness_is_judged_with_two_percent_of_grace(post: Post, picture: Picture) -> None:
    assert (await post(image=("face.png", picture(100, 98)))).status_code == 202


async def test_fields_left_blank_in_a_browser_count_as_not_given(post: Post) -> None:
    response = await post(references=[("", b"")], model="", quality=" ")
    assert response.status_code == 202


async def test_the_time_to_live_of_pictures_outlasts_the_job(post: Post, redis: Redis) -> None:
    job_id = (await post()).json()["id"]
    assert await redis.ttl(f"refstar:blob:{job_id}/image") > await redis.ttl(f"{{refstar}}:job:{job_id}") > 0


async def test_post_that_waits_answers_with_the_end(post: Post, worker: Worker) -> None:
    async with worker():
        response = await post(headers=WAIT)
    assert response.status_code == 201
    assert response.headers["preference-applied"] == "wait=10"
    assert "retry-after" not in response.headers
    body = response.json()
    assert body["status"] == "succeeded"
    assert body["links"]["image"] == f"/v1/restorations/{body['id']}/image"
    assert body["links"]["selection"] is None
    assert body["links"]["cancel"] is None
    assert body["faces"][0]["action"] == "restored"
    assert body["timings"] == {"infer": 0.1}
    assert body["created_at"] <= body["started_at"] <= body["finished_at"] < body["expires_at"]


async def test_post_that_waits_in_vain_answers_202(post: Post) -> None:
    began = time.perf_counter()
    response = await post(headers={"Prefer": "respond-async, wait=1"})
    assert 0.9 < time.perf_counter() - began < 8
    assert response.status_code == 202
    assert response.json()["status"] == "queued"


async def test_get_waits_until_the_end(client: httpx.AsyncClient, post: Post, worker: Worker) -> None:
    path = (await post()).headers["location"]
    waiting = asyncio.create_task(client.get(path, headers=WAIT))
    await asyncio.sleep(0.1)
    assert not waiting.done()
    async with worker():
        response = await waiting
    assert response.json()["status"] == "succeeded"
    assert response.headers["preference-applied"] == "wait=10"


async def test_a_wait_for_an_unknown_restoration_ends_at_once(client: httpx.AsyncClient) -> None:
    async with asyncio.timeout(10):
        response = await client.get(f"/v1/restorations/{'0' * 32}", headers={"Prefer": "wait=60"})
    assert response.status_code == 404


async def test_waits_are_capped(client: httpx.AsyncClient, post: Post, worker: Worker) -> None:
    async with worker():
        response = await post(headers={"Prefer": "wait=86400"})
    assert response.headers["preference-applied"] == "wait=60"


async def test_an_unchanged_restoration_is_not_sent_again(
    client: httpx.AsyncClient, post: Post, worker: Worker
) -> None:
    path = (await post()).headers["location"]
    first = await client.get(path)
    again = await client.get(path, headers={"If-None-Match": first.headers["etag"]})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == first.headers["etag"]
    assert int(again.headers["retry-after"]) == 1
    async with worker():
        changed = await client.get(path, headers={"If-None-Match": first.headers["etag"], **WAIT})
    assert changed.status_code == 200
    assert changed.headers["etag"] != first.headers["etag"]


async def test_the_result_comes_with_type_tag_and_name(
    client: httpx.AsyncClient, post: Post, picture: Picture, worker: Worker
) -> None:
    async with worker():
        image = ('../../Ülrike "2".png', picture())
        links = (await post(image=image, references=[("r.png", picture())], headers=WAIT)).json()["links"]
    restored = await client.get(links["image"])
    assert restored.content == b"\x89PNG restored"
    assert restored.headers["content-type"] == "image/png"
    assert restored.headers["etag"] == f'"{hashlib.sha256(restored.content).hexdigest()}"'
    assert restored.headers["content-disposition"] == (
        "inline; filename=\"_lrike _2_-restored.png\"; filename*=UTF-8''%C3%9Clrike%20_2_-restored.png"
    )
    assert "private" in restored.headers["cache-control"]
    again = await client.get(links["image"], headers={"If-None-Match": f'W/"x", {restored.headers["etag"]}'})
    assert (again.status_code, again.content) == (304, b"")
    selection = await client.get(links["selection"])
    assert selection.content == b"\x89PNG selection"


@pytest.mark.parametrize(
    ("accept", "sent"),
    [
        ("application/octet-stream", "application/octet-stream"),
        ("application/octet-stream;q=0.9, application/json", "application/octet-stream"),
        ("application/octet-stream, image/*", "image/png"),
        ("*/*", "image/png"),
        ("text/html", "image/png"),
    ],
)
async def test_a_picture_is_bytes_for_clients_that_know_no_pictures(
    client: httpx.AsyncClient, post: Post, worker: Worker, accept: str, sent: str
) -> None:
    async with worker():
        links = (await post(headers=WAIT)).json()["links"]
    answer = await client.get(links["image"], headers={"Accept": accept})
    assert (answer.headers["content-type"], answer.content) == (sent, b"\x89PNG restored")
    assert "Accept" in answer.headers["vary"]


async def test_results_that_are_not_there(
    client: httpx.AsyncClient, post: Post, worker: Worker, queue: JobQueue, blobs: RedisBlobs
) -> None:
    async def problem(path: str) -> tuple[int, str]:
        response = await client.get(path)
        return response.status_code, response.json()["type"]

    unknown = f"/v1/restorations/{'0' * 32}"
    assert await problem(unknown) == (404, "/problems/unknown-restoration")
    assert await problem(f"{unknown}/image") == (404, "/problems/unknown-restoration")
    assert await problem("/v1/restorations/..%2f..%2fetc/image") == (404, "/problems/not-found")
    assert await problem("/v1/restorations/{x}/image") == (404, "/problems/unknown-restoration")

    path = (await post()).headers["location"]
    response = await client.get(f"{path}/image")
    assert (response.status_code, response.headers["retry-after"]) == (409, "1")
    assert response.json()["type"] == "/problems/result-not-ready"

    async with worker():
        await client.get(path, headers=WAIT)
    assert await problem(f"{path}/selection") == (404, "/problems/no-selection")
    await blobs.delete(f"{path.rsplit('/', 1)[1]}/result")
    assert await problem(f"{path}/image") == (410, "/problems/restoration-expired")


async def test_a_failed_restoration_says_why(client: httpx.AsyncClient, post: Post, worker: Worker) -> None:
    async with worker(JobFailure("image-undecodable", "the file is damaged")):
        body = (await post(headers=WAIT)).json()
    assert body["status"] == "failed"
    assert body["error"]["type"] == "/problems/image-undecodable"
    assert body["error"]["detail"] == "the file is damaged"
    assert [face["reason"] for face in body["faces"]] == ["face-too-small"], "what was found is told too"
    assert body["links"]["image"] is None
    response = await client.get(f"{body['links']['self']}/image")
    assert response.status_code == 409
    assert response.json()["type"] == "/problems/restoration-failed"
    assert response.json()["failure"]["type"] == "/problems/image-undecodable"


async def test_an_unheard_of_failure_is_still_reported(post: Post, worker: Worker) -> None:
    async with worker(JobFailure("from-the-future", "what now")):
        error = (await post(headers=WAIT)).json()["error"]
    assert (error["type"], error["detail"]) == ("about:blank", "what now")


async def test_cancel_ends_a_queued_restoration_and_may_be_repeated(
    client: httpx.AsyncClient, post: Post, redis: Redis
) -> None:
    path = (await post()).headers["location"]
    for _ in range(2):
        response = await client.post(f"{path}/cancel")
        assert response.status_code == 200
        assert response.json()["status"] == "canceled"
        assert not await redis.keys("*blob*")
    result = await client.get(f"{path}/image")
    assert (result.status_code, result.json()["type"]) == (409, "/problems/restoration-canceled")
    assert (await client.post(f"/v1/restorations/{'0' * 32}/cancel")).status_code == 404


async def test_a_running_restoration_is_canceled_by_its_worker(
    client: httpx.AsyncClient, post: Post, queue: JobQueue, redis: Redis
) -> None:
    path = (await post()).headers["location"]
    (started,) = await queue.start(await queue.reserve(1))
    assert started is not None
    body = (await client.post(f"{path}/cancel")).json()
    assert (body["status"], body["canceling"]) == ("running", True)
    assert await redis.keys("*blob*"), "the worker may be reading them"


async def test_delete_removes_everything_and_may_be_repeated(
    client: httpx.AsyncClient, post: Post, picture: Picture, worker: Worker, redis: Redis
) -> None:
    async with worker():
        response = await post(references=[("r.png", picture())] * 2, headers=WAIT)
    path = response.headers["location"]
    assert await redis.keys("*blob*")
    for _ in range(2):
        assert (await client.delete(path)).status_code == 204
        assert not await redis.keys("*blob*")
        assert not await redis.keys("*job:*")
    assert (await client.get(path)).status_code == 404
    assert (await client.delete("/v1/restorations/a%20b")).status_code == 204


async def test_the_model_follows_from_the_references(app: FastAPI, post: Post, models: Catalog) -> None:
    assert (await post()).json()["model"] == "refstar"
    lone = replace(models.default_versions[1], name="lone", ranks=Ranks(None, 1), max_references=0)
    more = Catalog.of([*models.all_versions, lone])
    app.state.gateway = replace(app.state.gateway, rollout=Rollout(more, {}, {}))
    assert (await post()).json()["model"] == "lone"
