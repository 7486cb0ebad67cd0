"""The notices that are owed: a durable queue in Redis, from which a killed courier loses none.

A notice is written by the script that ends a job (`jobs/scripts/prelude.lua`; keys in `jobs/keys.py`) and stands until
it was delivered or given up. Taking one only moves the moment at which it is due; who dies with it lets it come due
again. Fields of a notice that are the courier's: body (JSON, the same at every attempt), attempts, lease.

    {refstar}:webhook-off:<hash of owner and URL>  string  this endpoint answered 410; expires
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources
from secrets import token_hex

from redis.asyncio import Redis

OFF_FOR = 7 * 86_400  # seconds that an endpoint which answered 410 is left alone


@dataclass(frozen=True)
class Notice:
    """`attempts`: how often it was tried before. `body`: empty before the first attempt. `ended_at`: unix seconds."""

    job_id: str
    url: str
    owner: str
    status: str
    ended_at: float
    attempts: int
    body: bytes
    lease: str


class Notices:
    """`lease`: seconds after which a notice that was taken and not settled is due again."""

    def __init__(self, redis: Redis, *, lease: float = 60.0, prefix: str = "refstar") -> None:
        self._redis = redis
        self._lease = lease
        self._prefix = f"{{{prefix}}}:"
        self._keys = [f"{self._prefix}notices", f"{self._prefix}notices:owed"]
        self._take = redis.register_script(_source("take"))
        self._keep = redis.register_script(_source("keep"))
        self._settle = redis.register_script(_source("settle"))

    async def take(self, n: int) -> list[Notice]:
        """Up to `n` that are due, the longest overdue first."""
        values: list[str | float] = [n, self._lease, token_hex(8), f"{self._prefix}notice:"]
        rows = await self._take(self._keys, values)
        return [_notice(row) for row in rows]

    async def keep_body(self, notice: Notice, body: bytes) -> bytes:
        """Make this the notice's body unless it has one; returns the one it has."""
        reply = await self._keep([self._notice(notice.job_id)], [body])
        return bytes(reply)

    async def settle(self, notice: Notice) -> None:
        """It was delivered or given up: forget it."""
        await self._settle([*self._keys, self._notice(notice.job_id)], [notice.job_id, notice.lease, "", 0])

    async def put_back(self, notice: Notice, after: float, *, tried: bool) -> None:
        """Due again in `after` seconds; of no effect if somebody else has it by now."""
        values: list[str | float] = [notice.job_id, notice.lease, after, int(tried)]
        await self._settle([*self._keys, self._notice(notice.job_id)], values)

    async def owed(self, owner: str) -> int:
        """How many of this owner's are not delivered yet."""
        return int(await self._redis.hget(self._keys[1], owner) or 0)

    async def backlog(self) -> int:
        """How many are owed to all."""
        return int(await self._redis.zcard(self._keys[0]))

    async def switch_off(self, owner: str, url: str) -> None:
        await self._redis.set(self._off(owner, url), 1, ex=OFF_FOR)

    async def is_off(self, owner: str, url: str) -> bool:
        return bool(await self._redis.exists(self._off(owner, url)))

    def _notice(self, job_id: str) -> str:
        return f"{self._prefix}notice:{job_id}"

    def _off(self, owner: str, url: str) -> str:
        digest = hashlib.sha256(f"{owner}\n{url}".encode()).hexdigest()  # neither has a line break
        return f"{self._prefix}webhook-off:{digest}"


def _notice(row: Sequence[bytes | None]) -> Notice:
    job_id, url, owner, status, ended_at, attempts, body, lease = (part or b"" for part in row)
    return Notice(
        job_id=job_id.decode(),
        url=url.decode(),
        owner=owner.decode(),
        status=status.decode(),
        ended_at=float(ended_at),
        attempts=int(attempts or 0),
        body=body,
        lease=lease.decode(),
    )


def _source(name: str) -> str:
    return resources.files(__package__).joinpath("scripts", f"{name}.lua").read_text(encoding="utf-8")
