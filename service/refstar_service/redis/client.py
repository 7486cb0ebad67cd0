"""The connection to Redis of every process."""

from __future__ import annotations

from asyncio import StreamWriter
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from redis.asyncio import BlockingConnectionPool, Redis
from redis.asyncio.connection import AbstractConnection
from redis.asyncio.retry import Retry
from redis.backoff import ExponentialBackoff
from redis.exceptions import ConnectionError as RedisConnectionError

REDIS_TIMEOUT = 10.0  # seconds for one command, or for a connection; blocking reads end after 2
SMALL = 16 * 2**10  # bytes of a command
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
    pool = _Pool.from_url(
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
    pool.connection_class = type(kind.__name__, (_Quick, kind), {})
    return Redis.from_pool(pool)


class _Pool(BlockingConnectionPool):
    """redis-py's takes a lock and sets a timer for every command; with a connection at hand neither is needed."""

    async def get_connection(self, *unused: Any, **options: Any) -> AbstractConnection:
        if not self._available_connections:
            waited: AbstractConnection = await super().get_connection(*unused, **options)  # type: ignore[no-untyped-call]
            return waited
        connection: AbstractConnection = self.get_available_connection()  # type: ignore[no-untyped-call]
        try:
            await self.ensure_connection(connection)
        except BaseException:
            await self.release(connection)
            raise
        return connection


class _Quick(_Connection):
    """Two changes to redis-py's connections.

    A small command on a socket that takes it at once is written without a task and a timer of its own. And uvloop says
    RuntimeError of a transport that was closed, asyncio OSError; redis-py knows the latter only.
    """

    async def send_packed_command(
        self, command: bytes | str | Iterable[bytes], check_health: bool = True
    ) -> None:
        try:
            writer = self._writer
            if writer is None or not isinstance(command, list) or not self._takes_at_once(writer, command):
                await super().send_packed_command(command, check_health)
                return
            writer.writelines(command)
            await writer.drain()
        except (OSError, RuntimeError) as error:
            await self.disconnect(nowait=True)
            raise RedisConnectionError(f"Error while writing to socket. {error}.") from error
        except BaseException:
            await self.disconnect(nowait=True)  # else the next command would get this one's reply
            raise

    def _takes_at_once(self, writer: StreamWriter, command: list[bytes]) -> bool:
        """Then `drain` does not wait: the transport's limit is higher."""
        if not self.is_connected or self.health_check_interval:
            return False
        return not writer.transport.get_write_buffer_size() and sum(map(len, command)) <= SMALL
