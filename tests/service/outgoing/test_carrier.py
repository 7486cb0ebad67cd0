"""Files from URLs and to URLs, by real servers: only from where it may be, no more than may be, and no secret told."""

import asyncio
import ssl
import time
from collections.abc import Awaitable
from ipaddress import ip_address
from pathlib import Path

import pytest
from file_server import FileServer, answer, chunked, file, redirect, serve_files
from refstar_service.outgoing.carrier import Carrier, Room, TransferError, Trouble
from refstar_service.outgoing.connection import Dialer
from refstar_service.outgoing.endpoint import Address, Reach, parse_networks

HERE = Reach(parse_networks("127.0.0.0/8"), (range(1, 65_536),), "REFSTAR_URL")
PUBLIC = Reach(ports=(range(1, 65_536),), settings="REFSTAR_URL")
TLS = Path(__file__).parents[1] / "webhooks" / "tls"
DATA = bytes(range(256)) * 400
SECRET = "?X-Amz-Signature=5ec2e7"


def carrier(reach: Reach = HERE, redirects: int = 3) -> Carrier:
    return Carrier(Dialer(reach), redirects=redirects, pauses=(0.01, 0.01, 0.01))


async def fetched(
    url: str,
    by: Carrier | None = None,
    *,
    most: int = 1_000_000,
    room: Room | None = None,
    within: float = 5.0,
) -> bytes:
    deadline = asyncio.get_running_loop().time() + within
    return await (by or carrier()).fetch(url, most, room or Room(10_000_000), deadline)


async def put(url: str, data: bytes = DATA, within: float = 5.0) -> None:
    await carrier().put(url, data, "image/png", asyncio.get_running_loop().time() + within)


async def trouble_of(act: Awaitable[object]) -> tuple[Trouble, str]:
    with pytest.raises(TransferError) as caught:
        await act
    assert "5ec2e7" not in str(caught.value)
    assert "127.0.0.1" not in str(caught.value)
    return caught.value.trouble, caught.value.detail


async def test_a_file_comes_as_it_is_and_the_fragment_stays_here() -> None:
    async with serve_files(face=DATA) as server:
        assert await fetched(server.url(f"/face{SECRET}#part")) == DATA
        (asked,) = server.asked
    assert (asked.method, asked.target) == ("GET", f"/face{SECRET}")
    assert asked.headers["accept-encoding"] == "identity"
    assert asked.headers["host"] == f"127.0.0.1:{server.port}"
    assert not {"authorization", "cookie", "referer"} & asked.headers.keys()


async def test_a_redirect_is_followed_also_a_relative_one() -> None:
    async with serve_files(face=DATA) as server, serve_files() as other:
        other.answers["/a"] = [redirect(server.url("/b"), 307)]
        server.answers["/b"] = [redirect("face?x=1", 301)]
        assert await fetched(other.url("/a")) == DATA
        assert [asked.target for asked in server.asked] == ["/b", "/face?x=1"]


async def test_no_more_redirects_are_followed_than_the_setting_says() -> None:
    async with serve_files(face=DATA) as server:
        server.answers["/around"] = [redirect("/around")]
        trouble = await trouble_of(fetched(server.url("/around"), carrier(redirects=2)))
        assert trouble == (Trouble.REJECTED, "redirects more than 2 times")
        assert len(server.asked) == 3


@pytest.mark.parametrize(
    "to",
    [
        "https://169.254.169.254/latest/meta-data/",
        "https://[::ffff:10.0.0.1]/",
        "http://10.0.0.1/",
        "file:///etc/passwd",
        "gopher://127.0.0.1/",
        "https://user:password@files.example/",
        "https://localhost/",
    ],
)
async def test_a_redirect_to_where_the_url_may_not_lead_is_refused(to: str) -> None:
    async with serve_files() as server:
        server.answers["/a"] = [redirect(to)]
        only_server = Reach(parse_networks("127.0.0.1/32"), HERE.ports, "REFSTAR_URL")
        if "localhost" in to:
            only_server = Reach(parse_networks("127.0.0.1/32"), (range(server.port, server.port + 1),))
        found, _ = await trouble_of(fetched(server.url(f"/a{SECRET}"), carrier(only_server)))
        assert found is Trouble.REFUSED
        assert len(server.asked) == 1


