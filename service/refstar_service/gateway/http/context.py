"""What every route needs, in one value."""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request
from redis.asyncio import Redis

from refstar_service.access import KeyStore
from refstar_service.access.repeats import Repeats
from refstar_service.access.usage import Usage
from refstar_service.blobs.ledger import Ledger
from refstar_service.blobs.store import BlobStore
from refstar_service.engine.catalog import Catalog
from refstar_service.gateway.http.connections import Connections
from refstar_service.gateway.http.revocation import Revocations
from refstar_service.gateway.http.shares import Shares
from refstar_service.gateway.http.store_check import StoreCheck
from refstar_service.gateway.http.streams import Streams
from refstar_service.gateway.http.upload_slots import UploadSlots
from refstar_service.jobs import JobQueue
from refstar_service.metrics.gateway import GatewayMetrics
from refstar_service.people import PeopleStore
from refstar_service.restoration.rollout import Rollout
from refstar_service.settings import Settings
from refstar_service.webhooks.notices import Notices


@dataclass(frozen=True, eq=False)
class Gateway:
    """`stopping` is set when the process is told to end: waits then answer at once. `keys`: None in open mode."""

    settings: Settings
    redis: Redis
    queue: JobQueue
    blobs: BlobStore
    rollout: Rollout
    metrics: GatewayMetrics
    stopping: asyncio.Event
    upload_slots: UploadSlots
    streams: Streams
    waits: Shares
    connections: Connections
    revocations: Revocations
    people: PeopleStore
    usage: Usage
    repeats: Repeats
    notices: Notices
    ledger: Ledger
    store_check: StoreCheck
    keys: KeyStore | None = None

    @property
    def models(self) -> Catalog:
        return self.rollout.models

    def upload_slot(self, owner: str = "") -> AbstractAsyncContextManager[None]:
        """One of the slots that bound the memory of uploads; raises ProblemError when there is none for this owner."""
        return self.upload_slots.hold(owner)


async def _find_gateway(request: Request) -> Gateway:  # a plain function would be called in a thread
    gateway: Gateway = request.app.state.gateway
    return gateway


GatewayDep = Annotated[Gateway, Depends(_find_gateway)]
