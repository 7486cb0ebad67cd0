"""The notices that are owed: a durable queue in Redis, from which a killed courier loses none.

A notice is owed in the same step in which the job ends (`owe_notice` in `lua/notices.lua`) and stands until it was
delivered or given up. Taking one only moves the moment at which it is due; who dies with it lets it come due again.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from secrets import token_hex

from redis.asyncio import Redis

from refstar_service.redis.keys import Keys
from refstar_service.redis.runner import ScriptRunner
from refstar_service.redis.script import load_script

_TAKE = load_script("webhooks.take")
_KEEP_BODY = load_script("webhooks.keep_body")
_FORGET = load_script("webhooks.forget")
_PUT_BACK = load_script("webhooks.put_back")

LOOKED_AT = 256  # notices in one step; Redis does nothing else meanwhile
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


@dataclass(frozen=True)
class Deferred:
    """A notice whose owner had no place. `due`: when it comes due by itself, as Redis has it."""

    job_id: str
    owner: str
    due: str


@dataclass(frozen=True)
class Taken:
    """`deferred`: those that were passed over. `more`: whether others may be due that were not looked at."""

    notices: list[Notice]
    deferred: list[Deferred]
    more: bool


class Notices:
    """`lease`: seconds after which a notice that was taken and not settled is due again. `defer`: after which one that
    was passed over is, if nobody asks for it before."""

    def __init__(
        self, redis: Redis, *, lease: float = 60.0, defer: float = 20.0, prefix: str = "refstar"
    ) -> None:
        self._redis = redis
        self._lease, self._defer = lease, defer
        self._keys = Keys(prefix)
        self._scripts = ScriptRunner(redis)

    async def take(
        self, n: int, *, places: int, left: Mapping[str, int], waiting: Sequence[Deferred] = ()
    ) -> Taken:
        """Up to `n`: of those that were deferred and are asked for now, as far as nobody else has looked at them, and
        of those that are due, the longest overdue first. No more of an owner than there are `places` for each, or are
        `left` of them: the others are deferred, for all couriers."""
        owners = [part for owner, free in left.items() for part in (owner, free)]
        asked = [part for one in waiting for part in (one.job_id, one.due)]
        values = [n, self._lease, token_hex(8), places, self._defer, LOOKED_AT, len(left), *owners, *asked]
        taken, deferred, more = await self._scripts.run(_TAKE, [self._keys.notices], values)
        return Taken(
            [_notice(row) for row in taken],
            [Deferred(*(part.decode() for part in row)) for row in deferred],
            bool(more),
        )

    async def keep_body(self, notice: Notice, body: bytes) -> bytes:
        """Make this the notice's body unless it has one; returns the one it has."""
        reply = await self._scripts.run(_KEEP_BODY, [self._keys.notice(notice.job_id)], [body])
        return bytes(reply)

    async def forget(self, notice: Notice) -> None:
        """It was delivered or given up."""
        await self._scripts.run(_FORGET, [self._keys.notice(notice.job_id)], [notice.job_id])

    async def put_back(self, notice: Notice, after: float, *, tried: bool) -> None:
        """Due again in `after` seconds; of no effect if somebody else has it by now."""
        values = [notice.job_id, notice.lease, after, int(tried)]
        await self._scripts.run(_PUT_BACK, [self._keys.notice(notice.job_id)], values)

    async def count_owed(self, owner: str) -> int:
        """How many of this owner's are not delivered yet."""
        return int(await self._redis.hget(self._keys.notices_owed, owner) or 0)

    async def backlog(self) -> int:
        """How many are owed to all."""
        return int(await self._redis.zcard(self._keys.notices))

    async def switch_off(self, owner: str, url: str) -> None:
        await self._redis.set(self._off(owner, url), 1, ex=OFF_FOR)

    async def is_off(self, owner: str, url: str) -> bool:
        return bool(await self._redis.exists(self._off(owner, url)))

    def _off(self, owner: str, url: str) -> str:
        digest = hashlib.sha256(f"{owner}\n{url}".encode()).hexdigest()  # neither has a line break
        return self._keys.webhook_off(digest)


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
