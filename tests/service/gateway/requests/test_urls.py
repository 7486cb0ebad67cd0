"""Pictures that a request names by URL, in JSON or in a form: taken as meant, or refused, and no secret told."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import httpx
import pytest
from fastapi import FastAPI
from redis.asyncio import Redis
from refstar_service.faces.select import FaceMode
from refstar_service.jobs import EnrollRequest, Job, JobQueue, RemoteFile, RestoreRequest, StoredFile

Post = Callable[..., Awaitable[httpx.Response]]
Refused = Callable[..., Awaitable[dict[str, Any]]]
Picture = Callable[..., bytes]

FACE = "https://files.example/album/granny%201975.jpg?X-Amz-Signature=5ec2e7"
REFERENCES = ["https://files.example/a.jpg?sig=5ec2e7", "https://files.example/b.jpg"]
OUTPUT = "https://out.example:443/results/1.png?sig=5ec2e7"


@pytest.fixture
def send(client: httpx.AsyncClient) -> Post:
    async def send(path: str = "/v1/restorations", key: str | None = None, **members: Any) -> httpx.Response:
        headers = {"Idempotency-Key": f'"{key}"'} if key else {}
        return await client.post(path, json=members, headers=headers)

    return send


async def asked(queue: JobQueue, response: httpx.Response) -> RestoreRequest:
    assert response.status_code == 202, response.text
    job = await queue.get(response.json()["id"])
    assert isinstance(job, Job)
    assert isinstance(job.request, RestoreRequest)
    return job.request


def change(app: FastAPI, **settings: object) -> None:
    changed = app.state.gateway.settings.model_copy(update=settings)
    app.state.gateway = replace(app.state.gateway, settings=changed)


async def test_a_document_says_what_a_form_says(send: Post, queue: JobQueue) -> None:
    response = await send(
        image_url=f"{FACE}#part",
        reference_urls=REFERENCES,
        output_url=OUTPUT,
        boxes=[[1, 2, 30.5, 40]],
        upscale=2,
        fidelity=1,
        quality=90.0,
        grain=False,
        model="refstar",
    )
    request = await asked(queue, response)
    assert request.image == RemoteFile(FACE, "granny 1975.jpg")
    assert request.references == (RemoteFile(REFERENCES[0], "a.jpg"), RemoteFile(REFERENCES[1], "b.jpg"))
    assert request.output_url == OUTPUT
    knobs = request.knobs
    assert (knobs.faces, knobs.boxes) == (FaceMode.BOXES, ((1.0, 2.0, 30.5, 40.0),))
    assert (knobs.upscale, knobs.fidelity, knobs.quality, knobs.grain) == (2, 1.0, 90, False)


async def test_files_and_urls_go_into_one_form_files_first(
    client: httpx.AsyncClient, queue: JobQueue, picture: Picture
) -> None:
    files = [("references", ("near.png", picture())), ("image", ("face.png", picture()))]
    response = await client.post("/v1/restorations", data={"reference_urls": REFERENCES}, files=files)
    request = await asked(queue, response)
    assert isinstance(request.image, StoredFile)
    assert [one.name for one in request.references] == ["near.png", "a.jpg", "b.jpg"]
    assert [file.name for file in request.uploads] == ["face.png", "near.png"]

    response = await client.post("/v1/restorations", data={"image_url": FACE}, files=files[:1])
    request = await asked(queue, response)
    assert isinstance(request.image, RemoteFile)
    (upload,) = request.uploads
    assert upload.key.endswith("/reference-0")


async def test_a_person_is_stored_from_urls(send: Post, queue: JobQueue) -> None:
    response = await send("/v1/people", reference_urls=REFERENCES, name="Ada", aligned=True)
    assert response.status_code == 202, response.text
    job = await queue.get(response.json()["id"])
    assert job is not None
    assert isinstance(job.request, EnrollRequest)
    assert [one.name for one in job.request.references] == ["a.jpg", "b.jpg"]
    assert (response.json()["name"], job.request.aligned) == ("Ada", True)


async def test_a_person_needs_a_reference_of_either_kind(send: Post, refused: Refused) -> None:
    await refused(await send("/v1/people", name="Ada"), 422, "missing-references")


@pytest.mark.parametrize(
    "url",
    [
        "http://files.example/face.jpg",
        "https://127.0.0.1/face.jpg",
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:10.0.0.1]/",
        "https://files.example:22/",
        "https://user:5ec2e7@files.example/face.jpg",
        "file:///etc/passwd",
        "data:image/png;base64,5ec2e7",
        "javascript:alert(1)",
        "face.jpg?sig=5ec2e7",
        "https://files.example/" + "x" * 4096,
    ],
)
async def test_a_url_that_may_not_be_called_is_refused(send: Post, refused: Refused, url: str) -> None:
    slugs = [("image-url-refused", "output-url-refused"), ("invalid-parameter",) * 2][len(url) > 4096]
    for changed, slug in (
        ({"image_url": url}, slugs[0]),
        ({"image_url": FACE, "output_url": url}, slugs[1]),
    ):
        response = await send(**changed)
        problem = await refused(response, 422, slug)
        assert "5ec2e7" not in response.text
        if slug != "invalid-parameter":
            assert problem["parameter"] == [*changed][-1]


async def test_what_a_reference_is_refused_for_names_its_place(send: Post, refused: Refused) -> None:
    urls = [*REFERENCES, "https://10.0.0.1/"]
    problem = await refused(await send(image_url=FACE, reference_urls=urls), 422, "image-url-refused")
    assert problem["parameter"] == "reference_urls[2]"
    assert "REFSTAR_URL_NETWORKS" in problem["detail"]


async def test_networks_ports_and_plain_http_are_as_the_settings_say(
    app: FastAPI, send: Post, refused: Refused
) -> None:
    inside = "http://10.1.2.3:9000/face.jpg"
    change(app, webhook_networks="10.1.0.0/16", webhook_ports="9000")  # those of webhooks are others
    await refused(await send(image_url=inside), 422, "image-url-refused")
    change(app, url_networks="10.1.0.0/16", url_ports="9000")
    assert (await send(image_url=inside)).status_code == 202
    response = await send(image_url="http://10.2.0.1:9000/face.jpg")
    assert response.json()["type"] == "/problems/image-url-refused"


@pytest.mark.parametrize("member", ["image_url", "reference_urls", "output_url"])
async def test_a_service_that_connects_to_nothing_refuses_urls(
    app: FastAPI, post: Post, client: httpx.AsyncClient, refused: Refused, picture: Picture, member: str
) -> None:
    change(app, fetch_urls=False)
    files = {} if member == "image_url" else {"image": ("face.png", picture())}
    response = await client.post("/v1/restorations", data={member: FACE}, files=files or {"image": ("", b"")})
    problem = await refused(response, 422, "urls-disabled")
    assert "REFSTAR_FETCH_URLS" in problem["detail"]
    assert (await post()).status_code == 202


async def test_a_picture_comes_in_one_way_only(
    client: httpx.AsyncClient, send: Post, refused: Refused, picture: Picture
) -> None:
    files = {"image": ("face.png", picture())}
    response = await client.post("/v1/restorations", data={"image_url": FACE}, files=files)
    await refused(response, 422, "invalid-parameter")
    assert "5ec2e7" not in response.text
    await refused(await send(reference_urls=REFERENCES), 422, "missing-image")


async def test_references_of_both_kinds_count_together(
    client: httpx.AsyncClient, send: Post, refused: Refused, picture: Picture
) -> None:
    response = await send(image_url=FACE, reference_urls=[REFERENCES[1]] * 9)
    assert (await refused(response, 422, "too-many-references"))["limit"] == 8
    files = [("image", ("face.png", picture())), ("references", ("a.png", picture()))]
    response = await client.post(
        "/v1/restorations", data={"reference_urls": [REFERENCES[1]] * 8}, files=files
    )
    await refused(response, 422, "too-many-references")
    response = await send(image_url=FACE, reference_urls=[REFERENCES[1]] * 3, model="ented")
    assert (await refused(response, 422, "too-many-references"))["limit"] == 2


async def test_the_same_document_with_the_same_key_is_carried_out_once(send: Post) -> None:
    members = {"image_url": FACE, "reference_urls": REFERENCES, "fidelity": 0.5}
    first = await send(key="one", **members)
    again = await send(key="one", **dict(reversed(members.items())))
    assert again.json()["id"] == first.json()["id"]
    assert again.headers["idempotency-replayed"] == "true"
    for changed in (
        {"reference_urls": REFERENCES[::-1]},
        {"image_url": REFERENCES[1]},
        {"output_url": OUTPUT},
    ):
        other = await send(key="one", **members | changed)
        assert other.json()["type"] == "/problems/idempotency-key-reused"


async def test_the_resource_shows_the_host_of_the_output_and_nothing_more(
    send: Post, client: httpx.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "refstar_service")
    made = await send(image_url=FACE, reference_urls=REFERENCES, output_url=OUTPUT)
    assert made.json()["output"] == {"host": "out.example", "delivered_at": None}
    listed = await client.get("/v1/restorations")
    without = await send(image_url=FACE)
    assert without.json()["output"] is None
    metrics = await client.get("/metrics")
    for text in (made.text, listed.text, metrics.text, caplog.text):
        assert "5ec2e7" not in text
        assert "granny" not in text


async def test_nothing_of_a_url_outlives_the_job(send: Post, queue: JobQueue, redis: Redis) -> None:
    made = await send(image_url=FACE, reference_urls=REFERENCES, output_url=OUTPUT)
    await redis.delete(f"{{refstar}}:job:{made.json()['id']}")
    gone = await redis.get(f"{{refstar}}:gone:{made.json()['id']}")
    assert gone
    assert b"example" not in gone
    job = await queue.get(made.json()["id"])
    assert job is not None
    assert isinstance(job.request, RestoreRequest)


async def test_room_is_kept_free_for_the_result_of_a_picture_that_is_yet_to_come(
    send: Post, redis: Redis
) -> None:
    held = []
    for members in ({}, {"upscale": 2}, {"format": "png"}, {"faces": "aligned"}):
        before = int(await redis.hget("{refstar}:stored:totals", "bytes") or 0)
        assert (await send(image_url=FACE, **members)).status_code == 202
        held.append(int(await redis.hget("{refstar}:stored:totals", "bytes") or 0) - before)
    plain, larger, lossless, aligned = held
    assert 10_000_000 < plain < lossless < larger < 100_000_000
    assert aligned < 1_000_000
