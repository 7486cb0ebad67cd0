"""A real redis-server for the whole session, and an empty database for every test."""

from __future__ import annotations

import gc
import logging
from collections.abc import AsyncIterator, Generator, Iterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from refstar_service.redis.client import connect
from refstar_service.redis.embedded import EmbeddedRedis
from xdist.remote import Producer
from xdist.scheduler import LoadScopeScheduling

#: Files that share an expensive fixture of the session run in one process, one after the other.
TOGETHER = {
    "test_export.py": "tiny_folder",
    "test_half_precision.py": "tiny_folder",
    "test_quantization.py": "tiny_folder",
    "test_client.py": "service of the client",
    "test_client_examples.py": "service of the client",
    "test_submit.py": "service of the client",
}


@pytest.hookimpl(wrapper=True)
def pytest_collection() -> Generator[None, object, object]:
    """What is imported for the tests stays until the end: to search it for garbage again and again would find none."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


class FileScheduling(LoadScopeScheduling):
    """The tests of a file in one process, so that what a module's fixture makes is made once."""

    def _split_scope(self, nodeid: str) -> str:
        path = nodeid.partition("::")[0]
        return TOGETHER.get(Path(path).name, path)


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> FileScheduling:
    return FileScheduling(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The slow ones first, so that no process ends long before the other."""
    items.sort(key=lambda item: "system" not in item.path.parts)


@pytest.fixture(autouse=True)
def root_logger() -> Iterator[None]:
    """The root logger as it was: a command that runs inside a test sets it up on the test's own, soon closed stderr."""
    root = logging.getLogger()
    level, handlers = root.level, root.handlers[:]
    yield
    root.setLevel(level)
    root.handlers[:] = handlers


@pytest.fixture(scope="session")
def redis_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The URL of a redis-server that belongs to this test session."""
    with EmbeddedRedis(tmp_path_factory.mktemp("redis")) as server:
        yield server.url


@pytest.fixture
async def redis(redis_server: str) -> AsyncIterator[Redis]:
    """A client of an empty database."""
    async with connect(redis_server) as client:
        await client.flushall()
        yield client
