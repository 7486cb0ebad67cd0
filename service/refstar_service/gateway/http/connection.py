"""One connection of a client, which may be slow, endless or broken, and none of that at the expense of others.

uvicorn's own protocol waits for ever for a request's head, however long that grows, and for a reader of an answer.
A body has its own time and size where a form is read (`requests/form.py`), and is answered with what was wrong. Here,
every request is bounded up to its last byte, whether anybody reads it or not: head, body, what frames its chunks, and
trailers, which are refused.
"""

import asyncio
import logging
import secrets
from http import HTTPStatus
from typing import Any

import uvicorn
from starlette.types import ASGIApp
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from refstar_service.gateway.http.connections import Connections
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError

HEAD_WITHIN = 10.0  # seconds from the connection, or from the first byte of a further request
LONGEST_HEAD = 64 * 1024  # bytes, request line and all
STALLED_AFTER = 30.0  # seconds in which a reader takes none of an answer that waits for it
BODY_GRACE = 15.0  # seconds beyond the time for a body, in which whoever reads it says that it took too long
BODY_SLACK = 1024 * 1024  # bytes beyond the largest body, likewise
FRAMING_OF_A_BYTE = 8  # bytes that frame a chunk of a single one, and two to spare

MOST_AT_ONCE = 2048  # connections that wait to be accepted

log = logging.getLogger(__name__)


class ConnectionConfig(uvicorn.Config):
    """uvicorn's settings, and what bounds connections: how many there may be, and the body of a request, `most_body` in
    bytes and `body_within` in seconds."""

    def __init__(
        self,
        app: ASGIApp,
        connections: Connections,
        *,
        most_body: int,
        body_within: float,
        **options: Any,
    ) -> None:
        # What is accepted in one turn of the loop is closed again in the next.
        super().__init__(app, http=ClientConnection, backlog=min(MOST_AT_ONCE, connections.most), **options)
        self.connections = connections
        self.most_body = most_body
        self.body_within = body_within


