"""Which event loop the long-lived processes run in."""

import asyncio
import sys

import pytest
import uvloop
from refstar_service.app import event_loop as loop


async def _running() -> asyncio.AbstractEventLoop:
    return asyncio.get_running_loop()


def test_uvloop_runs_the_processes_where_it_is_installed() -> None:
    assert isinstance(loop.run(_running()), uvloop.Loop)


def test_without_uvloop_they_run_all_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "uvloop", None)
    assert isinstance(loop.run(_running()), asyncio.SelectorEventLoop)
