"""Pictures from URLs and results to URLs: by a worker, beside its stages, on a real Redis and from real servers."""

import asyncio
import logging
import time
from collections.abc import Callable

import numpy as np
import pytest
from file_server import answer, file, redirect, serve_files
from inverting import Inverting
from pictures import file_of, pixels_of
from redis.asyncio import Redis
from refstar_service.images import ImageLimits
from refstar_service.jobs import EnrollRequest, Job, JobQueue, JobStatus, RemoteFile
from refstar_service.outgoing.carrier import Carrier
from refstar_service.outgoing.connection import Dialer
from refstar_service.outgoing.endpoint import Reach, parse_networks
from refstar_service.worker.transfers import Transfers
from worker_bench import SIZE, Bench

HERE = Reach(parse_networks("127.0.0.0/8"), (range(1, 65_536),), "REFSTAR_URL")
SECRET = "?sig=5ec2e7"


def transfers(timeout: float = 10.0, most_bytes: int = 10_000_000, reach: Reach = HERE) -> Transfers:
    carrier = Carrier(Dialer(reach), redirects=3, pauses=(0.01, 0.01))
    limits = ImageLimits(max_bytes=100_000, max_pixels=100 * 100)
    return Transfers(carrier, limits, most_bytes=most_bytes, timeout=timeout)


def picture(level: int, size: int = SIZE) -> bytes:
    return file_of(np.full((size, size, 3), level, np.uint8))


async def result_of(bench: Bench, job: Job) -> bytes:
    assert job.result is not None, job.failure
    data = await bench.blobs.get(job.result.image.key)
    assert data is not None
    return data


async def blob_keys(redis: Redis) -> list[bytes]:
    return [key async for key in redis.scan_iter("*blob*")]


async def until(condition: Callable[[], bool]) -> None:
    async with asyncio.timeout(5):
        while not condition():  # noqa: ASYNC110
            await asyncio.sleep(0.01)


async def test_pictures_by_url_give_what_uploads_give_and_are_not_stored(redis: Redis) -> None:
    bench = Bench(redis, Inverting(), transfers=transfers())
    await bench.submit("uploaded", picture(7), [picture(200), picture(100)])
    async with serve_files(face=picture(7), first=picture(200), second=picture(100)) as server:
        urls = [server.url(f"/{name}{SECRET}") for name in ("face", "first", "second")]
        await bench.submit_urls("fetched", urls[0], urls[1:])
        async with bench.working():
            near, far = await bench.ended("uploaded"), await bench.ended("fetched")
            assert await result_of(bench, near) == await result_of(bench, far)
            assert near.faces == far.faces
            assert [one.used for one in far.references] == [True, True]
    assert set(far.timings) == set(near.timings) | {"download"}
    assert not [key for key in await blob_keys(redis) if b"result" not in key and b"selection" not in key]


async def test_a_server_that_is_slow_holds_up_nobody_else(redis: Redis) -> None:
    bench = Bench(redis, Inverting(), transfers=transfers(timeout=20.0))
    async with serve_files() as server:
        server.answers["/never"] = [b""]
        for number in range(6):
            await bench.submit_urls(f"slow{number}", server.url("/never"))
        async with bench.working():
            await until(lambda: server.open_now == 6)
            began = time.monotonic()
            for level in range(12):
                await bench.submit(f"job{level}", picture(level))
            for level in range(12):
                assert (await bench.ended(f"job{level}")).status is JobStatus.SUCCEEDED
            assert time.monotonic() - began < 4
            for number in range(6):
                await bench.queue.cancel(f"slow{number}")
            for number in range(6):
                assert (await bench.ended(f"slow{number}")).status is JobStatus.CANCELED
            await until(lambda: server.open_now == 0)


