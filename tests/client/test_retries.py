"""refstar-client when the service is away, busy, or not what it should be."""

import json
import time
from email.utils import formatdate
from pathlib import Path

import pytest
from refstar_client import (
    AccessError,
    AsyncClient,
    Client,
    ConflictError,
    DeletedError,
    LimitError,
    Patience,
    ServiceError,
    UnexpectedAnswerError,
    UnreachableError,
    WaitError,
)
from scripted_service import LOST, Answer, Script, problem

MODELS = Answer(body=b'{"models": []}')
QUICK = Patience(seconds=5, tries=3)


def state(status: str, **more: object) -> bytes:
    body: dict[str, object] = {
        "id": "a1",
        "status": status,
        "canceling": False,
        "model": "refstar",
        "created_at": "2026-01-01T00:00:00Z",
        "started_at": None,
        "finished_at": None,
        "expires_at": "2026-01-02T00:00:00Z",
        "person": None,
        "queue_position": None,
        "attempts": 1,
        "faces": [],
        "references": [],
        "error": None,
        "request_id": "r1",
        "timings": {},
        "links": {"self": "/v1/restorations/a1", "image": None},
    }
    return json.dumps(body | more).encode()


def stream(*events: str) -> Answer:
    return Answer(200, "".join(events).encode(), {"Content-Type": "text/event-stream"}, cut=True)


@pytest.mark.parametrize(
    "refusal", [problem(429, "queue-full", "0"), problem(503, "queue-unavailable", "0"), LOST]
)
def test_a_request_that_failed_for_the_moment_is_sent_again(script: Script, refusal: Answer) -> None:
    script.answers = [refusal, refusal, MODELS]
    with Client(script.url, patience=QUICK) as client:
        assert client.list_models() == []
    assert len(script.asked) == 3


async def test_the_async_client_sends_it_again_too(script: Script) -> None:
    script.answers = [LOST, problem(429, "queue-full", "0"), MODELS]
    async with AsyncClient(script.url, patience=QUICK) as client:
        assert await client.list_models() == []
    assert len(script.asked) == 3


def test_every_try_of_a_submission_has_one_idempotency_key_and_the_whole_picture(script: Script) -> None:
    script.answers = [LOST, problem(409, "idempotent-request-running", "0"), Answer(202, state("queued"))] * 2
    with Client(script.url, patience=QUICK) as client:
        for _ in range(2):
            client.create_restoration(b"a picture" * 1000)
    keys = [asked.headers["idempotency-key"] for asked in script.asked]
    assert keys[:3] == keys[:1] * 3
    assert keys[3:] == keys[3:4] * 3
    assert keys[0] != keys[3]
    assert all(b"a picture" * 1000 in asked.body for asked in script.asked)


def test_retry_after_is_obeyed(script: Script) -> None:
    script.answers = [problem(429, "quota-exceeded", "1"), MODELS]
    began = time.monotonic()
    with Client(script.url, patience=QUICK) as client:
        client.list_models()
    assert time.monotonic() - began >= 1.0


@pytest.mark.parametrize("form", ["seconds", "date"])
def test_a_retry_after_beyond_the_patience_is_an_error_at_once(script: Script, form: str) -> None:
    # The date is made here: in a parameter it would name the test by the second in which it is collected.
    later = "3600" if form == "seconds" else formatdate(time.time() + 3600, usegmt=True)
    script.answers = [problem(429, "quota-exceeded", later)]
    with (
        Client(script.url, patience=QUICK) as client,
        pytest.raises(LimitError, match="quota-exceeded") as caught,
    ):
        client.list_models()
    assert len(script.asked) == 1
    assert caught.value.retry_after == pytest.approx(3600, abs=600)


def test_tries_come_to_an_end(script: Script) -> None:
    script.answers = [problem(500, "internal-error")]
    with (
        Client(script.url, patience=Patience(5, 2)) as client,
        pytest.raises(ServiceError, match="internal-error"),
    ):
        client.list_models()
    assert len(script.asked) == 2


def test_a_refusal_that_stays_one_is_not_tried_again(script: Script) -> None:
    script.answers = [problem(401, "key-invalid")]
    with Client(script.url, "secret", patience=QUICK) as client, pytest.raises(AccessError):
        client.list_models()
    assert [asked.headers["authorization"] for asked in script.asked] == ["Bearer secret"]


def test_a_conflict_without_a_time_is_not_tried_again(script: Script) -> None:
    script.answers = [problem(409, "restoration-failed")]
    with Client(script.url, patience=QUICK) as client, pytest.raises(ConflictError):
        client.download_image("a1")
    assert len(script.asked) == 1


