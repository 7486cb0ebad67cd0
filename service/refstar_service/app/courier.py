"""The courier of webhooks, put together from settings."""

from collections.abc import Callable, Sequence

from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from refstar_service.access.key import webhook_secret_bytes
from refstar_service.app.access_policy import key_store
from refstar_service.jobs import JobQueue
from refstar_service.metrics.courier import CourierMetrics
from refstar_service.outgoing.connection import USER_AGENT
from refstar_service.outgoing.reach import webhook_reach
from refstar_service.settings import Settings
from refstar_service.webhooks.courier import Courier
from refstar_service.webhooks.notices import Notices
from refstar_service.webhooks.sender import Sender


def build_courier(
    settings: Settings,
    redis: Redis,
    queue: JobQueue,
    registry: CollectorRegistry,
    looked: Callable[[], None] = lambda: None,
) -> Courier | None:
    """The courier of these settings; None if there is nothing to sign with. Raises ValueError for a bad secret.

    `looked` is called whenever Redis has told it what is due.
    """
    keys = key_store(settings, redis)
    own = settings.webhook_secret.split()
    for secret in own:
        webhook_secret_bytes(secret)
    if keys is None and not own:
        return None

    async def secrets(owner: str) -> Sequence[str] | None:
        if keys is None or not owner:
            return own
        key = await keys.get(owner)
        return key.webhook_secrets if key else None

    reach = webhook_reach(settings)
    return Courier(
        # What a live courier still tries must not come due for another.
        Notices(redis, lease=settings.webhook_timeout + 40, defer=settings.webhook_timeout),
        queue,
        Sender(reach=reach, timeout=settings.webhook_timeout),
        secrets,
        CourierMetrics.on(registry),
        reach=reach,
        user_agent=USER_AGENT,
        looked=looked,
    )
