"""One delivery, to real servers: only to the addresses that were checked, and no longer than it may take."""

import asyncio
import ssl
import time
from ipaddress import ip_address
from pathlib import Path

import pytest
from refstar_service.outgoing.endpoint import (
    Address,
    Endpoint,
    EndpointError,
    Reach,
    parse_endpoint,
    parse_networks,
)
from refstar_service.webhooks.sender import DeliveryError, Sender
from webhook_receiver import Listen, Receiver, status

HERE = Reach(parse_networks("127.0.0.0/8"), (range(1, 65_536),))
TLS = Path(__file__).parent / "tls"


def _to(receiver: Receiver) -> Endpoint:
    return parse_endpoint(receiver.url, HERE)


async def test_what_arrives_is_what_was_sent(listen: Listen) -> None:
    receiver = await listen(status(200))
    answer = await Sender(reach=HERE).post(_to(receiver), {"webhook-id": "msg_1"}, b'{"a":1}')
    (got,) = receiver.received
    assert (answer.status, answer.retry_after) == (200, None)
    assert (got.method, got.target, got.body) == ("POST", "/hooks?from=refstar", b'{"a":1}')
    assert got.headers["host"] == f"127.0.0.1:{receiver.port}"
    assert got.headers["webhook-id"] == "msg_1"


async def test_a_name_is_resolved_once_and_its_checked_address_is_called(listen: Listen) -> None:
    receiver = await listen()
    asked: list[str] = []

    async def rebinding(host: str, port: int) -> list[Address]:
        asked.append(host)
        # The second time, it would be a place inside.
        return [ip_address("127.0.0.1" if len(asked) == 1 else "10.0.0.1")]

    there = Endpoint(False, "hooks.example", receiver.port, "/")
    assert (await Sender(reach=HERE, resolve=rebinding).post(there, {}, b"")).status == 204
    assert asked == ["hooks.example"]
    assert receiver.received[0].headers["host"] == f"hooks.example:{receiver.port}"


async def test_a_name_that_means_a_place_inside_is_not_called(listen: Listen) -> None:
    receiver = await listen()

    async def inside(host: str, port: int) -> list[Address]:
        return [ip_address("93.184.215.14"), ip_address("127.0.0.1")]

    with pytest.raises(EndpointError, match="not a public address"):
        await Sender(resolve=inside).post(Endpoint(True, "hooks.example", receiver.port, "/"), {}, b"")
    assert receiver.connections == 0


@pytest.mark.parametrize("code", [301, 302, 303, 307, 308])
async def test_a_redirect_is_an_answer_and_is_not_followed(listen: Listen, code: int) -> None:
    elsewhere = await listen()
    receiver = await listen(status(code, f"Location: {elsewhere.url}"))
    assert (await Sender(reach=HERE).post(_to(receiver), {}, b"")).status == code
    assert elsewhere.connections == 0


async def test_who_never_answers_is_given_up(listen: Listen) -> None:
    receiver = await listen("")
    began = time.monotonic()
    with pytest.raises(DeliveryError, match=r"within 0\.2 s"):
        await Sender(reach=HERE, timeout=0.2).post(_to(receiver), {}, b"")
    assert time.monotonic() - began < 5


async def test_who_answers_a_byte_at_a_time_is_given_up() -> None:
    left = asyncio.Event()

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while True:
                writer.write(b"H")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            writer.close()
            left.set()

    async with await asyncio.start_server(trickle, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(DeliveryError):
            await Sender(reach=HERE, timeout=0.3).post(
                parse_endpoint(f"http://127.0.0.1:{port}/", HERE), {}, b""
            )
        await left.wait()


@pytest.mark.parametrize(
    "answer",
    [
        "SSH-2.0-OpenSSH_9.9\r\n\r\n",
        "HTTP/1.1 200 OK\r\n" + "X-Long: " + "x" * 100_000 + "\r\n\r\n",
        "HTTP/1.1 20",
    ],
)
async def test_what_is_no_answer_is_no_delivery(listen: Listen, answer: str) -> None:
    receiver = await listen(answer)
    with pytest.raises(DeliveryError):
        await Sender(reach=HERE, timeout=2).post(_to(receiver), {}, b"")


async def test_a_preliminary_answer_is_not_the_answer(listen: Listen) -> None:
    receiver = await listen("HTTP/1.1 100 Continue\r\n\r\n" + status(503, "Retry-After: 120"))
    answer = await Sender(reach=HERE).post(_to(receiver), {}, b"")
    assert (answer.status, answer.retry_after) == (503, 120.0)


async def test_nobody_listens() -> None:
    with pytest.raises(DeliveryError):
        await Sender(reach=HERE, timeout=2).post(parse_endpoint("http://127.0.0.1:9/", HERE), {}, b"")


def _server_tls() -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.pem")
    return context


async def _here(host: str, port: int) -> list[Address]:
    return [ip_address("127.0.0.1")]


async def test_the_certificate_must_be_of_the_name_in_the_url(listen: Listen) -> None:
    receiver = await listen(tls=_server_tls())
    trusting = ssl.create_default_context(cafile=TLS / "ca.pem")
    sender = Sender(reach=HERE, resolve=_here, tls=trusting)
    assert (await sender.post(Endpoint(True, "hooks.example", receiver.port, "/"), {}, b"")).status == 204
    with pytest.raises(DeliveryError, match="certificate"):
        await sender.post(Endpoint(True, "other.example", receiver.port, "/"), {}, b"")
    with pytest.raises(DeliveryError, match="certificate"):  # signed by nobody whom this machine trusts
        await Sender(reach=HERE, resolve=_here).post(
            Endpoint(True, "hooks.example", receiver.port, "/"), {}, b""
        )
    assert len(receiver.received) == 1
