"""A server that receives webhooks, with answers as a test wants them, and the means to check what it got."""

import asyncio
import hashlib
import hmac
import json
from base64 import b64decode
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from typing import Any


@dataclass
class Received:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes

    def signed_by(self, secret: str) -> bool:
        """As the specification has a receiver check it, and not by way of the code that signs."""
        key = b64decode(secret.removeprefix("whsec_"))
        content = f"{self.headers['webhook-id']}.{self.headers['webhook-timestamp']}.{self.body.decode()}"
        digest = hmac.new(key, content.encode(), hashlib.sha256).digest()
        offered = [part.split(",", 1) for part in self.headers["webhook-signature"].split(" ")]
        return any(
            version == "v1" and hmac.compare_digest(b64decode(value), digest) for version, value in offered
        )

    @property
    def event(self) -> dict[str, Any]:
        event: dict[str, Any] = json.loads(self.body)
        return event


@dataclass
class Receiver:
    """`answers` are used up in turn, the last one again and again; "" never answers."""

    answers: list[str] = field(default_factory=lambda: ["HTTP/1.1 204 No Content\r\n\r\n"])
    received: list[Received] = field(default_factory=list)
    connections: int = 0
    open_now: int = 0
    most_open: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks?from=refstar"

    async def got(self, n: int, within: float = 5.0) -> list[Received]:
        async with asyncio.timeout(within):
            while len(self.received) < n:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        return self.received

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        self.open_now += 1
        self.most_open = max(self.most_open, self.open_now)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode()
            first, *lines = head.split("\r\n")
            headers = dict(_header(line) for line in lines if line)
            body = await reader.readexactly(int(headers["content-length"]))
            method, target, _ = first.split(" ")
            self.received.append(Received(method, target, headers, body))
            answer = self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]
            if not answer:
                await reader.read()
            writer.write(answer.encode())
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open_now -= 1
            writer.close()


def _header(line: str) -> tuple[str, str]:
    name, value = line.split(": ", 1)
    return name.lower(), value


def status(code: int, *headers: str) -> str:
    return "\r\n".join([f"HTTP/1.1 {code} As Asked", *headers, "Content-Length: 0", "", ""])


Listen = Callable[..., Awaitable[Receiver]]
