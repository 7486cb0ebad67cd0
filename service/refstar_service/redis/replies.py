"""Replies of Redis as text, whether or not the client decodes them."""

from __future__ import annotations

from typing import Any


def read_text(reply: Any) -> str:
    return reply.decode() if isinstance(reply, bytes) else str(reply)


def read_fields(reply: Any) -> dict[str, str]:
    """The reply to HGETALL: flat out of a script, a mapping out of the client."""
    if isinstance(reply, dict):
        return {read_text(name): read_text(value) for name, value in reply.items()}
    return {read_text(reply[i]): read_text(reply[i + 1]) for i in range(0, len(reply), 2)}
