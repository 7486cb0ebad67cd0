"""What `refstar serve` and its worker say to each other."""

import asyncio
import os
import subprocess
import sys
import time
from asyncio.subprocess import PIPE, Process
from pathlib import Path

import pytest
from refstar_service import tracing
from refstar_service.app import event_loop as loop
from refstar_service.app import processes
from refstar_service.app import serve as one_machine
from refstar_service.settings import Settings


async def _begun(program: str) -> Process:
    return await asyncio.create_subprocess_exec(sys.executable, "-c", program, stdin=PIPE, stdout=PIPE)


def test_a_worker_is_told_where_redis_is_by_a_line_that_ends_its_input() -> None:
    async def said() -> bytes:
        worker = await _begun("import sys; print(sys.stdin.read())")
        one_machine._send_redis_url(worker, "redis://:secret@127.0.0.1:1/0")
        output, _ = await worker.communicate()
        return output

    assert loop.run(said()) == b"redis://:secret@127.0.0.1:1/0\n\n"


def test_a_worker_that_has_ended_can_be_told_nothing() -> None:
    async def status() -> int | None:
        worker = await _begun("raise SystemExit(78)")
        await worker.wait()
        await asyncio.sleep(0.05)
        one_machine._send_redis_url(worker, "redis://127.0.0.1:1/0")
        return worker.returncode

    assert loop.run(status()) == 78


def test_a_process_that_records_spans_does_no_work_in_the_children_it_forks(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked = tmp_path / "looked"
    monkeypatch.setattr("opentelemetry.sdk.trace._get_process_dependent_resource", looked.touch)
    provider = tracing.new_provider()

    async def status() -> int | None:
        return await (await _begun("pass")).wait()

    assert loop.run(status()) == 0
    assert not looked.exists()
    provider.shutdown()


#: A child that holds its interpreter for minutes, in C, and one that waits; a line says that it has begun.
BUSY = {
    "deaf": "import re; re.match('(a+)+$', 'a' * 40 + 'b')",
    "waiting": "import time; time.sleep(300)",
}
CHILD = """
import os, sys
from refstar_service.redis import watchdog
{without_signal}
watchdog.end_with_parent(int(sys.argv[1]))
print(os.getpid(), flush=True)
{busy}
"""
PARENT = """
import os, subprocess, sys, time
subprocess.Popen([sys.executable, "-c", sys.argv[1], str(os.getpid())])
time.sleep(300)
"""
NO_SIGNAL = "watchdog._signal_upon_end_of_parent = lambda number: None"


@pytest.mark.parametrize(
    ("busy", "without_signal"),
    [("waiting", NO_SIGNAL), pytest.param("deaf", "", marks=pytest.mark.skipif("sys.platform != 'linux'"))],
)
def test_a_child_ends_with_its_parent_whatever_it_does(busy: str, without_signal: str) -> None:
    child = CHILD.format(busy=BUSY[busy], without_signal=without_signal)
    with subprocess.Popen([sys.executable, "-c", PARENT, child], stdout=subprocess.PIPE, text=True) as parent:
        assert parent.stdout is not None
        process = int(parent.stdout.readline())
        time.sleep(0.2)
        parent.kill()
        deadline = time.monotonic() + 10
        # The child has the other end of the pipe, so its end is the end of that.
        os.set_blocking(parent.stdout.fileno(), False)
        while parent.stdout.buffer.read() != b"":
            assert time.monotonic() < deadline, f"process {process} goes on"
            time.sleep(0.02)


def test_what_a_serve_imports_before_its_worker_begins_is_little() -> None:
    program = "import sys, refstar_service.app.cli, refstar_service.app.serve; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    heavy = {"redis", "fastapi", "numpy", "cv2", "PIL", "onnxruntime", "prometheus_client"}
    assert not heavy & set(loaded.split())


def test_a_service_that_can_start_no_worker_any_more_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    """Instead of going on without one, unseen until somebody stops it."""
    programs, ended = ["raise SystemExit(1)"], []

    async def begin(settings: Settings) -> Process:
        if not programs:
            raise OSError("Resource temporarily unavailable")
        return await _begun(programs.pop())

    async def serve(settings: Settings, url: str, *, stopping: asyncio.Event, **_: object) -> None:
        await asyncio.wait_for(stopping.wait(), 5)
        ended.append(settings)

    monkeypatch.setattr(one_machine, "_begin_worker", begin)
    monkeypatch.setattr(one_machine, "RESTART_AFTER", (0.01,))
    monkeypatch.setattr(processes, "run_gateway", serve)
    with pytest.raises(OSError, match="temporarily unavailable"):
        loop.run(one_machine.run_all(Settings(redis_url="redis://127.0.0.1:1/0")))
    assert ended
