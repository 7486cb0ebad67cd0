"""uvicorn, made to end quickly: whoever waits is answered when it is told to stop, not when it gives up."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import uvicorn
from fastapi import FastAPI

from refstar_service.gateway.http.connection import BODY_GRACE, BODY_SLACK, ConnectionConfig
from refstar_service.gateway.http.context import Gateway
from refstar_service.settings import Settings


class GatewayServer(uvicorn.Server):
    """Serves one app, in whatever event loop `serve()` is awaited.

    `handle_signals=False` leaves SIGINT and SIGTERM to the caller, who then calls `stop()`. `ready` is set once
    it listens; if it cannot, `serve()` raises RuntimeError.
    """

    def __init__(self, app: FastAPI, settings: Settings, *, handle_signals: bool = True) -> None:
        gateway: Gateway = app.state.gateway
        config = ConnectionConfig(
            app,
            gateway.connections,
            most_body=settings.max_request_bytes + BODY_SLACK,
            body_within=settings.upload_timeout + BODY_GRACE,
            host=settings.host,
            port=settings.port,
            log_config=None,  # logging is set up by the command line
            access_log=False,  # the edge logs every request, with its id
            server_header=False,
            timeout_graceful_shutdown=round(settings.shutdown_grace),
            ws="none",
        )
        super().__init__(config)
        self.ready = asyncio.Event()
        self._handle_signals = handle_signals
        self._stopping = gateway.stopping
        self._loop: asyncio.AbstractEventLoop | None = None

    async def serve(self, sockets: list[socket.socket] | None = None) -> None:
        self._loop = asyncio.get_running_loop()
        try:
            await super().serve(sockets)
        except SystemExit as error:  # it has logged why; leaving the process is not its to decide here
            raise RuntimeError(
                f"cannot serve on {self.config.host}:{self.config.port}; choose another address (REFSTAR_HOST, "
                "REFSTAR_PORT, or --host, --port), or port 0 for one that is free"
            ) from error

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        self.ready.set()

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        if not self._handle_signals:
            yield
            return
        with super().capture_signals():
            yield

    def stop(self) -> None:
        """End: refuse new connections, answer those who wait, let the rest finish. Call it in the loop."""
        self._stopping.set()
        self.should_exit = True

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        super().handle_exit(sig, frame)
        if self._loop is not None:
            # A signal handler interrupts anything at all: leave the event to the loop, and wake it.
            self._loop.call_soon_threadsafe(self._stopping.set)

    @property
    def port(self) -> int:
        """The port it listens on, once ready; differs from the setting if that is 0."""
        port: int = self.servers[0].sockets[0].getsockname()[1]
        return port
