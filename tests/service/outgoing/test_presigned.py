"""Presigned URLs, as S3's own tools make them: what is signed is what is sent, and nothing that would break it."""

import asyncio
import hashlib
import hmac
from datetime import timedelta
from urllib.parse import parse_qsl, quote, urlsplit

import obstore
import pytest
from file_server import Asked, serve_files
from obstore.store import S3Store
from refstar_service.outgoing.carrier import Carrier, Room
from refstar_service.outgoing.connection import Dialer
from refstar_service.outgoing.endpoint import Reach, parse_networks
from s3_process import run_s3_server

HERE = Reach(parse_networks("127.0.0.0/8"), (range(1, 65_536),), longest=4096)
SECRET_KEY = "a secret key"
DATA = bytes(range(256)) * 1000


def bucket(address: str) -> S3Store:
    return S3Store(
        "pictures",
        endpoint=address,
        access_key_id="somebody",
        secret_access_key=SECRET_KEY,
        region="eu-central-1",
        client_options={"allow_http": True},
    )


def carrier() -> Carrier:
    return Carrier(Dialer(HERE), redirects=3, pauses=())


def deadline() -> float:
    return asyncio.get_running_loop().time() + 10


async def test_a_result_goes_to_a_bucket_and_a_picture_comes_from_it() -> None:
    with run_s3_server() as address:
        store = bucket(address)
        to = obstore.sign(store, "PUT", "out/face 1.png", timedelta(minutes=5))
        await carrier().put(to, DATA, "image/png", deadline())
        kept = await obstore.get_async(store, "out/face 1.png")
        assert bytes(await kept.bytes_async()) == DATA
        assert kept.attributes["Content-Type"] == "image/png"
        at = obstore.sign(store, "GET", "out/face 1.png", timedelta(minutes=5))
        assert await carrier().fetch(at, len(DATA), Room(len(DATA)), deadline()) == DATA


def is_signed(asked: Asked) -> bool:
    """As S3 checks a presigned request (signature version 4), and not by way of the code that signs."""
    path, _, query = asked.target.partition("?")
    given = dict(parse_qsl(query, keep_blank_values=True))
    signature = given.pop("X-Amz-Signature")
    names = given["X-Amz-SignedHeaders"].split(";")
    # S3 refuses headers of its own that are not signed.
    assert not {name for name in asked.headers if name.startswith("x-amz-")} - set(names)
    pairs = sorted((quote(name, safe=""), quote(value, safe="")) for name, value in given.items())
    request = [asked.method, path, "&".join(f"{name}={value}" for name, value in pairs)]
    request += [*(f"{name}:{asked.headers[name]}" for name in names), "", ";".join(names), "UNSIGNED-PAYLOAD"]
    _, scope = given["X-Amz-Credential"].split("/", 1)
    digest = hashlib.sha256("\n".join(request).encode()).hexdigest()
    to_sign = "\n".join(["AWS4-HMAC-SHA256", given["X-Amz-Date"], scope, digest])
    key = f"AWS4{SECRET_KEY}".encode()
    for part in scope.split("/"):
        key = hmac.digest(key, part.encode(), "sha256")
    return hmac.digest(key, to_sign.encode(), "sha256").hex() == signature


@pytest.mark.parametrize("method", ["PUT", "GET"])
async def test_what_arrives_is_what_was_signed(method: str) -> None:
    async with serve_files() as server:
        url = obstore.sign(bucket(server.url("")), method, "out/face 1.png", timedelta(minutes=5))
        server.files[urlsplit(url).path] = DATA
        if method == "PUT":
            await carrier().put(url, DATA, "image/png", deadline())
        else:
            await carrier().fetch(url, len(DATA), Room(len(DATA)), deadline())
        (asked,) = server.asked
    assert is_signed(asked)
    other = Asked(method, asked.target.replace("face", "faxe"), asked.headers, b"")
    assert not is_signed(other)
