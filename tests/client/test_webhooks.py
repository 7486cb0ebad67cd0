"""What a receiver believes."""

import json

import pytest
from refstar_client import WebhookError, verify_webhook
from refstar_service.webhooks.signing import headers

SECRET, OLD = (
    "whsec_dGhlIG5ld2VzdCBzZWNyZXQgb2YgdGhlIHRlc3Q=",
    "whsec_dGhlIHNlY3JldCB0aGF0IHdhcyByZXBsYWNlZA==",
)
NOW = 1_800_000_000
BODY = json.dumps(
    {
        "type": "restoration.failed",
        "timestamp": "2027-01-15T08:00:00Z",
        "data": {
            "id": "a1",
            "status": "failed",
            "error": {"type": "/problems/no-face-found", "detail": "none"},
            "links": {"self": "/v1/restorations/a1"},
        },
    }
).encode()


def test_a_webhook_by_any_of_the_secrets_is_believed() -> None:
    for secrets in ([SECRET], [SECRET, OLD]):
        event = verify_webhook(BODY, headers(secrets, "msg_a1", NOW, BODY), [OLD, SECRET], now=NOW + 10)
        assert (event.id, event.data.id) == ("msg_a1", "a1")
        assert event.data.error is not None
        assert event.data.error.slug == "no-face-found"


def test_names_of_headers_may_have_capitals() -> None:
    given = {name.title(): value for name, value in headers([SECRET], "msg_a1", NOW, BODY).items()}
    assert verify_webhook(BODY, given, SECRET, now=NOW).type == "restoration.failed"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"webhook-id": "msg_a2"}, "no signature fits"),
        ({"webhook-timestamp": str(NOW + 1)}, "no signature fits"),
        ({"webhook-timestamp": "soon"}, "not seconds"),
        ({"webhook-timestamp": "9" * 30}, "not seconds"),
        ({"webhook-timestamp": "9" * 400}, "not seconds"),
        ({"webhook-timestamp": "9" * 5000}, "not seconds"),
        ({"webhook-id": "msg_\udcff"}, "not an id"),
        ({"webhook-signature": "v1,\udcff"}, "no signature fits"),
        ({"webhook-signature": "v1,AAAA v2,BBBB"}, "no signature fits"),
        ({"webhook-signature": ""}, "no signature fits"),
    ],
)
def test_changed_headers_are_not_believed(change: dict[str, str], why: str) -> None:
    with pytest.raises(WebhookError, match=why):
        verify_webhook(BODY, headers([SECRET], "msg_a1", NOW, BODY) | change, SECRET, now=NOW)


def test_a_changed_body_another_secret_and_an_old_webhook_are_not_believed() -> None:
    given = headers([SECRET], "msg_a1", NOW, BODY)
    with pytest.raises(WebhookError, match="no signature fits"):
        verify_webhook(BODY.replace(b"failed", b"passed"), given, SECRET, now=NOW)
    with pytest.raises(WebhookError, match="no signature fits"):
        verify_webhook(BODY, given, OLD, now=NOW)
    with pytest.raises(WebhookError, match="signed 301 s ago"):
        verify_webhook(BODY, given, SECRET, now=NOW + 301)
    with pytest.raises(WebhookError, match="webhook-id"):
        verify_webhook(BODY, {}, SECRET, now=NOW)


@pytest.mark.parametrize(
    "body",
    [b"[]", b"{", b"\xff", b"[" * 200_000, b'{"a":' * 200_000, b"9" * 5000, b'{"timestamp": 1e400}'],
    ids=["list", "cut", "bytes", "nested lists", "nested objects", "digits", "infinite"],
)
def test_a_signed_body_of_something_else_is_not_believed(body: bytes) -> None:
    with pytest.raises(WebhookError, match="no event"):
        verify_webhook(body, headers([SECRET], "msg_a1", NOW, body), SECRET, now=NOW)


@pytest.mark.parametrize("secret", ["", "secret", "whsec_", "whsec_*", []])
def test_a_secret_that_is_none_is_a_mistake_of_the_program(secret: str | list[str]) -> None:
    with pytest.raises(ValueError, match="secret"):
        verify_webhook(BODY, headers([SECRET], "msg_a1", NOW, BODY), secret, now=NOW)
