"""A Redis Cluster of three nodes: a service fits on the node that has its slot, and others on other nodes."""

import socket
import time
from collections.abc import Iterator
from contextlib import aclosing
from pathlib import Path

import pytest
from pictures import file_of, reference_face
from redis import Redis
from redis.crc import key_slot
from redis.exceptions import MovedError
from redis_process import RedisProcess
from refstar_service.faces.select import FaceMode
from refstar_service.jobs import JobQueue, JobResult, JobStatus, Outcome, RestoreRequest, StoredFile
from refstar_service.redis.client import connect
from refstar_service.redis.keys import Keys
from refstar_service.restoration.knobs import Knobs
from served import end, start

SLOTS = 16384
AGREED_WITHIN = 15.0  # seconds


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class Cluster:
    """Three nodes without replicas, each with a third of the slots. Not started yet."""

    def __init__(self, folder: Path) -> None:
        self._buses = [free_port() for _ in range(3)]
        self.nodes = [
            RedisProcess(folder / str(n), "--cluster-enabled", "yes", "--cluster-port", str(bus))
            for n, bus in enumerate(self._buses)
        ]
        self.clients = [Redis.from_url(node.url) for node in self.nodes]

    def start(self) -> None:
        for node in self.nodes:
            node.start()
        edges = [SLOTS * n // 3 for n in range(4)]
        for client, first, after in zip(self.clients, edges, edges[1:], strict=False):
            client.execute_command("CLUSTER ADDSLOTSRANGE", first, after - 1)
        for node, bus in zip(self.nodes[1:], self._buses[1:], strict=True):
            self.clients[0].execute_command("CLUSTER MEET", "127.0.0.1", node.port, bus)
        deadline = time.monotonic() + AGREED_WITHIN
        while not all(self._agrees(client) for client in self.clients):
            assert time.monotonic() < deadline, "the nodes do not find each other"
            time.sleep(0.05)

    def _agrees(self, client: Redis) -> bool:
        about = client.execute_command("CLUSTER INFO")
        return about["cluster_state"] == "ok" and about["cluster_known_nodes"] == "3"

    def node_of(self, key: str) -> int:
        slot = key_slot(key.encode())
        return next(n for n in range(3) if slot < SLOTS * (n + 1) // 3)

    def close(self) -> None:
        for client, node in zip(self.clients, self.nodes, strict=True):
            client.close()
            node.kill()


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    made = Cluster(tmp_path_factory.mktemp("cluster"))
    try:
        made.start()
        yield made
    finally:
        made.close()


def a_request() -> RestoreRequest:
    picture = StoredFile("job/image", "ab" * 32, "image/jpeg", 24_000, "image.jpg")
    return RestoreRequest(picture, (), "refstar", Knobs(FaceMode.ALIGNED))


async def do_one_job(url: str, prefix: str) -> JobStatus:
    async with aclosing(connect(url)) as redis, aclosing(JobQueue(redis, prefix=prefix)) as queue:
        await queue.submit("a" * 32, a_request())
        (attempt,) = await queue.start(await queue.reserve(1))
        assert attempt is not None
        result = JobResult(StoredFile("job/result", "cd" * 32, "image/jpeg", 90_000, "image.jpg"), None)
        await queue.finish([(attempt, Outcome(JobStatus.SUCCEEDED, result, None, (), {}))])
        job = await queue.get("a" * 32)
    assert job is not None
    return job.status


def test_a_whole_service_fits_on_the_node_that_has_its_slot(
    cluster: Cluster, tmp_path: Path, small_models: Path
) -> None:
    home = cluster.node_of(Keys().changes)
    served = start(
        tmp_path,
        REFSTAR_REDIS_URL=cluster.nodes[home].url,
        REFSTAR_BLOBS="directory",
        REFSTAR_MODELS_DIR=str(small_models),
    )
    try:
        person = served.client.post(
            "/v1/people",
            files=[("references", ("ref.jpg", file_of(reference_face(), ".jpg"), "image/jpeg"))],
            data={"aligned": "true"},
            headers={"Prefer": "wait=30", "Idempotency-Key": '"once"'},
        )
        assert person.status_code in (201, 202), person.text
        jobs = [served.restore(priority=priority).json()["id"] for priority in ("normal", "high")]
        assert [served.ended(job)["status"] for job in jobs] == ["succeeded"] * 2
        assert len(served.client.get("/v1/restorations").json()["restorations"]) == 2
        assert served.client.delete(f"/v1/restorations/{jobs[0]}").status_code == 204
        assert "refstar_redis_up 1.0" in served.client.get("/metrics").text
        keys = cluster.clients[home].dbsize()
        slot = key_slot(Keys().changes.encode())
        assert keys > 5
        assert cluster.clients[home].execute_command("CLUSTER COUNTKEYSINSLOT", slot) == keys
    finally:
        assert end(served) == 0


async def test_services_of_other_names_are_on_other_nodes(cluster: Cluster) -> None:
    """That is how several queues share a cluster: a name for each, and the node that has its slot."""
    names: dict[int, str] = {}
    for number in range(20):
        names.setdefault(cluster.node_of(Keys(f"faces-{number}").changes), f"faces-{number}")
    assert len(names) == 3
    for home, name in names.items():
        assert await do_one_job(cluster.nodes[home].url, name) is JobStatus.SUCCEEDED
        assert cluster.clients[home].exists(Keys(name).job("a" * 32))


async def test_another_node_names_the_right_one(cluster: Cluster) -> None:
    home = cluster.node_of(Keys("faces").changes)
    with pytest.raises(MovedError) as moved:
        await do_one_job(cluster.nodes[(home + 1) % 3].url, "faces")
    assert moved.value.port == cluster.nodes[home].port
