"""What a key may ask for, and how much of it is left: 429, and the RateLimit headers of the IETF draft.

https://datatracker.ietf.org/doc/draft-ietf-httpapi-ratelimit-headers/
"""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

from fastapi import Request
from redis.exceptions import RedisError

from refstar_service.access import Limits
from refstar_service.access.usage import Policy, Standing
from refstar_service.gateway.http.context import Gateway
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError

_SETTINGS = {"requests": "REFSTAR_REQUESTS_PER_MINUTE", "restorations": "REFSTAR_RESTORATIONS_PER_DAY"}
MINUTE = 60
DAY = 86_400


def request_policy(limits: Limits) -> Policy | None:
    return Policy("requests", limits.requests_per_minute, MINUTE) if limits.requests_per_minute else None


def restoration_policy(limits: Limits) -> Policy | None:
    return Policy("restorations", limits.restorations_per_day, DAY) if limits.restorations_per_day else None


async def charge(request: Request, gateway: Gateway, owner: str, policy: Policy | None) -> None:
    """One unit of a policy, which the headers of the answer then show; raises ProblemError if none is left."""
    if policy is None:
        return
    taken = await gateway.usage.take(owner, [policy])
    headers = request.scope["state"].setdefault("headers", {})
    for standing in taken.standings:
        _append_item(headers, "RateLimit-Policy", f'"{policy.name}";q={policy.quota};w={policy.window}')
        _append_item(headers, "RateLimit", f'"{policy.name}";r={standing.remaining};t={standing.reset}')
    if taken.refused is not None:
        raise _report_excess(taken.refused)


@asynccontextmanager
async def charge_restoration(
    request: Request,
    gateway: Gateway,
    owner: str,
    limits: Limits,
    job_id: str,
    is_ours: Callable[[], Awaitable[bool]],
) -> AsyncIterator[None]:
    """Count one restoration of a key. If the body raises, nothing was queued by this request and nothing is counted for
    it; the job's place is given up only if it `is_ours`, and no other request's that goes on with the same id."""
    policy = restoration_policy(limits)
    await charge(request, gateway, owner, policy)
    try:
        await _reserve_unfinished(gateway, owner, limits, job_id)
        yield
    except BaseException:
        with suppress(RedisError):  # then Redis forgets by itself, later
            if policy is not None:
                await gateway.usage.give_back(owner, policy)
            if limits.unfinished and await is_ours():
                await gateway.usage.let_go(owner, job_id)
        raise


async def _reserve_unfinished(gateway: Gateway, owner: str, limits: Limits, job_id: str) -> None:
    # A job may wait for `job_ttl` and then run for as long.
    longest = 2.0 * gateway.settings.job_ttl
    if limits.unfinished and not await gateway.usage.hold(owner, job_id, limits.unfinished, longest):
        raise ProblemError(
            ProblemType.TOO_MANY_UNFINISHED,
            f"This key already has {limits.unfinished} restorations queued or running, which is its limit.",
            headers={"Retry-After": "5"},
            limit=limits.unfinished,
        )


def _append_item(headers: dict[str, str], name: str, item: str) -> None:
    headers[name] = f"{headers[name]}, {item}" if name in headers else item


def _report_excess(standing: Standing) -> ProblemError:
    policy = standing.policy
    what = "request" if policy.name == "requests" else "restoration"
    return ProblemError(
        ProblemType.QUOTA_EXCEEDED,
        f"This key is limited to {policy.quota} {what}{'' if policy.quota == 1 else 's'} in {policy.window} seconds. "
        f"Try again in {standing.reset} seconds.",
        headers={"Retry-After": str(standing.reset)},
        limit=policy.quota,
        setting=_SETTINGS[policy.name],
        **{"violated-policies": [policy.name]},
    )
