"""Signatures, against the vectors of the Standard Webhooks libraries."""

import pytest
from refstar_service.access.key import new_webhook_secret, webhook_secret_bytes
from refstar_service.webhooks import signing

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


def test_the_vector_of_the_reference_libraries() -> None:
    signed = signing.signature(SECRET, "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330, b'{"test": 2432232314}')
    assert signed == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_every_secret_signs_so_that_receivers_can_change_over() -> None:
    other = new_webhook_secret()
    headers = signing.headers((other, SECRET), "msg_1", 1614265330, b"{}")
    first, second = headers["webhook-signature"].split(" ")
    assert first == signing.signature(other, "msg_1", 1614265330, b"{}")
    assert second == signing.signature(SECRET, "msg_1", 1614265330, b"{}")
    assert (headers["webhook-id"], headers["webhook-timestamp"]) == ("msg_1", "1614265330")


@pytest.mark.parametrize("part", ["msg_2", "1614265331", "other"])
def test_id_time_and_body_are_all_signed(part: str) -> None:
    before = signing.signature(SECRET, "msg_1", 1614265330, b"body")
    after = signing.signature(
        SECRET,
        "msg_2" if part == "msg_2" else "msg_1",
        1614265331 if part == "1614265331" else 1614265330,
        b"other" if part == "other" else b"body",
    )
    assert after != before


def test_a_new_secret_has_the_form_and_the_size_of_the_specification() -> None:
    secret = new_webhook_secret()
    assert secret.startswith("whsec_")
    assert len(webhook_secret_bytes(secret)) == 32
    assert secret != new_webhook_secret()


@pytest.mark.parametrize(
    "secret",
    ["", "whsec_", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ=", "whsec_????", "whsec_" + "A" * 200],
)
def test_what_is_no_secret_is_refused_without_being_shown(secret: str) -> None:
    with pytest.raises(ValueError) as caught:
        webhook_secret_bytes(secret)
    assert not secret or secret not in str(caught.value) or secret == "whsec_"