async def test_no_more_jobs_wait_for_pictures_than_may_and_none_is_lost(redis: Redis) -> None:
    bench = Bench(redis, Inverting(), transfers=transfers(), transfers_at_once=2)
    async with serve_files(face=picture(9)) as server:
        server.pause = 0.05
        for number in range(20):
            await bench.submit_urls(f"job{number}", server.url("/face"))
        async with bench.working():
            for number in range(20):
                assert (await bench.ended(f"job{number}")).attempts == 1
    assert bench.metrics.jobs_finished.labels("succeeded", "", "refstar")._value.get() == 20


TOO_LARGE = b"\x89PNG" + bytes(200_000)


@pytest.mark.parametrize(
    ("reply", "code", "says"),
    [
        (answer(404), "image-url-rejected", "image_url: Its server answered 404."),
        (answer(403), "image-url-rejected", "image_url: Its server answered 403."),
        (answer(503), "image-url-unreachable", "image_url: Its server answered 503."),
        (b"", "image-url-timeout", "image_url: Its server took too long; there are 0.5 s."),
        (redirect("http://10.0.0.1/"), "image-url-refused", "REFSTAR_URL_NETWORKS"),
        (file(TOO_LARGE), "image-too-many-bytes", "announces a file of 200004 bytes; the limit is 100000"),
        (file(b"<html>Sign in</html>", "Content-Type: text/html"), "not-an-image", "image_url: "),
        (file(b""), "image-empty", "image_url: "),
        (file(picture(1, 101)), "image-too-many-pixels", "image_url: "),
        (file(picture(1)[:60]), "image-truncated", "image_url: "),
    ],
)
async def test_a_picture_that_cannot_be_had_fails_its_job_and_says_why(
    redis: Redis, reply: bytes, code: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "refstar_service")
    bench = Bench(redis, Inverting(), transfers=transfers(timeout=0.5))
    async with serve_files() as server:
        server.answers["/face"] = [reply]
        await bench.submit_urls("bad", server.url(f"/face{SECRET}"))
        await bench.submit("good", picture(5))
        async with bench.working():
            job = await bench.ended("bad")
            assert (await bench.ended("good")).status is JobStatus.SUCCEEDED
    assert job.failure is not None
    assert job.failure.code == code
    assert says in job.failure.detail
    assert set(job.timings) == {"download"}
    for secret in ("5ec2e7", "/face", "127.0.0.1"):
        assert secret not in job.failure.detail
        assert secret not in caplog.text
    assert bench.metrics.jobs_finished.labels("failed", code, "refstar")._value.get() == 1


async def test_a_reference_that_cannot_be_had_is_named_by_its_place(redis: Redis) -> None:
    bench = Bench(redis, Inverting(), transfers=transfers())
    async with serve_files(face=picture(1), good=picture(2)) as server:
        references = [server.url("/good"), server.url("/gone")]
        await bench.submit_urls("bad", server.url("/face"), references)
        async with bench.working():
            job = await bench.ended("bad")
    assert job.failure is not None
    assert job.failure.code == "image-url-rejected"
    assert job.failure.detail.startswith("reference_urls[1]: ")


async def test_all_pictures_of_a_job_may_have_so_many_bytes_together(redis: Redis) -> None:
    one = picture(1)
    bench = Bench(redis, Inverting(), transfers=transfers(most_bytes=2 * len(one)))
    async with serve_files(face=one) as server:
        url = server.url("/face")
        await bench.submit_urls("two", url, [url])
        await bench.submit_urls("three", url, [url, url])
        async with bench.working():
            assert (await bench.ended("two")).status is JobStatus.SUCCEEDED
            job = await bench.ended("three")
    assert job.failure is not None
    assert (job.failure.code, "REFSTAR_MAX_REQUEST_BYTES" in job.failure.detail) == (
        "request-too-large",
        True,
    )


async def test_a_worker_that_connects_to_nothing_says_so(redis: Redis) -> None:
    bench = Bench(redis, Inverting())
    await bench.submit_urls("far", "https://files.example/face.png")
    async with bench.working():
        job = await bench.ended("far")
    assert job.failure is not None
    assert job.failure.code == "urls-disabled"


