"""How much a key has asked for, counted in Redis, so that all gateways count together.

Windows are fixed and begin with the first unit that is taken, so a client that was refused knows the moment at which
it has all of its quota again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from redis.asyncio import Redis

from refstar_service.redis.keys import Keys
from refstar_service.redis.runner import ScriptRunner
from refstar_service.redis.script import load_script

_TAKE_UNITS = load_script("access.take_units")
_RETURN_UNIT = load_script("access.return_unit")
_HOLD_PLACE = load_script("access.hold_place")


@dataclass(frozen=True)
class Policy:
    """`quota` units in every `window` seconds."""

    name: str
    quota: int
    window: int


@dataclass(frozen=True)
class Standing:
    """What is left of a policy: `remaining` units, until it starts anew in `reset` seconds."""

    policy: Policy
    remaining: int
    reset: int


@dataclass(frozen=True)
class Charge:
    """`refused`: the policy that had no unit left; then none was taken of any."""

    standings: tuple[Standing, ...]
    refused: Standing | None


class Usage:
    """Raises the errors of redis-py as they come: without Redis there is nothing to count with, and no queue."""

    def __init__(self, redis: Redis, prefix: str = "refstar") -> None:
        self._redis = redis
        self._keys = Keys(prefix)
        self._scripts = ScriptRunner(redis)

    async def take(self, owner: str, policies: Sequence[Policy]) -> Charge:
        """One unit of each policy, or of none if one is used up."""
        keys = [self._keys.usage(owner, policy.name) for policy in policies]
        values = [number for policy in policies for number in (policy.quota, policy.window * 1000)]
        refused, *rows = await self._scripts.run(_TAKE_UNITS, keys, values)
        standings = tuple(
            Standing(policy, max(0, policy.quota - int(used)), math.ceil(int(milliseconds) / 1000))
            for policy, (used, milliseconds) in zip(policies, rows, strict=True)
        )
        return Charge(standings, standings[int(refused) - 1] if refused else None)

    async def give_back(self, owner: str, policy: Policy) -> None:
        """Return a unit that was taken for nothing."""
        await self._scripts.run(_RETURN_UNIT, [self._keys.usage(owner, policy.name)])

    async def hold(self, owner: str, job_id: str, limit: int, longest: float) -> bool:
        """Count a job as unfinished unless `limit` are; those that have ended are looked up and forgotten first.

        `longest`: seconds after which the job must have ended.
        """
        keys = [self._keys.unfinished(owner)]
        return bool(await self._scripts.run(_HOLD_PLACE, keys, [job_id, limit, longest]))

    async def let_go(self, owner: str, job_id: str) -> None:
        """The job was not queued after all."""
        await self._redis.zrem(self._keys.unfinished(owner), job_id)
