"""How much a key has asked for, counted in Redis, so that all gateways count together.

    {refstar}:usage:<key>:<policy>  string  units taken in the running window; expires at the window's end
    {refstar}:unfinished:<key>      zset    ids of jobs that wait or run, as far as is known -> when they must be over

Windows are fixed and begin with the first unit that is taken, so a client that was refused knows the moment at which
it has all of its quota again.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import resources

from redis.asyncio import Redis


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
class Taken:
    """`refused`: the policy that had no unit left; then none was taken of any."""

    standings: tuple[Standing, ...]
    refused: Standing | None


class Usage:
    """Raises the errors of redis-py as they come: without Redis there is nothing to count with, and no queue."""

    def __init__(self, redis: Redis, prefix: str = "refstar") -> None:
        self._prefix = f"{{{prefix}}}"
        self._take = redis.register_script(_source("take"))
        self._give_back = redis.register_script(_source("give_back"))
        self._hold = redis.register_script(_source("hold"))
        self._redis = redis

    async def take(self, owner: str, policies: Sequence[Policy]) -> Taken:
        """One unit of each policy, or of none if one is used up."""
        keys = [self._counter(owner, policy) for policy in policies]
        values = [number for policy in policies for number in (policy.quota, policy.window * 1000)]
        refused, *rows = await self._take(keys, values)
        standings = tuple(
            Standing(policy, max(0, policy.quota - int(used)), math.ceil(int(milliseconds) / 1000))
            for policy, (used, milliseconds) in zip(policies, rows, strict=True)
        )
        return Taken(standings, standings[int(refused) - 1] if refused else None)

    async def give_back(self, owner: str, policy: Policy) -> None:
        """Return a unit that was taken for nothing."""
        await self._give_back([self._counter(owner, policy)])

    async def hold(self, owner: str, job_id: str, limit: int, longest: float) -> bool:
        """Count a job as unfinished unless `limit` are; those that have ended are looked up and forgotten first.

        `longest`: seconds after which the job must have ended.
        """
        keys = [self._unfinished(owner)]
        return bool(await self._hold(keys, [job_id, limit, longest, f"{self._prefix}:job:"]))

    async def let_go(self, owner: str, job_id: str) -> None:
        """The job was not queued after all."""
        await self._redis.zrem(self._unfinished(owner), job_id)

    def _counter(self, owner: str, policy: Policy) -> str:
        return f"{self._prefix}:usage:{owner}:{policy.name}"

    def _unfinished(self, owner: str) -> str:
        return f"{self._prefix}:unfinished:{owner}"


def _source(name: str) -> str:
    return resources.files(__package__).joinpath("scripts", f"{name}.lua").read_text(encoding="utf-8")