async def test_a_name_is_resolved_for_each_connection_and_the_checked_address_is_called() -> None:
    meanings = ["127.0.0.1", "10.0.0.1"]

    async def rebinding(host: str, port: int) -> list[Address]:
        return [ip_address(meanings.pop(0))]

    async with serve_files(face=DATA) as server:
        by = Carrier(Dialer(HERE, resolve=rebinding), redirects=3, pauses=())
        url = f"http://files.example:{server.port}/face"
        assert await fetched(url, by) == DATA
        assert (await trouble_of(fetched(url, by)))[0] is Trouble.REFUSED
        assert [asked.headers["host"] for asked in server.asked] == [f"files.example:{server.port}"]


async def test_nothing_is_asked_of_an_inner_address_or_without_tls() -> None:
    async with serve_files(face=DATA) as server:
        for url in (server.url("/face"), f"https://127.0.0.1:{server.port}/face", "https://localhost/face"):
            assert (await trouble_of(fetched(url, carrier(PUBLIC))))[0] is Trouble.REFUSED
        assert server.asked == []
        assert server.open_now == 0


async def test_the_certificate_must_be_of_the_name_in_the_url() -> None:
    async def here(host: str, port: int) -> list[Address]:
        return [ip_address("127.0.0.1")]

    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(TLS / "server.pem")
    trusting = ssl.create_default_context(cafile=TLS / "ca.pem")
    by = Carrier(Dialer(HERE, resolve=here, tls=trusting), redirects=0, pauses=(0.01,))
    async with serve_files(context, face=DATA) as server:
        assert await fetched(f"https://hooks.example:{server.port}/face", by) == DATA
        found, detail = await trouble_of(fetched(f"https://other.example:{server.port}/face", by))
    assert found is Trouble.UNREACHABLE
    assert detail.startswith("has a certificate that is not valid")


async def test_bytes_are_counted_while_they_come_whatever_the_server_announces() -> None:
    async with serve_files(face=DATA) as server:
        server.answers["/chunked"] = [chunked(DATA)]
        server.answers["/endless"] = [b"HTTP/1.1 200 OK\r\n\r\n" + DATA]
        assert await fetched(server.url("/face"), most=len(DATA)) == DATA
        for path in ("/chunked", "/endless"):
            assert await fetched(server.url(path), most=len(DATA)) == DATA
            found, detail = await trouble_of(fetched(server.url(path), most=len(DATA) - 1))
            assert (found, detail) == (Trouble.TOO_LARGE, f"sends more than {len(DATA) - 1} bytes")
        found, detail = await trouble_of(fetched(server.url("/face"), most=1000))
        assert (found, detail) == (Trouble.TOO_LARGE, f"announces a file of {len(DATA)} bytes")


async def test_the_files_of_a_job_share_one_room_and_a_failed_attempt_gives_its_part_back() -> None:
    async with serve_files(face=DATA) as server:
        cut = file(DATA)[:-1000]
        server.answers["/cut"] = [cut, cut, file(DATA)]
        room = Room(2 * len(DATA))
        assert await fetched(server.url("/cut"), room=room) == DATA
        assert room.left == len(DATA)
        assert await fetched(server.url("/face"), room=room) == DATA
        assert (await trouble_of(fetched(server.url("/face"), room=room)))[0] is Trouble.NO_ROOM
        assert room.left == 0


@pytest.mark.parametrize("encoding", ["gzip", "br", "deflate, gzip"])
async def test_a_file_that_is_packed_on_its_way_is_not_unpacked(encoding: str) -> None:
    async with serve_files() as server:
        server.answers["/face"] = [file(DATA, f"Content-Encoding: {encoding}")]
        found, detail = await trouble_of(fetched(server.url("/face")))
        assert found is Trouble.REJECTED
        assert encoding in detail
        server.answers["/face"] = [file(DATA, "Content-Encoding: identity")]
        assert await fetched(server.url("/face")) == DATA


@pytest.mark.parametrize(
    "passing", [answer(500), answer(503), answer(429), answer(408), b"HTTP/1.1 200 OK\r\n"]
)
async def test_what_may_pass_is_tried_again(passing: bytes) -> None:
    async with serve_files() as server:
        server.answers["/face"] = [passing, passing, file(DATA)]
        assert await fetched(server.url("/face")) == DATA
        server.answers["/face"] = [passing]
        assert (await trouble_of(fetched(server.url("/face"))))[0] is Trouble.UNREACHABLE
        assert len(server.asked) == 3 + 4


@pytest.mark.parametrize("status", [400, 401, 403, 404, 410, 204, 206, 304])
async def test_an_answer_that_stays_what_it_is_ends_it_at_once(status: int) -> None:
    async with serve_files() as server:
        server.answers["/face"] = [answer(status)]
        found, detail = await trouble_of(fetched(server.url(f"/face{SECRET}")))
        assert found is Trouble.REJECTED
        assert f"answered {status}" in detail
        assert len(server.asked) == 1


