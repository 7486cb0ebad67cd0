"""The worker's own small HTTP server: ``/metrics``, and ``/healthz`` and ``/readyz`` for the container's probes."""

import time
from collections.abc import Callable, Iterable
from threading import Thread
from typing import Any
from wsgiref.simple_server import WSGIRequestHandler, make_server

from prometheus_client import CollectorRegistry, make_wsgi_app
from prometheus_client.exposition import ThreadingWSGIServer

#: Without a turn of the worker's loop for so long (seconds), the process is taken for hung. Redis may be away
#: for longer: the loop turns all the same.
ALIVE_WITHIN = 60.0


#: Without word from Redis for so long (seconds), the worker is not ready: it announces itself every three.
READY_WITHIN = 12.0


class Pulse:
    """When the worker's event loop last turned, and when Redis last heard of it; written by the loop, read by the
    server's thread."""

    def __init__(self) -> None:
        self.last = time.monotonic()
        self.announced: float | None = None  # not before its models are warm
        self.ending = False

    def beat(self) -> None:
        self.last = time.monotonic()

    def announce(self) -> None:
        """Redis knows now that this worker takes jobs."""
        self.announced = time.monotonic()

    @property
    def obstacle(self) -> str | None:
        """Why no new job is taken, or None."""
        if self.ending:
            return "ending"
        if self.announced is None:
            return "loading models"
        if time.monotonic() - self.announced > READY_WITHIN:
            return "Redis does not answer"
        return None

    @property
    def alive(self) -> bool:
        return time.monotonic() - self.last < ALIVE_WITHIN


class _Quiet(WSGIRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  the base class's name
        """Probes and scrapes are not worth a line each."""


def serve(host: str, port: int, registry: CollectorRegistry, pulse: Pulse) -> tuple[int, Callable[[], None]]:
    """Serve in a thread of its own; returns the port (0 takes a free one) and what stops it. Raises OSError."""
    metrics = make_wsgi_app(registry)

    def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
        path = environ.get("PATH_INFO", "")
        if path == "/metrics":
            answer: Iterable[bytes] = metrics(environ, start_response)
            return answer
        if path == "/healthz":
            status, body = ("200 OK", b"alive\n") if pulse.alive else ("503 Service Unavailable", b"hung\n")
        elif path == "/readyz":
            obstacle = pulse.obstacle
            status = "200 OK" if obstacle is None else "503 Service Unavailable"
            body = f"{obstacle or 'ready'}\n".encode()
        else:
            status, body = "404 Not Found", b"/healthz, /readyz or /metrics\n"
        start_response(status, [("Content-Type", "text/plain"), ("Content-Length", str(len(body)))])
        return [body]

    # A thread a request: one client that never finishes its own must not keep the liveness probe waiting.
    server = make_server(host, port, app, server_class=ThreadingWSGIServer, handler_class=_Quiet)
    Thread(target=server.serve_forever, name="worker-health", daemon=True).start()

    def stop() -> None:
        server.shutdown()
        server.server_close()

    return int(server.server_port), stop