class ClientConnection(HttpToolsProtocol):
    """For ConnectionConfig."""

    config: ConnectionConfig

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0  # as they came, of a head that is not complete
        self._head_length = 0  # of the request line and the headers that were read
        self._body_timer: asyncio.TimerHandle | None = None
        self._body_begun = False  # the head is complete, the body is not
        self._body_bytes = 0
        self._framing_bytes = 0
        self._chunk_begun = False  # its size is known, none of its bytes is there; the last one has none
        self._refusal: ProblemError | None = None
        self._reader_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        if not self.config.connections.admit(self):
            detail = f"All {self.config.connections.most} connections of this gateway are busy. Try again in a moment."
            self._refuse(ProblemError(ProblemType.TOO_MANY_CONNECTIONS, detail, headers={"Retry-After": "5"}))
            return
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        self._stop_body_timer()
        self.config.connections.forget(self)
        super().connection_lost(exc)
        self._forget_reader()

    def data_received(self, data: bytes) -> None:
        if self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start_head_timer()
        expected, body_before = self._head_timer, self._body_bytes
        in_body, in_chunk_line = self._body_begun, self._chunk_begun
        super().data_received(data)
        if self.transport.is_closing():
            return
        if expected is not None and self._head_timer is expected:  # all of this was head, and more is to come
            self._head_bytes += len(data)
            if self._head_bytes > LONGEST_HEAD:
                self._refuse(_report_long_head())
        elif in_body and self._body_begun:
            self._framing_bytes += len(data) - (self._body_bytes - body_before)
            if in_chunk_line and self._chunk_begun and len(data) > 1:
                # A chunk's first byte would have ended this, and the last chunk is followed by an empty line.
                self._refuse(_report_trailers())
            else:
                self._check_body()

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_length = 0
        if self._head_timer is None:  # it begins while the answer before it is still being made
            self._start_head_timer()

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count_head(len(url))

    def on_header(self, name: bytes, value: bytes) -> None:
        if self._body_begun:
            raise self._stop_parsing(_report_trailers())
        self._count_head(len(name) + len(value) + 4)
        super().on_header(name, value)

    def on_headers_complete(self) -> None:
        hosts = sum(name == b"host" for name, _ in self.headers)
        if hosts > 1 or (hosts == 0 and self.parser.get_http_version() == "1.1"):
            # RFC 9112, 3.2: what stands before this gateway may have read the other one.
            detail = f"The request has {hosts} Host headers; it must have exactly one."
            raise self._stop_parsing(ProblemError(ProblemType.MALFORMED_REQUEST, detail))
        self._stop_head_timer()
        self._body_begun, self._chunk_begun = True, False
        self._body_bytes = self._framing_bytes = 0
        self.config.connections.mark_busy(self)
        super().on_headers_complete()

    def on_chunk_header(self) -> None:
        """Called by the parser, as those of uvicorn are: the size of the next chunk was read."""
        self._chunk_begun = True

    def on_body(self, body: bytes) -> None:
        self._chunk_begun = False
        self._body_bytes += len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        self._body_begun = self._chunk_begun = False
        self._stop_body_timer()
        super().on_message_complete()

    def on_response_complete(self) -> None:
        super().on_response_complete()
        if self.cycle.response_complete:  # none waits behind it
            self.config.connections.mark_idle(self)

    def make_room(self) -> None:
        """Close: it is idle, and another connection needs its place."""
        log.debug("closed an idle connection, since there are as many as may be")
        self.transport.close()

    def send_400_response(self, msg: str) -> None:
        problem = self._refusal or ProblemError(
            ProblemType.MALFORMED_REQUEST, "The request is not valid HTTP."
        )
        self._refuse(problem)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_reader()

    def resume_writing(self) -> None:
        self._forget_reader()
        super().resume_writing()

    def _start_head_timer(self) -> None:
        self._head_bytes = 0
        self._head_timer = self.loop.call_later(
            HEAD_WITHIN, self._cut, "did not send a complete request head in time"
        )

    def _count_head(self, more: int) -> None:
        # Of what was read, since a long head that comes in one piece is never seen to be incomplete.
        self._head_length += more
        if self._head_length > LONGEST_HEAD:
            raise self._stop_parsing(_report_long_head())

    def _check_body(self) -> None:
        if self._body_timer is None and not self.pipeline:  # a body behind another request is not read yet
            within = self.config.body_within
            self._body_timer = self.loop.call_later(
                within, self._cut, "did not send a complete request in time"
            )
        if self._framing_bytes > LONGEST_HEAD + FRAMING_OF_A_BYTE * self._body_bytes:
            detail = "The chunks of the body are framed by far more bytes than they have."
            self._refuse(ProblemError(ProblemType.MALFORMED_REQUEST, detail))
        elif self._body_bytes > self.config.most_body and not self.cycle.response_started:
            # Whoever is answered already has a moment to read why (see the edge), and after that is disconnected.
            limit = self.config.most_body
            self._refuse(
                ProblemError(ProblemType.REQUEST_TOO_LARGE, f"The limit is {limit} bytes.", limit=limit)
            )

    def _stop_parsing(self, problem: ProblemError) -> ProblemError:
        """For the parser's callbacks: what they raise ends the parser, and `send_400_response` then answers this."""
        self._refusal = problem
        return problem

    def _stop_body_timer(self) -> None:
        if self._body_timer is not None:
            self._body_timer.cancel()
            self._body_timer = None

    def _stop_head_timer(self) -> None:
        if self._head_timer is not None:
            self._head_timer.cancel()
            self._head_timer = None

    def _watch_reader(self) -> None:
        # How much is left and not how long it takes: a slow line is no offense, a standing one holds memory.
        self._left = self.transport.get_write_buffer_size()
        self._reader_timer = self.loop.call_later(STALLED_AFTER, self._check_reader)

    def _check_reader(self) -> None:
        if self.transport.get_write_buffer_size() >= self._left:
            self._cut("stopped reading the response")
        else:
            self._watch_reader()

    def _forget_reader(self) -> None:
        if self._reader_timer is not None:
            self._reader_timer.cancel()
            self._reader_timer = None

    def _cut(self, why: str) -> None:
        log.info("closed a connection: the client %s", why)
        self.transport.abort()

    def _refuse(self, problem: ProblemError) -> None:
        self._stop_head_timer()
        self._stop_body_timer()
        answering = self.cycle is not None and not self.cycle.response_complete
        if answering and (self.cycle.response_started or self.pipeline or not self._body_begun):
            # The answer to a request before this one is due, or is out in part: this one would be taken for it.
            self._cut(f"sent what cannot be read: {problem.detail}")
            return
        response = problem.response(instance="", request_id=secrets.token_hex(8))
        headers = [*response.raw_headers, (b"connection", b"close"), (b"x-content-type-options", b"nosniff")]
        lines = [
            b"HTTP/1.1 %d %s" % (problem.type.status, HTTPStatus(problem.type.status).phrase.encode()),
            *(b"%s: %s" % header for header in headers),
        ]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(response.body)]))
        self.transport.close()


def _report_long_head() -> ProblemError:
    detail = f"The request line and headers exceed {LONGEST_HEAD} bytes."
    return ProblemError(ProblemType.HEAD_TOO_LARGE, detail, limit=LONGEST_HEAD)


def _report_trailers() -> ProblemError:
    return ProblemError(
        ProblemType.MALFORMED_REQUEST, "The body is followed by trailers, which are not accepted."
    )
