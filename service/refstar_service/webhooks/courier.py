"""The courier: takes notices that are due, signs and delivers them, and tries again by the schedule.

Any number of couriers may run. Delivery is at least once, with the same `webhook-id` and body every time, so that a
receiver can tell what it has seen. Order is not promised.
"""

import asyncio
import json
import logging
import random
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from time import perf_counter, time
from typing import Any

from redis.exceptions import RedisError

from refstar_service.jobs import Job, JobQueue
from refstar_service.jobs.moments import write_seconds
from refstar_service.metrics.courier import CourierMetrics
from refstar_service.outgoing.endpoint import WEBHOOKS, EndpointError, Reach, parse_endpoint
from refstar_service.webhooks import signing
from refstar_service.webhooks.notices import Notice, Notices
from refstar_service.webhooks.places import Places
from refstar_service.webhooks.sender import Answer, DeliveryError, Sender

#: Seconds from one attempt to the next, as Standard Webhooks recommends: ten attempts in three days.
SCHEDULE = (5.0, 300.0, 1800.0, 7200.0, 18000.0, 36000.0, 50400.0, 72000.0, 86400.0)
JITTER = 0.1  # of the pause, up or down: what failed together need not come back together
AT_ONCE = 32
AT_ONCE_OF_ONE_OWNER = 8  # whose servers may all be slow
LOOK_EVERY = 0.5  # seconds
RETRY_REDIS_AFTER = 1.0  # seconds
GONE = 410

Secrets = Callable[[str], Awaitable[Sequence[str] | None]]
"""The webhook secrets of an owner, the newest first; None if there is no such owner any more."""

log = logging.getLogger(__name__)


