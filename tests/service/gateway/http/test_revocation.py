"""Who holds an answer open is told when the token is revoked, whatever else is wrong with the store of keys."""

import asyncio
from contextlib import AsyncExitStack
from typing import cast

import pytest
from redis.exceptions import ConnectionError as RedisConnectionError
from refstar_service.access import KeyStore
from refstar_service.gateway.http import revocation
from refstar_service.gateway.http.revocation import Revocations


class Keys:
    """Of two tokens: one whose record is damaged, and one that is revoked after the store was away."""

    def __init__(self) -> None:
        self.looks = 0

    async def of_token(self, token_id: str) -> object | None:
        self.looks += 1
        if self.looks == 1:
            raise RedisConnectionError("away")
        if token_id == "damaged":
            raise ValueError("not JSON")
        return None


async def test_a_record_that_cannot_be_read_hides_no_revocation(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(revocation, "LOOK_EVERY", 0.01)
    revocations = Revocations(cast("KeyStore", Keys()))
    async with AsyncExitStack() as held, asyncio.timeout(5):
        damaged = await held.enter_async_context(revocations.watch("damaged"))
        revoked = await held.enter_async_context(revocations.watch("revoked"))
        await revoked.wait()
        assert not damaged.is_set()
    assert "not JSON" in caplog.text
