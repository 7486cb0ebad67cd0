"""Files from URLs and to URLs: tried again while the trouble may pass, within one time limit.

What is read is bounded while it is read, whatever a server announces. No message holds more of a URL than its host: the
rest may be a secret, as the query of a presigned URL is.
"""

import asyncio
import os
import random
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from enum import Enum
from typing import TypeVar
from urllib.parse import urldefrag, urljoin

import h11

from refstar_service.outgoing.connection import LONGEST_HEAD, USER_AGENT, Dialer, Streams, read_retry_after
from refstar_service.outgoing.endpoint import (
    Endpoint,
    EndpointError,
    UnresolvedError,
    parse_endpoint,
)

PAUSES = (0.5, 1.5, 4.0)  # seconds between attempts
JITTER = 0.2  # of a pause, up or down: what failed together need not come back together
CHUNK = 256 * 1024  # bytes
REDIRECTS = frozenset((301, 302, 303, 307, 308))
#: Answers that another attempt may change, beside those of 500 and above.
PASSING = frozenset((408, 425, 429))

T = TypeVar("T")


class Trouble(Enum):
    REFUSED = "refused"  # it may not be called
    UNREACHABLE = "unreachable"  # no answer, or only ones that a later attempt may change
    REJECTED = "rejected"  # an answer that will stay what it is
    TOO_LATE = "too late"
    TOO_LARGE = "too large"
    NO_ROOM = "no room"  # for it beside the other files of the job


class TransferError(Exception):
    """``detail`` completes "The server of <host> ...", or is about the URL: "it must begin with https://"."""

    def __init__(self, trouble: Trouble, detail: str) -> None:
        super().__init__(detail)
        self.trouble, self.detail = trouble, detail


class _PassingError(Exception):
    """``retry_after``: seconds that the server asks for."""

    def __init__(self, detail: str, retry_after: float = 0.0) -> None:
        super().__init__(detail)
        self.detail, self.retry_after = detail, retry_after


@dataclass
class Room:
    """Bytes that may still come, of all files of a job together."""

    left: int


@dataclass(frozen=True)
class _Head:
    status: int
    location: str | None
    encoding: str
    length: int | None
    retry_after: float


class Carrier:
    """``redirects``: most that are followed on the way to a file. ``pauses``: seconds between attempts."""

    def __init__(self, dialer: Dialer, *, redirects: int, pauses: Sequence[float] = PAUSES) -> None:
        self._dialer, self._redirects, self._pauses = dialer, redirects, pauses

    async def fetch(self, url: str, most: int, room: Room, deadline: float) -> bytes:
        """The file at a URL, of at most ``most`` bytes, taken from the ``room``; by the ``deadline`` of the loop's
        clock. Raises TransferError."""
        return await self._persist(deadline, lambda: self._fetch(url, most, room))

    async def put(self, url: str, data: bytes, media_type: str, deadline: float) -> None:
        """Store the file at a URL by PUT. Raises TransferError. The request has no header that a signature of S3 does
        not allow: what is not signed may be there, but for those that begin with `x-amz-`."""
        await self._persist(deadline, lambda: self._put(url, data, media_type))

    async def _persist(self, deadline: float, act: Callable[[], Awaitable[T]]) -> T:
        clock, last = asyncio.get_running_loop().time, ""
        try:
            async with asyncio.timeout_at(deadline):
                for pause in (*self._pauses, None):
                    try:
                        return await act()
                    except _PassingError as error:
                        last, asked = error.detail, error.retry_after
                    wait = max(asked, (pause or 0.0) * random.uniform(1 - JITTER, 1 + JITTER))
                    if pause is None or clock() + wait >= deadline:
                        break
                    await asyncio.sleep(wait)
        except TimeoutError:
            before = f" (an attempt before: it {last})" if last else ""
            raise TransferError(Trouble.TOO_LATE, f"took too long{before}") from None
        except EndpointError as refused:
            raise TransferError(Trouble.REFUSED, str(refused)) from None
        raise TransferError(Trouble.UNREACHABLE, last)

    async def _fetch(self, url: str, most: int, room: Room) -> bytes:
        for _ in range(self._redirects + 1):
            there = parse_endpoint(urldefrag(url).url, self._dialer.reach)
            async with self._connected(there) as streams:
                answer = _Answer(streams, "GET", there, _headers(there) | {"Accept": "image/*"})
                head = await answer.read_head()
                if head.status not in REDIRECTS or head.location is None:
                    return await _read_file(answer, head, most, room)
            url = urljoin(url, head.location)
        raise TransferError(Trouble.REJECTED, f"redirects more than {self._redirects} times")

    async def _put(self, url: str, data: bytes, media_type: str) -> None:
        there = parse_endpoint(urldefrag(url).url, self._dialer.reach)
        headers = _headers(there) | {"Content-Type": media_type, "Content-Length": str(len(data))}
        async with self._connected(there) as streams:
            answer = _Answer(streams, "PUT", there, headers)
            sending = asyncio.create_task(answer.send(data))
            try:
                # Beside the sending: who refuses need not have read it all, and often closes then.
                head = await answer.read_head()
            finally:
                sending.cancel()
                with suppress(asyncio.CancelledError, OSError):
                    await sending
        _check_status(head)

    @asynccontextmanager
    async def _connected(self, there: Endpoint) -> AsyncIterator[Streams]:
        try:
            streams = await self._dialer.connect(there)
            try:
                yield streams
            finally:
                streams[1].transport.abort()
        except UnresolvedError:
            raise _PassingError("has a name that cannot be resolved") from None
        except ssl.SSLCertVerificationError as error:
            detail = f"has a certificate that is not valid: {error.verify_message}"
            raise TransferError(Trouble.UNREACHABLE, detail) from None
        except h11.RemoteProtocolError:
            raise _PassingError("gave an answer that is broken or incomplete") from None
        except OSError as error:
            # Not the error's own words, which name an address: what a name means inside is nobody's business outside.
            known = error.errno and not isinstance(error, ssl.SSLError)
            why = os.strerror(error.errno) if known and error.errno else type(error).__name__
            raise _PassingError(f"cannot be reached ({why})") from None


