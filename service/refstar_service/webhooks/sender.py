"""One POST to a server that nobody here knows: to checked addresses, within a time, without redirects.

The answer's head is all that is read of it, and of that no more than a few kilobytes.
"""

import asyncio
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from email.utils import parsedate_to_datetime
from time import time

import h11

from refstar_service.webhooks.endpoint import (
    Address,
    Endpoint,
    Network,
    Resolve,
    check_addresses,
    resolve_host,
)

LONGEST_HEAD = 16 * 1024  # bytes
MOST_ADDRESSES = 3  # that are tried; the rest of a name's addresses are as good or as bad


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
        allowed: Sequence[Network] = (),
        timeout: float = 20.0,
        resolve: Resolve = resolve_host,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self._allowed = allowed
        self._timeout = timeout
        self._resolve = resolve
        self._tls = tls or ssl.create_default_context()

    async def post(self, to: Endpoint, headers: Mapping[str, str], body: bytes) -> Answer:
        """Raises EndpointError if the endpoint's addresses may not be called, DeliveryError without an answer."""
        try:
            async with asyncio.timeout(self._timeout):
                # Once: what is checked here is what is connected to, whatever the name means a moment later.
                addresses = await self._resolve(to.host, to.port)
                check_addresses(addresses, self._allowed, secure=to.secure)
                reader, writer = await self._connect(to, addresses[:MOST_ADDRESSES])
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

    async def _connect(
        self, to: Endpoint, addresses: Sequence[Address]
    ) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
        failure: OSError | None = None
        for address in addresses:
            try:
                return await asyncio.open_connection(
                    str(address),
                    to.port,
                    limit=LONGEST_HEAD,
                    ssl=self._tls if to.secure else None,
                    server_hostname=to.host if to.secure else None,
                )
            except OSError as error:
                failure = error
        raise failure or DeliveryError("its host has no address")


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
            return Answer(event.status_code, _retry_after(dict(event.headers).get(b"retry-after")))
        elif not isinstance(event, h11.InformationalResponse):
            raise DeliveryError("the connection ended without an answer")


def _retry_after(value: bytes | None) -> float | None:
    if value is None:
        return None
    text = value.decode("latin-1").strip()
    if text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except (ValueError, OverflowError):
        return None
