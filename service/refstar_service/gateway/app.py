"""The gateway as an ASGI application. It talks to the queue and the blob store and never to a model."""

import asyncio
from importlib import metadata

from fastapi import FastAPI
from prometheus_client import CollectorRegistry
from redis.asyncio import Redis

from refstar_service import tracing
from refstar_service.access import KeyStore
from refstar_service.access.repeats import Repeats
from refstar_service.access.usage import Usage
from refstar_service.blobs.ledger import Ledger
from refstar_service.blobs.store import BlobStore
from refstar_service.engine.catalog import Catalog
from refstar_service.gateway.http.connections import Connections, allow_connections
from refstar_service.gateway.http.context import Gateway
from refstar_service.gateway.http.cors import allow_origins
from refstar_service.gateway.http.description import DescribedApp
from refstar_service.gateway.http.edge import PROBES, Edge
from refstar_service.gateway.http.handlers import install_handlers
from refstar_service.gateway.http.hosts import HostNames
from refstar_service.gateway.http.revocation import Revocations
from refstar_service.gateway.http.shares import Shares
from refstar_service.gateway.http.store_check import StoreCheck
from refstar_service.gateway.http.streams import Streams
from refstar_service.gateway.http.upload_slots import UploadSlots
from refstar_service.gateway.requests.options import FORMS
from refstar_service.gateway.routes import (
    events,
    health,
    page,
    people,
    problem_pages,
    restorations,
    results,
)
from refstar_service.gateway.routes import models as model_routes
from refstar_service.jobs import JobQueue
from refstar_service.metrics.gateway import GatewayMetrics
from refstar_service.metrics.registry import new_registry
from refstar_service.people import PeopleStore
from refstar_service.restoration.rollout import Rollout
from refstar_service.settings import Settings
from refstar_service.webhooks.notices import Notices

DESCRIPTION = """
Restores degraded faces in photographs from other photographs of the same person.

Send the photograph, with any references you have, to `POST /v1/restorations`. The response describes a restoration
that runs in the background. Wait for it with `Prefer: wait=30`, or poll it at the interval in `Retry-After`; then
download the picture from `links.image` before `expires_at`. Every error is an RFC 9457 problem, and its `type` is an
address that explains it.

Restoration can invent detail. Do not use results for identification or as evidence.
"""


def create_app(
    settings: Settings,
    *,
    queue: JobQueue,
    blobs: BlobStore,
    models: Catalog,
    redis: Redis,
    keys: KeyStore | None = None,
    registry: CollectorRegistry | None = None,
    stopping: asyncio.Event | None = None,
) -> FastAPI:
    """An app that serves these models through this queue; it opens and closes nothing itself.

    `redis`: for what gateways count and remember together; the queue's. `keys`: who may ask; None is open mode.
    `registry`: share it to show a worker's metrics at the same `/metrics`. `stopping`: set it to end waits at
    once and to answer `/readyz` with 503 (GatewayServer does, when it is told to stop).
    """
    registry = registry or new_registry()
    connections = Connections(allow_connections(settings.max_connections))
    # What lasts long takes half of them at the most: the rest is for those who ask and go.
    lasting = connections.most // 4
    metrics = GatewayMetrics.on(registry)
    app = DescribedApp(
        FORMS,
        guarded=keys is not None,
        title="RefSTAR Serve",
        version=metadata.version("refstar-service"),
        description=DESCRIPTION,
        license_info={"name": "Apache-2.0", "identifier": "Apache-2.0"},
        docs_url=None,
        redoc_url=None,
        redirect_slashes=False,
        # Its metrics and log records would be ours a second time.
        telemetry={
            "tracer_provider": tracing.provider(),  # None: no spans, unless somebody else records some
            "metrics": False,
            "logs": False,
            "operation_spans": False,
            "exclude": lambda scope: scope.get("path") in PROBES,
        },
    )
    app.state.registry = registry
    app.state.gateway = Gateway(
        settings=settings,
        redis=redis,
        queue=queue,
        blobs=blobs,
        rollout=Rollout.of(models, settings),
        metrics=metrics,
        stopping=stopping or asyncio.Event(),
        upload_slots=UploadSlots(settings.max_uploads_at_once),
        streams=Streams(queue, min(settings.max_event_streams, lasting)),
        waits=Shares(min(settings.max_waits, lasting)),
        connections=connections,
        revocations=Revocations(keys),
        people=PeopleStore(redis),
        usage=Usage(redis),
        repeats=Repeats(redis),
        notices=Notices(redis),
        ledger=Ledger(redis),
        store_check=StoreCheck(blobs),
        keys=keys,
    )
    install_handlers(app)
    allow_origins(app, settings.listed_cors_origins)
    app.add_middleware(Edge, metrics=metrics, names=HostNames.of(settings))
    for router in (restorations, results, events, people, model_routes, problem_pages, health, page):
        app.router.routes += (
            router.router.routes
        )  # not include_router, which would make every route once more
    return app
