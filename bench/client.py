"""An HTTP client that costs next to nothing, so that what is measured is the service and not the one who asks."""

import asyncio
import json
from dataclasses import dataclass
from typing import Any

BOUNDARY = b"bench-5f2d7c1e9a"
LONGEST_WAIT = 60


@dataclass(frozen=True)
class Answer:
    status: int
    body: bytes

    @property
    def job(self) -> dict[str, Any]:
        found: dict[str, Any] = json.loads(self.body)
        return found


class Connection:
    """One connection, kept alive; one request at a time."""

    def __init__(self, host: str, port: int) -> None:
        self.host, self.port = host, port
        self._streams: tuple[asyncio.StreamReader, asyncio.StreamWriter] | None = None

    async def get(self, path: str, headers: bytes = b"") -> Answer:
        return await self.ask(b"GET %s HTTP/1.1\r\nHost: %s\r\n%s\r\n" % (path.encode(), self._host, headers))

    async def post(self, path: str, body: bytes, headers: bytes = b"") -> Answer:
        """``body``: as `form` makes it."""
        head = b"POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n" % (
            path.encode(),
            self._host,
            len(body),
        )
        kind = b"Content-Type: multipart/form-data; boundary=%s\r\n" % BOUNDARY
        return await self.ask(head + kind + headers + b"\r\n" + body)

    async def ask(self, request: bytes) -> Answer:
        if self._streams is None:
            self._streams = await asyncio.open_connection(self.host, self.port, limit=2**20)
        reader, writer = self._streams
        writer.write(request)
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        status = int(head[9:12])
        if b"\r\ntransfer-encoding: chunked" in head:
            parts = []
            while size := int((await reader.readline()).split(b";")[0], 16):
                parts.append(await reader.readexactly(size))
                await reader.readline()
            await reader.readline()
            body = b"".join(parts)
        else:
            length = head.partition(b"\r\ncontent-length:")[2].partition(b"\r\n")[0]
            body = await reader.readexactly(int(length or 0))
        if b"\r\nconnection: close" in head:
            self.close()
        return Answer(status, body)

    def close(self) -> None:
        if self._streams is not None:
            self._streams[1].close()
            self._streams = None

    @property
    def _host(self) -> bytes:
        return b"%s:%d" % (self.host.encode(), self.port)


def form(fields: dict[str, str], files: list[tuple[str, bytes]]) -> bytes:
    """A multipart body; files are JPEG."""
    parts = [
        b'--%s\r\nContent-Disposition: form-data; name="%s"\r\n\r\n%s\r\n'
        % (BOUNDARY, name.encode(), value.encode())
        for name, value in fields.items()
    ]
    for name, data in files:
        kind = b'name="%s"; filename="a.jpg"\r\nContent-Type: image/jpeg' % name.encode()
        parts.append(b"--%s\r\nContent-Disposition: form-data; %s\r\n\r\n%s\r\n" % (BOUNDARY, kind, data))
    return b"".join(parts) + b"--%s--\r\n" % BOUNDARY


@dataclass(frozen=True)
class RestoredPicture:
    """A restoration as its client saw it: the job when it had ended, and the picture."""

    job: dict[str, Any]
    picture: bytes
    refusals: int  # answers that said: not now


async def restore(connection: Connection, body: bytes) -> RestoredPicture:
    """From the first byte sent to the picture in hand. Raises RuntimeError if it fails."""
    wait = b"Prefer: wait=%d\r\n" % LONGEST_WAIT
    refusals = 0
    while (answer := await connection.post("/v1/restorations", body, wait)).status in (429, 503):
        refusals += 1
        await asyncio.sleep(0.1)
    if answer.status not in (201, 202):
        raise RuntimeError(f"refused: {answer.body[:500]!r}")
    job = answer.job
    while job["status"] in ("queued", "running"):
        job = (await connection.get(job["links"]["self"], wait)).job
    if job["status"] != "succeeded":
        raise RuntimeError(f"failed: {job}")
    picture = await connection.get(job["links"]["image"])
    if picture.status != 200:
        raise RuntimeError(f"no picture: {picture.body[:500]!r}")
    return RestoredPicture(job, picture.body, refusals)