def test_nobody_at_the_address_is_an_error_that_names_the_request() -> None:
    nobody = Client("http://127.0.0.1:9", patience=Patience(0, 1))
    with nobody as client, pytest.raises(UnreachableError, match="GET /v1/models: ConnectError"):
        client.list_models()


@pytest.mark.parametrize(
    ("answer", "hint"),
    [
        (Answer(200, b"<html>", {"Content-Type": "text/html"}), "check the address"),
        (Answer(404, b"<html>", {"Content-Type": "text/html"}), "check the address"),
        (Answer(301, b"", {"Location": "https://elsewhere/"}), "redirect to https://elsewhere/"),
        (Answer(200, b'{"models": 3}'), "check the address"),
    ],
)
def test_another_service_at_the_address_is_recognized(script: Script, answer: Answer, hint: str) -> None:
    script.answers = [answer]
    with (
        Client(script.url, "secret", patience=QUICK) as client,
        pytest.raises(UnexpectedAnswerError, match=hint),
    ):
        client.list_models()
    assert len(script.asked) == 1


@pytest.mark.parametrize("address", ["127.0.0.1:8000", "ftp://here", "http://"])
def test_an_address_that_is_none_is_refused_at_once(address: str) -> None:
    with pytest.raises(ValueError, match="http"):
        Client(address)


def test_an_id_cannot_lead_to_another_address(script: Script) -> None:
    script.answers = [MODELS]
    with Client(script.url) as client, pytest.raises(ValueError, match="no id"):
        client.delete_restoration("../people/b")
    assert script.asked == []


def test_address_and_key_come_from_the_environment(script: Script, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFSTAR_URL", script.url + "/below/")
    monkeypatch.setenv("REFSTAR_API_KEY", "of the environment")
    script.answers = [MODELS]
    with Client() as client:
        client.list_models()
    [asked] = script.asked
    assert (asked.path, asked.headers["authorization"]) == ("/below/v1/models", "Bearer of the environment")


def test_where_no_answer_is_held_it_is_asked_again_after_the_pause_that_is_named(script: Script) -> None:
    later = {"Content-Type": "application/json", "Retry-After": "1"}
    script.answers = [Answer(200, state("running"), later), Answer(200, state("failed"))]
    began = time.monotonic()
    with Client(script.url) as client:
        assert client.wait_for_restoration("a1").status == "failed"
    assert time.monotonic() - began >= 1.0
    assert script.asked[0].headers["prefer"] == "wait=60"


def test_a_wait_ends_in_time(script: Script) -> None:
    script.answers = [Answer(200, state("running"), {"Content-Type": "application/json", "Retry-After": "9"})]
    began = time.monotonic()
    with Client(script.url) as client, pytest.raises(WaitError, match=r"a1 is running after 0\.3 s"):
        client.wait_for_restoration("a1", within=0.3)
    assert time.monotonic() - began < 5


def test_a_stream_that_breaks_off_is_taken_up_where_it_was(script: Script) -> None:
    queued, running, done = (state(one).decode() for one in ("queued", "running", "succeeded"))
    script.answers = [
        stream("retry: 10\n\n", f"id: 1.4\ndata: {queued}\n\n", f"id: 2\ndata: {running}"),
        LOST,
        problem(503, "too-many-streams", "0"),
        stream(":\n\n", f"id: 2\ndata: {running}\n\n", f"id: 3\r\ndata: {done}\r\n\r\n"),
    ]
    with Client(script.url, patience=QUICK) as client:
        assert [one.status for one in client.stream_events("a1")] == ["queued", "running", "succeeded"]
    assert [asked.headers.get("last-event-id") for asked in script.asked] == [None, "2", "2", "2"]


async def test_a_stream_of_a_deleted_restoration_is_an_error(script: Script) -> None:
    script.answers = [stream("event: deleted\ndata: {}\n\n")]
    async with AsyncClient(script.url) as client:
        with pytest.raises(DeletedError, match="a1"):
            _ = [one async for one in client.stream_events("a1")]


def test_streams_that_never_come_end_with_the_patience(script: Script) -> None:
    script.answers = [problem(503, "queue-unavailable", "1")]
    with (
        Client(script.url, patience=Patience(0.5)) as client,
        pytest.raises(ServiceError, match="queue-unavailable"),
    ):
        list(client.stream_events("a1"))


def test_a_text_file_is_refused_before_it_is_sent(script: Script, tmp_path: Path) -> None:
    script.answers = [MODELS]
    (tmp_path / "a.txt").write_text("a")
    client = Client(script.url)
    with client, (tmp_path / "a.txt").open() as text, pytest.raises(TypeError, match="binary mode"):
        client.create_restoration(text)  # type: ignore[arg-type]
    assert script.asked == []
