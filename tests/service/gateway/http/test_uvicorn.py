"""What the gateway overrides in uvicorn, which documents none of it. If a newer version passes, raise the bound."""

import inspect

import pytest
import uvicorn
from refstar_service.gateway.http.connection import ClientConnection, ConnectionConfig
from refstar_service.gateway.http.connections import Connections
from refstar_service.gateway.http.server import GatewayServer
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol
from uvicorn.server import ServerState

OVERRIDDEN = {
    (ClientConnection, HttpToolsProtocol): {
        "connection_made",
        "connection_lost",
        "data_received",
        "on_message_begin",
        "on_url",
        "on_header",
        "on_headers_complete",
        "on_body",
        "on_message_complete",
        "on_response_complete",
        "send_400_response",
        "pause_writing",
        "resume_writing",
    },
    (GatewayServer, uvicorn.Server): {"serve", "startup", "capture_signals", "handle_exit"},
}
#: What is read of a connection that has said nothing yet.
READ = {"loop", "transport", "cycle", "parser", "headers", "pipeline", "config"}


@pytest.mark.parametrize(("own", "theirs"), OVERRIDDEN)
def test_uvicorn_has_every_method_that_is_overridden(own: type, theirs: type) -> None:
    shared = {name for name in vars(own) if not name.startswith("_") and hasattr(theirs, name)}
    assert shared == OVERRIDDEN[own, theirs]
    for name in shared:
        parameters = [list(inspect.signature(getattr(one, name)).parameters) for one in (own, theirs)]
        assert parameters[0] == parameters[1], name


async def test_uvicorn_keeps_what_a_connection_reads() -> None:
    async def app(scope: object, receive: object, send: object) -> None: ...

    config = ConnectionConfig(app, Connections(1), most_body=1, body_within=1.0)
    connection = ClientConnection(config, ServerState(), {})
    assert vars(connection).keys() >= READ
    assert connection.cycle is None  # nobody has asked yet
    assert not uvicorn.Server(config).should_exit
