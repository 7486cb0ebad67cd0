"""One connection of a client, which may be slow, endless or broken, and none of that at the expense of others.

uvicorn's own protocol waits for ever for a request's head, however long that grows, and for a reader of an answer.
Bodies have their own time and size (`uploads.py`), since only their reader knows what may come.
"""

import asyncio
import logging
import secrets
from http import HTTPStatus
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import Problem

HEAD_WITHIN = 10.0  # seconds from the connection, or from the first byte of a further request
LONGEST_HEAD = 64 * 1024  # bytes, request line and all
STALLED_AFTER = 30.0  # seconds in which a reader takes none of an answer that waits for it

log = logging.getLogger(__name__)


class ClientConnection(HttpToolsProtocol):
    """For uvicorn.Config(http=...)."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._head_timer: asyncio.TimerHandle | None = None
        self._head_bytes = 0
        self._reader_timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._start_head_timer()

    def connection_lost(self, exc: Exception | None) -> None:
        self._stop_head_timer()
        super().connection_lost(exc)
        self._forget_reader()

    def data_received(self, data: bytes) -> None:
        if self._head_timer is None and (self.cycle is None or self.cycle.response_complete):
            self._start_head_timer()
        expected = self._head_timer
        super().data_received(data)
        if expected is not None and self._head_timer is expected:  # all of this was head, and more is to come
            self._head_bytes += len(data)
            if self._head_bytes > LONGEST_HEAD:
                detail = f"The request line and headers exceed {LONGEST_HEAD} bytes."
                self._refuse(Problem(ProblemType.HEAD_TOO_LARGE, detail, limit=LONGEST_HEAD))

    def on_message_begin(self) -> None:
        super().on_message_begin()
        if self._head_timer is None:  # it begins while the answer before it is still being made
            self._start_head_timer()

    def on_headers_complete(self) -> None:
        self._stop_head_timer()
        super().on_headers_complete()

    def send_400_response(self, msg: str) -> None:
        self._refuse(Problem(ProblemType.MALFORMED_REQUEST, "The request is not valid HTTP."))

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

    def _refuse(self, problem: Problem) -> None:
        self._stop_head_timer()
        response = problem.response(instance="", request_id=secrets.token_hex(8))
        headers = [*response.raw_headers, (b"connection", b"close"), (b"x-content-type-options", b"nosniff")]
        lines = [
            b"HTTP/1.1 %d %s" % (problem.type.status, HTTPStatus(problem.type.status).phrase.encode()),
            *(b"%s: %s" % header for header in headers),
        ]
        self.transport.write(b"\r\n".join([*lines, b"", bytes(response.body)]))
        self.transport.close()
