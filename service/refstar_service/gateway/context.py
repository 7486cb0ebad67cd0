"""What every route needs, in one value."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Annotated

from fastapi import Depends, Request

from refstar_service.access import KeyStore
from refstar_service.access.repeats import Repeats
from refstar_service.access.usage import Usage
from refstar_service.blobs.store import BlobStore
from refstar_service.engine.manifest import ModelManifest
from refstar_service.gateway.problems import Problem, ProblemType
from refstar_service.gateway.streams import Streams
from refstar_service.jobs import JobQueue
from refstar_service.metrics import GatewayMetrics
from refstar_service.people import PeopleStore
from refstar_service.settings import Settings
from refstar_service.webhooks.notices import Notices


@dataclass(frozen=True, eq=False)
class Gateway:
    """`stopping` is set when the process is told to end: waits then answer at once. `keys`: None in open mode."""

    settings: Settings
    queue: JobQueue
    blobs: BlobStore
    models: Mapping[str, ModelManifest]
    metrics: GatewayMetrics
    stopping: asyncio.Event
    upload_places: asyncio.Semaphore
    streams: Streams
    people: PeopleStore
    usage: Usage
    repeats: Repeats
    notices: Notices
    keys: KeyStore | None = None

    @asynccontextmanager
    async def upload_place(self) -> AsyncIterator[None]:
        """One of the places that bound the memory of uploads; refuses at once when there is none."""
        if self.upload_places.locked():
            raise Problem(
                ProblemType.TOO_MANY_UPLOADS,
                f"{self.settings.max_uploads_at_once} uploads are being read; try again in a moment.",
                headers={"Retry-After": "1"},
            )
        async with self.upload_places:
            yield


def _gateway(request: Request) -> Gateway:
    gateway: Gateway = request.app.state.gateway
    return gateway


GatewayDep = Annotated[Gateway, Depends(_gateway)]
