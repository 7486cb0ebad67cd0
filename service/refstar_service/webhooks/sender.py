"""One POST to a server that nobody here knows: to checked addresses, within a time, without redirects.

The answer's head is all that is read of it, and of that no more than a few kilobytes.
"""

import asyncio
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

import h11

from refstar_service.outgoing.connection import LONGEST_HEAD, Dialer, read_retry_after
from refstar_service.outgoing.endpoint import WEBHOOKS, Endpoint, Reach, Resolve, resolve_host


class DeliveryError(Exception):
    """No answer came back; the message says why."""


@dataclass(frozen=True)
class Answer:
    """`retry_after`: seconds that the other side asks for, if it does."""

    status: int
    retry_after: float | None


class Sender:
    """`timeout`: seconds for everything from resolving the name to the head of the answer."""

    def __init__(
        self,
        *,
        reach: Reach = WEBHOOKS,
        timeout: float = 20.0,
        resolve: Resolve = resolve_host,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._dialer = Dialer(reach, resolve=resolve, tls=tls)
        self._timeout = timeout

    async def post(self, to: Endpoint, headers: Mapping[str, str], body: bytes) -> Answer:
        """Raises EndpointError if the endpoint's addresses may not be called, DeliveryError without an answer."""
        try:
            async with asyncio.timeout(self._timeout):
                reader, writer = await self._dialer.connect(to)
                try:
                    return await _exchange(reader, writer, to, headers, body)
                finally:
                    writer.transport.abort()  # nothing of the answer's body is wanted
        except TimeoutError as error:
            raise DeliveryError(f"no answer within {self._timeout:g} s") from error
        except ssl.SSLCertVerificationError as error:
            raise DeliveryError(f"its certificate is not valid: {error.verify_message}") from error
        except (OSError, h11.RemoteProtocolError) as error:
            raise DeliveryError(f"{type(error).__name__}: {error}"[:200]) from error


async def _exchange(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    to: Endpoint,
    headers: Mapping[str, str],
    body: bytes,
) -> Answer:
    http = h11.Connection(h11.CLIENT, max_incomplete_event_size=LONGEST_HEAD)
    all_headers = {
        "Host": to.authority,
        **headers,
        "Content-Length": str(len(body)),
        "Connection": "close",
    }
    request = h11.Request(method="POST", target=to.target, headers=list(all_headers.items()))
    for part in (request, h11.Data(data=body), h11.EndOfMessage()):
        writer.write(http.send(part) or b"")
    await writer.drain()
    while True:
        event = http.next_event()
        if event is h11.NEED_DATA:
            http.receive_data(await reader.read(4096))
        elif isinstance(event, h11.Response):
            return Answer(event.status_code, read_retry_after(dict(event.headers).get(b"retry-after")))
        elif not isinstance(event, h11.InformationalResponse):
            raise DeliveryError("the connection ended without an answer")