async def test_a_worker_that_ends_gives_back_what_waits_for_pictures_at_once(redis: Redis) -> None:
    """Even if that is more than it has at the model otherwise."""
    bench = Bench(redis, Inverting(), transfers=transfers(timeout=60.0))
    names = [f"far{number}" for number in range(12)]
    async with serve_files() as server:
        server.answers["/never"] = [b""]
        for name in names:
            await bench.submit_urls(name, server.url("/never"))
        async with bench.working():
            await until(lambda: server.open_now == 12)
            began = time.monotonic()
            bench.stopping.set()
        assert time.monotonic() - began < 5
    other = JobQueue(redis)
    left = [await other.get(name) for name in names]
    assert [(job.status, job.attempts) for job in left if job] == [(JobStatus.QUEUED, 0)] * 12
    assert len(await other.reserve(12)) == 12
    await other.aclose()


@pytest.mark.parametrize("by_url", [False, True])
async def test_a_job_that_is_tried_again_runs_alone_when_others_have_their_pictures(
    redis: Redis, by_url: bool
) -> None:
    dead = JobQueue(redis, stale_after=0.2, worker="dead")
    seen: list[int] = []
    bench = Bench(redis, restorer := Inverting(), transfers=transfers())
    restorer.act = lambda tasks: (
        seen.append(len(bench.worker.holdings.begun)) if tasks[0].low_quality[0, 0, 0] == 9 else None
    )
    async with serve_files(face=picture(3), suspect=picture(9)) as server:
        if by_url:
            await bench.submit_urls("suspect", server.url("/suspect"))
        else:
            await bench.submit("suspect", picture(9))
        assert await dead.start(await dead.reserve(1))  # a worker that dies here
        server.pause = 0.4
        for number in range(5):
            await bench.submit_urls(f"job{number}", server.url("/face"))
        bench.queue.stale_after = 60
        async with bench.working():
            await until(lambda: server.open_now == 5)
            bench.queue.stale_after = 0.2
            for name in ["suspect", *(f"job{number}" for number in range(5))]:
                assert (await bench.ended(name)).status is JobStatus.SUCCEEDED
    assert seen == [1]
    await dead.aclose()


# ---- results to URLs


async def test_a_result_is_put_where_it_is_wanted_before_the_job_has_succeeded(redis: Redis) -> None:
    bench = Bench(redis, Inverting(), transfers=transfers())
    async with serve_files(face=picture(7)) as server:
        await bench.submit_urls("far", server.url("/face"), (), server.url(f"/out{SECRET}"))
        async with bench.working():
            job = await bench.ended("far")
            assert server.files["/out"] == await result_of(bench, job)
        [put] = [asked for asked in server.asked if asked.method == "PUT"]
    assert (pixels_of(put.body) == 255 - 7).all()
    assert put.headers["content-type"] == "image/png"
    assert job.result is not None
    assert job.result.delivered_at == pytest.approx(time.time(), abs=30)
    assert "deliver" in job.timings


async def test_a_result_is_there_until_its_job_expires_however_long_its_delivery_took(redis: Redis) -> None:
    bench = Bench(redis, Inverting(), transfers=transfers(), result_ttl=1.0)
    async with serve_files(face=picture(7)) as server:
        server.pause = 0.6
        await bench.submit_urls("far", server.url("/face"), (), server.url("/out"))
        async with bench.working():
            job = await bench.ended("far")
            assert job.result is not None
            await asyncio.sleep(job.expires_at - time.time() - 0.3)
            assert await bench.blobs.get(job.result.image.key) == server.files["/out"]