class _Answer:
    """One request on a connection of its own, and what comes back. A body is sent by `send`."""

    def __init__(self, streams: Streams, method: str, there: Endpoint, headers: dict[str, str]) -> None:
        self._reader, self._writer = streams
        self._http = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD)
        request = h11.Request(method=method, target=there.target, headers=list(headers.items()))
        self._write(request)
        if method == "GET":
            self._write(h11.EndOfMessage())

    async def send(self, data: bytes) -> None:
        for start in range(0, len(data), CHUNK):
            self._write(h11.Data(data=data[start : start + CHUNK]))
            await self._writer.drain()
        self._write(h11.EndOfMessage())

    async def read_head(self) -> _Head:
        while True:
            event = await self._next_event()
            if isinstance(event, h11.Response):
                break
        headers = dict(event.headers)
        location, length = headers.get(b"location"), headers.get(b"content-length", b"")
        return _Head(
            event.status_code,
            None if location is None else location.decode("latin-1"),
            headers.get(b"content-encoding", b"").decode("latin-1").strip().lower(),
            int(length) if length.isdigit() else None,
            read_retry_after(headers.get(b"retry-after")) or 0.0,
        )

    async def read_body(self) -> bytes | None:
        """The next bytes of it, None at its end."""
        event = await self._next_event()
        return bytes(event.data) if isinstance(event, h11.Data) else None

    async def _next_event(self) -> h11.Event:
        while True:
            event = self._http.next_event()
            if event is h11.NEED_DATA:
                self._http.receive_data(await self._reader.read(CHUNK))
            elif isinstance(event, h11.Event):
                return event
            else:
                raise h11.RemoteProtocolError("the connection ended without an answer")

    def _write(self, event: h11.Event) -> None:
        self._writer.write(self._http.send(event) or b"")


def _headers(there: Endpoint) -> dict[str, str]:
    return {
        "Host": there.authority,
        "User-Agent": USER_AGENT,
        "Accept-Encoding": "identity",
        "Connection": "close",
    }


async def _read_file(answer: _Answer, head: _Head, most: int, room: Room) -> bytes:
    _check_status(head)
    if head.status != 200:
        raise TransferError(Trouble.REJECTED, f"answered {head.status}, which brings no file")
    if head.encoding not in ("", "identity"):
        detail = f"sends it with Content-Encoding {head.encoding[:20]!r}, though asked to send it as it is"
        raise TransferError(Trouble.REJECTED, detail)
    if head.length is not None and head.length > most:
        raise TransferError(Trouble.TOO_LARGE, f"announces a file of {head.length} bytes")
    data = bytearray()
    try:
        while (chunk := await answer.read_body()) is not None:
            if len(data) + len(chunk) > most:
                raise TransferError(Trouble.TOO_LARGE, f"sends more than {most} bytes")
            if len(chunk) > room.left:
                raise TransferError(Trouble.NO_ROOM, "sends more bytes than all files of a request may have")
            room.left -= len(chunk)
            data += chunk
    except BaseException:
        room.left += len(data)
        raise
    return bytes(data)


def _check_status(head: _Head) -> None:
    """Raises _PassingError or TransferError unless it is a success."""
    if 200 <= head.status < 300:
        return
    detail = f"answered {head.status}"
    if head.status >= 500 or head.status in PASSING:
        raise _PassingError(detail, head.retry_after)
    raise TransferError(Trouble.REJECTED, detail)