class Courier:
    """Delivers until it is stopped. `grace`: seconds that deliveries under way get then; what they do not finish is
    due again at once. `looked` is called whenever Redis has told what is due."""

    def __init__(
        self,
        notices: Notices,
        queue: JobQueue,
        sender: Sender,
        secrets: Secrets,
        metrics: CourierMetrics,
        *,
        reach: Reach = WEBHOOKS,
        user_agent: str = "refstar",
        schedule: Sequence[float] = SCHEDULE,
        grace: float = 5.0,
        looked: Callable[[], None] = lambda: None,
    ) -> None:
        self._notices = notices
        self._queue = queue
        self._sender = sender
        self._secrets = secrets
        self._metrics = metrics
        self._reach = reach
        self._user_agent = user_agent
        self._schedule = schedule
        self._grace = grace
        self._looked = looked
        self._under_way: set[asyncio.Task[None]] = set()
        self._places = Places(AT_ONCE_OF_ONE_OWNER)
        self._awaited = asyncio.Event()  # a place is free that somebody waits for

    async def run(self, stopping: asyncio.Event) -> None:
        stop = asyncio.create_task(stopping.wait())
        try:
            while not stopping.is_set():
                self._awaited.clear()
                pause = await self._look()
                if pause > 0:
                    awaited = asyncio.create_task(self._awaited.wait())
                    await asyncio.wait((stop, awaited), timeout=pause, return_when=asyncio.FIRST_COMPLETED)
                    awaited.cancel()
            if self._under_way:
                await asyncio.wait(self._under_way, timeout=self._grace)
        finally:
            stop.cancel()
            for task in self._under_way:
                task.cancel()
            await asyncio.gather(*self._under_way, return_exceptions=True)

    async def _look(self) -> float:
        """Take what is due and start on it; returns how long to wait before the next look."""
        free = AT_ONCE - len(self._under_way)
        if free <= 0:
            await asyncio.wait(self._under_way, timeout=LOOK_EVERY, return_when=asyncio.FIRST_COMPLETED)
            return 0.0
        places, waiting = self._places, self._places.next(free)
        try:
            found = await self._notices.take(free, places=places.each, left=places.left, waiting=waiting)
        except RedisError as error:
            log.warning("redis: %s; webhooks wait", error)
            places.remember(waiting)
            return RETRY_REDIS_AFTER
        self._looked()
        places.remember(found.deferred)
        for notice in found.notices:
            places.take(notice.owner)
            task = asyncio.create_task(self._handle(notice))
            self._under_way.add(task)
            task.add_done_callback(partial(self._ended, notice.owner))
        again = found.more or places.wanted or len(found.notices) == free
        return 0.0 if again else LOOK_EVERY

    def _ended(self, owner: str, task: asyncio.Task[None]) -> None:
        self._under_way.discard(task)
        self._places.free(owner)
        if self._places.wanted:
            self._awaited.set()

    async def _handle(self, notice: Notice) -> None:
        try:
            await self._deliver(notice)
        except asyncio.CancelledError:
            await self._notices.put_back(notice, 0.0, tried=False)
            raise
        except RedisError as error:
            # Its lease ends, and then somebody tries again.
            log.warning("redis: %s; the webhook of %s comes again", error, notice.job_id)
        except Exception:
            log.exception("the webhook of %s", notice.job_id)

    async def _deliver(self, notice: Notice) -> None:
        secrets = await self._secrets(notice.owner)
        if not secrets:
            # The key was revoked: nobody is left who could check a signature.
            await self._end(notice, "abandoned", "its key is gone")
            return
        if await self._notices.is_off(notice.owner, notice.url):
            await self._end(notice, "gone", "its endpoint answered 410 before")
            return
        body = notice.body or await self._notices.keep_body(notice, await self._body(notice))
        began = perf_counter()
        answer, failure = await self._attempt(notice, secrets, body)
        self._metrics.delivery_duration.observe(perf_counter() - began)
        if answer is not None and 200 <= answer.status < 300:
            await self._end(notice, "delivered", str(answer.status))
        elif answer is not None and answer.status == GONE:
            await self._notices.switch_off(notice.owner, notice.url)
            await self._end(notice, "gone", "410")
        elif notice.attempts >= len(self._schedule):
            await self._end(notice, "given_up", failure)
        else:
            self._count("failed", notice, failure)
            await self._notices.put_back(notice, self._pause(notice, answer), tried=True)

    async def _attempt(
        self, notice: Notice, secrets: Sequence[str], body: bytes
    ) -> tuple[Answer | None, str]:
        headers = {
            "User-Agent": self._user_agent,
            "Content-Type": "application/json",
            **signing.headers(secrets, f"msg_{notice.job_id}", int(time()), body),
        }
        try:
            answer = await self._sender.post(parse_endpoint(notice.url, self._reach), headers, body)
        except EndpointError as refused:
            return None, f"not allowed: {refused}"
        except DeliveryError as failure:
            return None, str(failure)
        return answer, f"status {answer.status}"

    def _pause(self, notice: Notice, answer: Answer | None) -> float:
        pause = self._schedule[notice.attempts] * random.uniform(1 - JITTER, 1 + JITTER)
        if answer is not None and answer.retry_after is not None:
            return max(pause, min(answer.retry_after, self._schedule[-1]))
        return pause

    async def _end(self, notice: Notice, outcome: str, why: str) -> None:
        self._count(outcome, notice, why)
        await self._notices.forget(notice)

    def _count(self, outcome: str, notice: Notice, why: str) -> None:
        self._metrics.deliveries.labels(outcome).inc()
        level = logging.INFO if outcome == "delivered" else logging.WARNING
        # Not the URL: what is behind the host may be a secret of the receiver's.
        log.log(level, "webhook of %s, attempt %d: %s (%s)", notice.job_id, notice.attempts + 1, outcome, why)

    async def _body(self, notice: Notice) -> bytes:
        return json.dumps(event(notice, await self._queue.get(notice.job_id)), separators=(",", ":")).encode()


def event(notice: Notice, job: Job | None) -> dict[str, Any]:
    """What is told: how the job ended, and where to look. Without the job, deleted or expired by now, no more."""
    path = f"/v1/restorations/{notice.job_id}"
    data: dict[str, Any] = {"id": notice.job_id, "status": notice.status, "links": {"self": path}}
    if job is not None and job.status.value == notice.status:
        result = job.result
        data |= {
            "model": job.request.model,
            "created_at": write_seconds(job.created_at),
            "finished_at": write_seconds(notice.ended_at),
            "expires_at": write_seconds(job.expires_at),
            "attempts": job.attempts,
            "request_id": job.request.request_id,
            "error": _error(job),
            "links": {
                "self": path,
                "image": f"{path}/image" if result else None,
                "selection": f"{path}/selection" if result and result.selection else None,
            },
        }
    return {"type": f"restoration.{notice.status}", "timestamp": write_seconds(notice.ended_at), "data": data}


def _error(job: Job) -> dict[str, str] | None:
    if job.failure is None:
        return None
    return {"type": f"/problems/{job.failure.code}", "detail": job.failure.detail}
