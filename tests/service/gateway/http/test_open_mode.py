"""Without keys: who may ask is whoever is on this machine, and no page of another site."""

from collections.abc import Callable

import httpx
import pytest
from refstar_service.jobs import JobQueue

Picture = Callable[..., bytes]
NOWHERE = "0" * 32


@pytest.mark.parametrize(
    "host",
    [
        "localhost",
        "localhost:8000",
        "127.0.0.1",
        "127.0.0.1:8000",
        "[::1]:8000",
        "192.168.1.5",
        "a.localhost",
    ],
)
async def test_open_mode_answers_to_this_machine_s_names(client: httpx.AsyncClient, host: str) -> None:
    assert (await client.get("/v1/models", headers={"Host": host})).status_code == 200


@pytest.mark.parametrize(
    "host", ["evil.example", "localhost.evil.example", "127.0.0.1.nip.example", "[", "", "a b"]
)
async def test_open_mode_cannot_be_rebound_to_somebody_else_s_name(
    client: httpx.AsyncClient, host: str
) -> None:
    answer = await client.get("/v1/models", headers={"Host": host})
    assert (answer.status_code, answer.json()["type"]) == (421, "/problems/wrong-host")


@pytest.mark.parametrize(
    "headers",
    [
        {"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"},
        {"Sec-Fetch-Site": "cross-site"},
        {"Sec-Fetch-Site": "same-site", "Origin": "http://localhost:3000"},
        {"Origin": "https://evil.example"},
        {"Origin": "null"},
        {"Origin": "http://localhost:3000"},
    ],
)
async def test_a_form_of_another_site_is_not_carried_out(
    client: httpx.AsyncClient, picture: Picture, queue: JobQueue, headers: dict[str, str]
) -> None:
    files = {"image": ("face.png", picture())}
    answer = await client.post("/v1/restorations", files=files, data={"faces": "aligned"}, headers=headers)
    assert (answer.status_code, answer.json()["type"]) == (403, "/problems/cross-site-request")
    assert sum((await queue.depth()).values()) == 0
    for method, path in (("POST", "/cancel"), ("DELETE", "")):
        answer = await client.request(method, f"/v1/restorations/{NOWHERE}{path}", headers=headers)
        assert answer.status_code == 403


@pytest.mark.parametrize(
    "headers",
    [{}, {"Sec-Fetch-Site": "same-origin", "Origin": "http://localhost"}, {"Origin": "http://localhost"}],
)
async def test_the_service_s_own_page_and_programs_may_ask(
    client: httpx.AsyncClient, picture: Picture, headers: dict[str, str]
) -> None:
    files = {"image": ("face.png", picture())}
    answer = await client.post("/v1/restorations", files=files, data={"faces": "aligned"}, headers=headers)
    assert answer.status_code == 202
    assert "ratelimit" not in answer.headers
