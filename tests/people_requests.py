"""Requests that have to do with stored people, and pictures for them."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractAsyncContextManager

import httpx
import numpy as np
import skimage.data
from pictures import file_of
from refstar_service.metrics.worker import WorkerMetrics

WAIT = {"Prefer": "wait=20"}
FACE = file_of(skimage.data.astronaut(), ".jpg")
EMPTY = file_of(np.full((300, 300, 3), 90, np.uint8), ".jpg")
Enroll = Callable[..., Awaitable[httpx.Response]]
Working = Callable[[], AbstractAsyncContextManager[WorkerMetrics]]


async def restore(client: httpx.AsyncClient, *people: str, **fields: str) -> httpx.Response:
    return await client.post(
        "/v1/restorations",
        data={"person": list(people), **fields},
        files={"image": ("photo.jpg", FACE)},
        headers=WAIT,
    )