@pytest.mark.parametrize(
    ("reply", "code", "says"),
    [
        (answer(403), "output-url-rejected", "output_url: Its server answered 403."),
        (answer(500), "output-url-unreachable", "output_url: Its server answered 500."),
        (b"", "output-url-timeout", "took too long"),
    ],
)
async def test_a_result_that_cannot_be_delivered_fails_its_job_and_is_not_kept(
    redis: Redis, reply: bytes, code: str, says: str, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.DEBUG, "refstar_service")
    bench = Bench(redis, Inverting(), transfers=transfers(timeout=0.5))
    async with serve_files(face=picture(7)) as server:
        server.answers["/out"] = [reply]
        await bench.submit_urls("far", server.url("/face"), (), server.url(f"/out{SECRET}"))
        async with bench.working():
            job = await bench.ended("far")
    assert (job.status, job.result) == (JobStatus.FAILED, None)
    assert job.failure is not None
    assert (job.failure.code, says in job.failure.detail) == (code, True)
    assert len(job.faces) == 1
    assert await blob_keys(redis) == []
    assert "5ec2e7" not in job.failure.detail + caplog.text


async def test_an_output_inside_is_refused_when_it_is_connected_to(redis: Redis) -> None:
    only_here = Reach(parse_networks("127.0.0.1/32"), HERE.ports, "REFSTAR_URL")
    bench = Bench(redis, Inverting(), transfers=transfers(reach=only_here))
    async with serve_files(face=picture(7)) as server:
        inside = f"http://127.0.0.2:{server.port}/out"
        await bench.submit_urls("far", server.url("/face"), (), inside)
        async with bench.working():
            job = await bench.ended("far")
    assert job.failure is not None
    assert job.failure.code == "output-url-refused"


async def test_a_receiver_that_is_slow_holds_up_nobody_else(redis: Redis) -> None:
    bench = Bench(redis, Inverting(), transfers=transfers(timeout=20.0))
    async with serve_files(face=picture(7)) as server:
        server.answers["/never"] = [b""]
        for number in range(3):
            await bench.submit_urls(f"slow{number}", server.url("/face"), (), server.url("/never"))
        async with bench.working():
            await until(lambda: server.open_now == 3)
            for level in range(6):
                await bench.submit(f"job{level}", picture(level))
            for level in range(6):
                assert (await bench.ended(f"job{level}")).status is JobStatus.SUCCEEDED
            await bench.queue.cancel("slow0")
            assert (await bench.ended("slow0")).status is JobStatus.CANCELED
            began = time.monotonic()
            bench.stopping.set()
        assert time.monotonic() - began < 5
    other = JobQueue(redis)
    for number in (1, 2):
        left = await other.get(f"slow{number}")
        assert left is not None
        assert (left.status, left.attempts) == (JobStatus.QUEUED, 0)
    assert not [key for key in await blob_keys(redis) if b"slow" in key]
    await other.aclose()


async def test_more_deliveries_than_may_be_under_way_all_arrive(redis: Redis) -> None:
    bench = Bench(redis, Inverting(), transfers=transfers(), transfers_at_once=2)
    async with serve_files(face=picture(7)) as server:
        server.pause = 0.05
        for number in range(12):
            await bench.submit_urls(f"job{number}", server.url("/face"), (), server.url(f"/out{number}"))
        async with bench.working():
            for number in range(12):
                assert (await bench.ended(f"job{number}")).status is JobStatus.SUCCEEDED
        assert len(server.files) == 1 + 12


async def test_references_of_a_person_come_from_urls_in_their_order() -> None:
    async with serve_files(a=picture(1), b=picture(2)) as server:
        request = EnrollRequest(
            (RemoteFile(server.url("/b"), "b.png"), RemoteFile(server.url("/a"), "a.png"))
        )
        downloads = await transfers().download(request)
    assert [one.file.name for one in downloads] == ["b.png", "a.png"]
    assert [one.file.data for one in downloads] == [picture(2), picture(1)]
    assert [one.pixels for one in downloads] == [SIZE * SIZE] * 2
