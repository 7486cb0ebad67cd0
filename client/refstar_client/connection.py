"""What both clients know of the service: its address, the key, and how a call becomes a request of httpx."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import httpx

from refstar_client.events import SILENCE
from refstar_client.flows import Call

DEFAULT_URL = "http://127.0.0.1:8000"
TIMEOUT = 30.0  # seconds of silence on a connection, beyond the wait that was asked for
SLACK = 15.0  # seconds that an answer may come after its wait


@dataclass(frozen=True)
class Connection:
    """``url``: where the service is, also below a path. ``key``: an API key, or "" for a service without keys."""

    url: str
    key: str
    timeout: float

    @classmethod
    def of(cls, url: str | None, key: str | None, timeout: float) -> Connection:
        """Defaults from REFSTAR_URL and REFSTAR_API_KEY. Raises ValueError for an address that cannot be one."""
        address = url or os.environ.get("REFSTAR_URL") or DEFAULT_URL
        parsed = httpx.URL(address)
        if parsed.scheme not in ("http", "https") or not parsed.host:
            raise ValueError(f"the address of the service begins with http:// or https://, not {address!r}")
        return cls(
            address.rstrip("/"), os.environ.get("REFSTAR_API_KEY", "") if key is None else key, timeout
        )

    def arguments(self, call: Call) -> dict[str, Any]:
        """For `request` of httpx's clients."""
        timeout = httpx.Timeout(self.timeout, read=self.timeout + (call.waits + SLACK if call.waits else 0))
        return {
            "method": call.method,
            "url": self.url + call.path,
            "headers": self.headers(call.headers),
            "params": dict(call.query) or None,
            "data": dict(call.fields) or None,
            "files": list(call.files) or None,
            "json": None if call.document is None else dict(call.document),
            "timeout": timeout,
            "follow_redirects": False,  # the key is for this address only
        }

    def stream_arguments(self, path: str, headers: Mapping[str, str]) -> dict[str, Any]:
        """For `stream` of httpx's clients."""
        return {
            "method": "GET",
            "url": self.url + path,
            "headers": self.headers(headers),
            "timeout": httpx.Timeout(self.timeout, read=SILENCE),
            "follow_redirects": False,
        }

    def headers(self, more: Mapping[str, str]) -> dict[str, str]:
        return dict(more) | ({"Authorization": f"Bearer {self.key}"} if self.key else {})
