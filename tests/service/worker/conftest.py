"""Fixtures of workers that know stored people."""

from collections.abc import AsyncIterator

import pytest
from people_shop import Hand, NewHand, Shop
from redis.asyncio import Redis


@pytest.fixture
async def shop(redis: Redis) -> AsyncIterator[Shop]:
    shop = Shop(redis)
    yield shop
    await shop.queue.aclose()


@pytest.fixture
def hand(shop: Shop) -> NewHand:
    return lambda name: Hand(shop, name)
