"""The connection to Redis of every process."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

REDIS_TIMEOUT = 10.0  # seconds for one command, or for a connection; blocking reads end after 2
REDIS_CONNECTIONS = 128  # of a process; commands beyond wait for one

if TYPE_CHECKING:
    _Connection = AbstractConnection
else:
    _Connection = object


def connect(redis_url: str) -> Redis:
    """A client that outlives a restart of its server.

    Connections that stood idle meanwhile are dead, and are found so by the next command: without a second try every one
    of them would cost a client a 503. All scripts of the queue may be sent twice.

    A thousand waits that end in the same moment share the connections: redis-py's usual pool refuses the one too many.
    """
    pool = BlockingConnectionPool.from_url(
        redis_url,
        max_connections=REDIS_CONNECTIONS,
        timeout=REDIS_TIMEOUT,
        socket_timeout=REDIS_TIMEOUT,
        socket_connect_timeout=REDIS_TIMEOUT,
        # Not after a timeout: a server that hangs would cost a client three of them before it hears of it.
        retry=Retry(ExponentialBackoff(cap=0.2, base=0.02), 2, supported_errors=(RedisConnectionError,)),
        retry_on_error=[RedisConnectionError],
    )
    kind = pool.connection_class  # by the scheme of the address
    pool.connection_class = type(kind.__name__, (_LostWhenClosed, kind), {})
    return Redis.from_pool(pool)


class _LostWhenClosed(_Connection):
    """uvloop says RuntimeError of a transport that was closed, asyncio OSError; redis-py knows the latter only."""

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        try:
            await super().send_packed_command(command, check_health)
        except RuntimeError as error:
            raise RedisConnectionError(f"Error while writing to socket. {error}.") from error
