"""The outermost layer of every request: its id, its log line, its metrics, the name it is for, safe headers, HEAD, and
the last resort.

Pure ASGI, since the wrappers that frameworks offer hide the moment at which a client leaves.
"""

import asyncio
import logging
import re
import secrets
import time
from collections.abc import Callable, Iterable
from urllib.parse import quote

from opentelemetry import trace
from starlette.datastructures import Headers
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from refstar_service import logs, tracing
from refstar_service.gateway.http.hosts import HostNames
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.metrics.gateway import GatewayMetrics

CLIENT_LEFT = 499  # nginx's number: there is no answer, so there is no status
LINGER = 2.0  # seconds
SAFE_HEADERS = {
    "Cache-Control": "no-store",
    "Content-Security-Policy": "default-src 'none'; frame-ancestors 'none'; sandbox",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
}
_SAFE = [(name.lower().encode("latin-1"), value.encode("latin-1")) for name, value in SAFE_HEADERS.items()]
_REQUEST_ID = re.compile(r"[A-Za-z0-9._-]{8,64}")
PROBES = ("/healthz", "/readyz", "/metrics")
_METHODS = ("GET", "POST", "DELETE", "HEAD", "OPTIONS", "PUT", "PATCH")

log = logging.getLogger(__name__)


class Edge:
    def __init__(self, app: ASGIApp, metrics: GatewayMetrics, names: HostNames) -> None:
        self.app = app
        self.metrics = metrics
        self.names = names

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self.app(scope, receive, send)
            return
        exchange = _Exchange(scope, receive, send)
        with tracing.continue_trace(Headers(scope=scope)), logs.bind_fields(request_id=exchange.request_id):
            trace.get_current_span().set_attribute("refstar.request_id", exchange.request_id)
            # HEAD is answered as GET is, up to the body: no route need know of it.
            asked = {**scope, "method": "GET"} if exchange.head_only else scope
            await self._run_app(asked, exchange)

    async def _run_app(self, scope: Scope, exchange: "_Exchange") -> None:
        began = time.perf_counter()
        try:
            self.names.check(exchange.host, scope["path"])
            await self.app(scope, exchange.receive, exchange.send)
        except ClientDisconnect:
            pass
        except ProblemError as refusal:
            await self._answer(refusal, scope, exchange)
        except Exception:
            log.exception("unexpected error in request %s", exchange.request_id)
            if exchange.status is not None:
                raise  # half an answer is out: the server must cut the connection
            problem = ProblemError(
                ProblemType.INTERNAL_ERROR, "The error was logged. Quote the request_id when you report it."
            )
            await self._answer(problem, scope, exchange)
        finally:
            release: Callable[[], None] | None = scope["state"].pop("release", None)
            if release is not None:
                release()
            self._record(scope, exchange, time.perf_counter() - began)

    async def _answer(self, problem: ProblemError, scope: Scope, exchange: "_Exchange") -> None:
        scope["state"]["problem"] = problem.type
        response = problem.response(instance=scope["path"], request_id=exchange.request_id)
        await response(scope, exchange.receive, exchange.send)

    def _record(self, scope: Scope, exchange: "_Exchange", duration: float) -> None:
        status = exchange.status or CLIENT_LEFT
        method, route, path = exchange.method, _name_route(scope), quote(scope["path"])
        label = method if method in _METHODS else "other"
        self.metrics.http_requests.labels(label, route, status).inc()
        self.metrics.http_request_duration.labels(label, route).observe(duration)
        self.metrics.upload_bytes.inc(exchange.received)
        problem: ProblemType | None = scope["state"].get("problem")
        if route == "/v1/restorations" and method == "POST" and problem is not None:
            self.metrics.jobs_rejected.labels(_classify_rejection(problem)).inc()
        log.log(
            logging.DEBUG if route in PROBES else logging.INFO,
            "%s %s %s %.3f s%s",
            method,
            path,
            status,
            duration,
            f" {problem.slug}" if problem else "",
            extra={
                "method": method,
                "path": path,
                "route": route,
                "status": status,
                "duration": round(duration, 6),
                "problem": problem.slug if problem else None,
            },
        )


class _Exchange:
    """One request and its answer, watched as they pass."""

    def __init__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        offered = headers.get("x-request-id", "")
        self.request_id = offered if _REQUEST_ID.fullmatch(offered) else secrets.token_hex(8)
        scope.setdefault("state", {})["request_id"] = self.request_id
        self.extra: dict[str, str] = scope["state"].setdefault("headers", {})
        self.host = headers.get("host", "")
        self.method: str = scope["method"]
        self.head_only = self.method == "HEAD"
        self.status: int | None = None
        self.received = 0
        self._receive = receive
        self._send = send
        self._body_pending = "transfer-encoding" in headers or headers.get("content-length", "0") != "0"

    async def receive(self) -> Message:
        if self.head_only and self.status is not None:
            return {"type": "http.disconnect"}  # what would have followed the head may stop
        message = await self._receive()
        if message["type"] == "http.disconnect":
            self._body_pending = False
        else:
            self.received += len(message.get("body", b""))
            self._body_pending = self._body_pending and message.get("more_body", False)
        return message

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            await self._send({**message, "headers": self._add_headers(message.get("headers", ()))})
            if self.head_only:
                await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        elif self.head_only:
            pass
        elif self._body_pending and not message.get("more_body", False):
            await self._send({**message, "more_body": True})
            await self._linger()
            await self._send({"type": "http.response.body", "body": b"", "more_body": False})
        else:
            await self._send(message)

    def _add_headers(self, given: Iterable[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
        """Ours replace those of the application, except that it may say otherwise than `SAFE_HEADERS`."""
        own = {"X-Request-ID": self.request_id, **self.extra}
        if self._body_pending:
            own["Connection"] = "close"
        replaced = {name.lower().encode("latin-1"): value.encode("latin-1") for name, value in own.items()}
        # As bytes and in one go: a header looked up by name is another walk over all of them.
        headers = [header for header in given if header[0] not in replaced]
        present = {name for name, _ in headers}
        return [*headers, *replaced.items(), *(header for header in _SAFE if header[0] not in present)]

    async def _linger(self) -> None:
        # Closing while the client still sends resets the connection, and the reset destroys the answer on its
        # way. So the rest of the body is thrown away for a moment, in which the client can read why.
        try:
            async with asyncio.timeout(LINGER):
                while self._body_pending:
                    await self.receive()
                    await asyncio.sleep(0)  # or a body that is always there would outrun the timeout
        except TimeoutError:
            pass


def _name_route(scope: Scope) -> str:
    """The template of the route, never the path of a stranger: these become labels."""
    template: str | None = getattr(scope.get("route"), "path", None)
    return template or (scope["path"] if "endpoint" in scope else "unmatched")


def _classify_rejection(problem: ProblemType) -> str:
    if problem in (ProblemType.QUEUE_FULL, ProblemType.STORAGE_FULL):
        return problem.name.lower()
    if problem.status >= 500:
        return "unavailable"
    return "too_large" if problem.status == 413 else "invalid"