async def test_a_server_that_asks_for_patience_gets_it_as_far_as_there_is_time() -> None:
    async with serve_files() as server:
        server.answers["/face"] = [answer(429, "Retry-After: 1"), file(DATA)]
        began = time.monotonic()
        assert await fetched(server.url("/face")) == DATA
        assert time.monotonic() - began >= 1
        server.answers["/face"] = [answer(503, "Retry-After: 60"), file(DATA)]
        began = time.monotonic()
        assert await trouble_of(fetched(server.url("/face"))) == (Trouble.UNREACHABLE, "answered 503")
        assert time.monotonic() - began < 1


async def test_all_attempts_share_one_time_limit() -> None:
    async with serve_files() as server:
        server.answers["/never"] = [b""]
        server.answers["/later"] = [answer(503), b""]
        began = time.monotonic()
        found, detail = await trouble_of(fetched(server.url("/never"), within=0.2))
        assert (found, detail) == (Trouble.TOO_LATE, "took too long")
        _, detail = await trouble_of(fetched(server.url("/later"), within=1.0))
        assert detail == "took too long (an attempt before: it answered 503)"
        assert time.monotonic() - began < 3


async def test_who_sends_a_byte_at_a_time_is_given_up() -> None:
    left = asyncio.Event()

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while True:
                writer.write(b"x")
                await writer.drain()
                await asyncio.sleep(0.02)
        except ConnectionError:
            writer.close()
            left.set()

    async with await asyncio.start_server(trickle, "127.0.0.1", 0) as server:
        url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}/"
        assert (await trouble_of(fetched(url, within=0.3)))[0] is Trouble.TOO_LATE
        await left.wait()


async def test_nobody_listens() -> None:
    found, detail = await trouble_of(fetched("http://127.0.0.1:9/"))
    assert (found, detail) == (Trouble.UNREACHABLE, "cannot be reached (Connection refused)")


async def test_a_name_that_nobody_knows() -> None:
    found, detail = await trouble_of(fetched(f"https://{'a' * 64}.invalid/", carrier(PUBLIC)))
    assert (found, detail) == (Trouble.UNREACHABLE, "has a name that cannot be resolved")


# ---- to URLs


def stored(server: FileServer) -> list[tuple[str, bytes]]:
    return list(server.files.items())


async def test_a_file_is_put_with_its_type_and_length_and_no_header_that_breaks_a_signature() -> None:
    large = DATA * 30
    async with serve_files() as server:
        await put(server.url(f"/out/face.png{SECRET}"), large)
        (asked,) = server.asked
        assert stored(server) == [("/out/face.png", large)]
    assert (asked.method, asked.target) == ("PUT", f"/out/face.png{SECRET}")
    assert asked.headers["content-type"] == "image/png"
    assert asked.headers["content-length"] == str(len(large))
    assert not [name for name in asked.headers if name.startswith(("x-amz-", "x-goog-", "expect"))]


async def test_what_may_pass_is_put_again_and_what_stays_is_not() -> None:
    async with serve_files() as server:
        server.answers["/busy"] = [answer(503), answer(500), answer(201)]
        await put(server.url("/busy"))
        assert [asked.body for asked in server.asked] == [DATA] * 3
        server.answers["/expired"] = [answer(403)]
        assert await trouble_of(put(server.url(f"/expired{SECRET}"))) == (Trouble.REJECTED, "answered 403")
        server.answers["/moved"] = [redirect("/elsewhere", 307)]
        assert await trouble_of(put(server.url("/moved"))) == (Trouble.REJECTED, "answered 307")
        assert len(server.asked) == 5
        assert stored(server) == []


async def test_a_refusal_is_heard_before_all_is_sent() -> None:
    async with serve_files() as server:
        found = await trouble_of(put(server.url("/refused-early"), bytes(30_000_000)))
        assert found == (Trouble.REJECTED, "answered 403")
        assert len(server.asked) == 1


async def test_who_takes_nothing_is_given_up() -> None:
    async with serve_files() as server:
        server.answers["/never"] = [b""]
        assert (await trouble_of(put(server.url("/never"), within=0.2)))[0] is Trouble.TOO_LATE
        inner = Carrier(Dialer(PUBLIC), redirects=3, pauses=()).put(server.url("/a"), DATA, "image/png", 1e9)
        assert (await trouble_of(inner))[0] is Trouble.REFUSED
        assert len(server.asked) == 1
