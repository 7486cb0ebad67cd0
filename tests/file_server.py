"""A server that gives out files and takes them in, with answers as a test wants them."""

import asyncio
import ssl
from collections.abc import AsyncIterator, Iterator
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from threading import Thread


@dataclass(frozen=True)
class Asked:
    method: str
    target: str
    headers: dict[str, str]
    body: bytes


@dataclass
class FileServer:
    """``answers`` by path, used up in turn, the last one again and again: bytes as they go over the wire; b"" never
    comes. What is put under a path without any is kept in ``files``."""

    answers: dict[str, list[bytes]] = field(default_factory=dict)
    files: dict[str, bytes] = field(default_factory=dict)
    asked: list[Asked] = field(default_factory=list)
    port: int = 0
    open_now: int = 0
    pause: float = 0.0  # seconds before each answer

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.open_now += 1
        try:
            first, *lines = (await reader.readuntil(b"\r\n\r\n")).decode().strip().split("\r\n")
            method, target, _ = first.split(" ")
            headers = {name.lower(): value for name, value in (line.split(": ", 1) for line in lines)}
            path = target.partition("?")[0]
            if path.endswith("/refused-early"):
                self.asked.append(Asked(method, target, headers, b""))
                writer.write(answer(403))
                await writer.drain()
                return
            body = await reader.readexactly(int(headers.get("content-length", "0")))
            self.asked.append(Asked(method, target, headers, body))
            await asyncio.sleep(self.pause)
            reply = self._answer(method, path, body)
            if not reply:
                await reader.read()
            writer.write(reply)
            await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            self.open_now -= 1
            writer.close()

    def _answer(self, method: str, path: str, body: bytes) -> bytes:
        if given := self.answers.get(path):
            return given.pop(0) if len(given) > 1 else given[0]
        if method == "PUT":
            self.files[path] = body
            return answer(200)
        return file(self.files[path]) if path in self.files else answer(404)


def answer(status: int, *headers: str, body: bytes = b"") -> bytes:
    head = [f"HTTP/1.1 {status} As Asked", *headers, f"Content-Length: {len(body)}", "", ""]
    return "\r\n".join(head).encode() + body


def file(data: bytes, *headers: str) -> bytes:
    return answer(200, "Content-Type: application/octet-stream", *headers, body=data)


def chunked(data: bytes, size: int = 10_000) -> bytes:
    """The same without a length."""
    parts = [data[start : start + size] for start in range(0, len(data), size)]
    body = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts) + b"0\r\n\r\n"
    return b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body


def redirect(to: str, status: int = 302) -> bytes:
    return answer(status, f"Location: {to}")


@contextmanager
def serve_files_aside(**files: bytes) -> Iterator[FileServer]:
    """The same as `serve_files`, for tests that wait themselves: in a thread of its own."""
    loop, opened, done = asyncio.new_event_loop(), Future[FileServer](), asyncio.Event()

    async def serve() -> None:
        async with serve_files(**files) as server:
            opened.set_result(server)
            await done.wait()

    thread = Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    try:
        yield opened.result(10)
    finally:
        loop.call_soon_threadsafe(done.set)
        thread.join(10)
        loop.close()


@asynccontextmanager
async def serve_files(tls: ssl.SSLContext | None = None, **files: bytes) -> AsyncIterator[FileServer]:
    """``files``: by name, under `/name`."""
    served = FileServer(files={f"/{name}": data for name, data in files.items()})
    server = await asyncio.start_server(served.serve, "127.0.0.1", 0, ssl=tls)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        async with asyncio.timeout(5):
            while served.open_now:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
