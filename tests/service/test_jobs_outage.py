"""A Redis that goes away, comes back, or hands over to its replica: nothing is lost and no attempt is spent."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest
from redis.asyncio import Redis
from redis.exceptions import ConnectionError as RedisConnectionError
from redis.exceptions import OutOfMemoryError
from redis_process import RedisProcess
from refstar_service.jobs import JobQueue, JobStatus, Outcome, Reservation, RestoreRequest
from refstar_service.redis.client import connect

NewQueue = Callable[..., JobQueue]


@pytest.fixture
def server(tmp_path: Path) -> Iterator[RedisProcess]:
    with RedisProcess(tmp_path / "redis") as server:
        yield server


@pytest.fixture
async def connected() -> AsyncIterator[Callable[..., JobQueue]]:
    """Makes a queue as a process of its own has it: with its own connections."""
    queues: list[tuple[JobQueue, Redis]] = []

    def make(url: str, **settings: float) -> JobQueue:
        redis = connect(url)
        queues.append((JobQueue(redis, **settings), redis))  # type: ignore[arg-type]
        return queues[-1][0]

    yield make
    for queue, redis in queues:
        await queue.aclose()
        await redis.aclose()


async def test_a_killed_redis_comes_back_with_all_that_it_acknowledged(
    server: RedisProcess,
    connected: Callable[..., JobQueue],
    request_for_jobs: RestoreRequest,
    success: Outcome,
) -> None:
    queue = connected(server.url)
    for number in range(30):
        await queue.submit(f"job-{number}", request_for_jobs)
    running = await queue.start(await queue.reserve(4))
    prefetched = await queue.reserve(4)
    server.kill()
    with pytest.raises(RedisConnectionError):
        await queue.get("job-0")
    server.start()
    held = [*running, *prefetched]
    assert await queue.heartbeat([one for one in held if one]) == []
    assert await queue.finish([(one, success) for one in running if one]) == [True] * 4
    done = 4
    for batch in (prefetched, *[await queue.reserve(8, block=0) for _ in range(4)]):
        begun = await queue.start(batch)
        done += sum(await queue.finish([(one, success) for one in begun if one]))
    assert done == 30
    assert {(await queue.get(f"job-{n}")).attempts for n in range(30)} == {1}  # type: ignore[union-attr]


async def test_after_an_outage_the_held_jobs_of_the_living_are_left_to_them(
    server: RedisProcess,
    connected: Callable[..., JobQueue],
    request_for_jobs: RestoreRequest,
    success: Outcome,
) -> None:
    working, looking = (connected(server.url, stale_after=1.5) for _ in range(2))
    for name in ("begun", "given-back"):
        await working.submit(name, request_for_jobs)
    begun, given_back = await working.start(await working.reserve(2))
    assert begun is not None
    assert given_back is not None
    await working.release([given_back])
    server.kill()
    for queue in (working, looking):
        with pytest.raises(RedisConnectionError):
            await queue.heartbeat([begun])
    await asyncio.sleep(1.6)  # longer than the stale time
    server.start()

    # What was handed over is had at once; what only looks stale is not.
    assert [one.job_id for one in await looking.reserve(4, block=0)] == ["given-back"]
    assert await looking.reserve(4, block=0) == []
    assert await working.heartbeat([begun]) == []
    assert await working.finish([(begun, success)]) == [True]
    assert (await looking.get("begun")).attempts == 1  # type: ignore[union-attr]


async def test_after_an_outage_the_jobs_of_the_dead_are_taken_over_a_stale_time_later(
    server: RedisProcess, connected: Callable[..., JobQueue], request_for_jobs: RestoreRequest
) -> None:
    dead, looking = (connected(server.url, stale_after=1.0) for _ in range(2))
    await dead.submit("one", request_for_jobs)
    await dead.start(await dead.reserve(1))
    server.kill()
    with pytest.raises(RedisConnectionError):
        await looking.reserve(1, block=0)
    server.start()
    await asyncio.sleep(1.01)
    assert await looking.reserve(1, block=0) == []
    await asyncio.sleep(1.01)
    assert [one.job_id for one in await looking.reserve(1, block=0)] == ["one"]


async def test_a_start_whose_reply_is_lost_counts_one_attempt_when_it_is_repeated(
    new_queue: NewQueue, request_for_jobs: RestoreRequest
) -> None:
    queue = new_queue()
    await queue.submit("one", request_for_jobs)
    held = await queue.reserve(1)
    first = await queue.start(held)
    assert await queue.start(held) == first
    assert (await queue.get("one")).attempts == 1  # type: ignore[union-attr]


@pytest.mark.parametrize("jobs", [1, 3])
async def test_a_redis_that_lost_its_scripts_is_told_them_again(
    new_queue: NewQueue, redis: Redis, request_for_jobs: RestoreRequest, success: Outcome, jobs: int
) -> None:
    queue = new_queue()
    for number in range(jobs):
        await queue.submit(f"job-{number}", request_for_jobs)
    held = await queue.reserve(jobs)
    await redis.script_flush()
    started = [one for one in await queue.start(held) if one is not None]
    assert [one.attempt for one in started] == [1] * jobs
    await redis.script_flush()
    assert await queue.finish([(one, success) for one in started]) == [True] * jobs


async def test_a_redis_that_came_back_empty_is_told_all_it_lacks_in_one_call(
    new_queue: NewQueue, redis: Redis, request_for_jobs: RestoreRequest
) -> None:
    queue = new_queue()
    await queue.setup()
    await redis.flushall()
    await redis.script_flush()
    assert await queue.reserve(1, block=0) == []
    await queue.submit("one", request_for_jobs)
    assert [one.job_id for one in await queue.reserve(1)] == ["one"]


async def test_a_known_script_takes_one_command(
    new_queue: NewQueue, redis: Redis, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    queue = new_queue()

    async def go(job_id: str) -> None:
        await queue.submit(job_id, request_for_jobs)
        started = await queue.start(await queue.reserve(1))
        await queue.finish([(one, success) for one in started if one is not None])

    await go("first")
    await redis.config_resetstat()
    await go("second")
    asked = await redis.info("commandstats")
    assert asked["cmdstat_evalsha"]["calls"] == 4
    assert not [
        name for name in asked if name.startswith("cmdstat_script")
    ]  # whether it is there, before it is called


@asynccontextmanager
async def forwarding(targets: list[int]) -> AsyncIterator[int]:
    """A port that leads to the last of these ports, for new connections; as a name or a virtual address does."""
    flows: set[asyncio.Task[None]] = set()

    async def flow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", targets[-1])
        for pair in ((reader, far_writer), (far_reader, writer)):
            flows.add(asyncio.create_task(flow(*pair)))

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in flows:
            task.cancel()
        await asyncio.gather(*flows, return_exceptions=True)


async def test_a_failover_to_the_replica_costs_nobody_an_error(
    tmp_path: Path, request_for_jobs: RestoreRequest, success: Outcome
) -> None:
    with RedisProcess(tmp_path / "a") as old, RedisProcess(tmp_path / "b") as new:
        targets = [old.port]
        async with (
            Redis(port=old.port) as old_client,
            Redis(port=new.port) as new_client,
            forwarding(targets) as port,
            connect(f"redis://127.0.0.1:{port}/0") as redis,
        ):
            queue = JobQueue(redis)
            await new_client.replicaof("127.0.0.1", str(old.port))
            for name in ("running", "waiting"):
                await queue.submit(name, request_for_jobs)
            [running] = await queue.start(await queue.reserve(1))
            assert running is not None
            while (await new_client.info("replication"))["master_link_status"] != "up":  # noqa: ASYNC110
                await asyncio.sleep(0.02)
            await old_client.execute_command("WAIT", 1, 5000)
            # The replica takes over, and the old primary goes on as a replica: its connections stay open.
            await new_client.replicaof("NO", "ONE")
            await old_client.replicaof("127.0.0.1", str(new.port))
            targets.append(new.port)

            await queue.submit("new", request_for_jobs)
            assert await queue.heartbeat([running]) == []
            assert await queue.finish([(running, success)]) == [True]
            left: list[Reservation] = await queue.reserve(4, block=0)
            assert [one.job_id for one in left] == ["waiting", "new"]
            begun = await queue.start(left)
            assert await queue.finish([(one, success) for one in begun if one]) == [True, True]
            job = await queue.get("running")
            assert job is not None
            assert job.status is JobStatus.SUCCEEDED
            await queue.aclose()


async def test_a_full_redis_gives_out_its_jobs_and_lets_workers_wait(
    tmp_path: Path, request_for_jobs: RestoreRequest
) -> None:
    """Also where a worker puts itself down as idle, which is a write."""
    with RedisProcess(tmp_path / "full") as server:
        async with connect(server.url) as own:
            queue = JobQueue(own)
            await queue.setup()
            await queue.submit("one", request_for_jobs)
            await own.config_set("maxmemory-policy", "noeviction")
            await own.config_set("maxmemory", "1")
            with pytest.raises(OutOfMemoryError):
                await own.set("another", "byte")
            started = await queue.start(await queue.reserve(1, models=["refstar"]))
            await queue.release([one for one in started if one])
            assert [one.job_id for one in await queue.reserve(1, block=0)] == ["one"]
            assert await queue.reserve(1, block=0.1, models=["refstar"]) == []
            await queue.aclose()
