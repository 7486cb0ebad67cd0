"""What `refstar serve` and its worker say to each other."""

import asyncio
import subprocess
import sys
from asyncio.subprocess import PIPE, Process

from refstar_service.app import event_loop as loop
from refstar_service.app import serve as one_machine


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


def test_what_a_serve_imports_before_its_worker_begins_is_little() -> None:
    program = "import sys, refstar_service.app.cli, refstar_service.app.serve; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    ).stdout
    heavy = {"redis", "fastapi", "numpy", "cv2", "PIL", "onnxruntime", "prometheus_client"}
    assert not heavy & set(loaded.split())
