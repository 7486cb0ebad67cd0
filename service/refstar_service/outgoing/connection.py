"""Connections to endpoints, each to the very addresses that were checked."""

import asyncio
import ssl
from collections.abc import Sequence
from email.utils import parsedate_to_datetime
from importlib import metadata
from time import time

from refstar_service.outgoing.endpoint import (
    WEBHOOKS,
    Address,
    Endpoint,
    EndpointError,
    Reach,
    Resolve,
    check_addresses,
    resolve_host,
)

USER_AGENT = f"RefSTAR-Serve/{metadata.version('refstar-service')}"
LONGEST_HEAD = 16 * 1024  # bytes of an answer before its body
MOST_ADDRESSES = 3  # that are tried; the rest of a name's addresses are as good or as bad

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


class Dialer:
    """``reach``: what may be called."""

    def __init__(
        self,
        reach: Reach = WEBHOOKS,
        *,
        resolve: Resolve = resolve_host,
        tls: ssl.SSLContext | None = None,
    ) -> None:
        self.reach = reach
        self._resolve = resolve
        self._tls = tls or ssl.create_default_context()

    async def connect(self, to: Endpoint) -> Streams:
        """Raises EndpointError if the endpoint's addresses may not be called, and OSError (also of TLS)."""
        # Once: what is checked here is what is connected to, whatever the name means a moment later.
        addresses = await self._resolve(to.host, to.port)
        check_addresses(addresses, self.reach, secure=to.secure)
        return await self._open(to, addresses[:MOST_ADDRESSES])

    async def _open(self, to: Endpoint, addresses: Sequence[Address]) -> Streams:
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
        raise failure or EndpointError("its host has no address")


def read_retry_after(value: bytes | None) -> float | None:
    """Seconds that the other side asks for in its `Retry-After`, if it does."""
    if value is None:
        return None
    text = value.decode("latin-1").strip()
    if text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time())
    except (ValueError, OverflowError):
        return None
