"""`refstar serve` in a process of its own, as a user has it: started, ready, and ended."""

import os
import re
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from pictures import degraded_face, file_of, reference_face

START_WITHIN = 60.0  # seconds; a machine that trains a network at the same time is slow


@dataclass
class Served:
    process: subprocess.Popen[str]
    client: httpx.Client

    def workers(self) -> list[int]:
        """Process ids of the workers that are ready."""
        answer = self.client.get("/readyz").json()
        return [int(name.rsplit("-", 1)[1]) for name in answer.get("workers", [])]

    def restore(self, **fields: str) -> httpx.Response:
        files = [
            ("image", ("granny.png", file_of(degraded_face()), "image/png")),
            ("references", ("ref.jpg", file_of(reference_face(), ".jpg"), "image/jpeg")),
        ]
        return self.client.post("/v1/restorations", files=files, data={"faces": "aligned", **fields})

    def ended(self, job_id: str, within: float = 60.0) -> dict[str, Any]:
        deadline = time.monotonic() + within
        while time.monotonic() < deadline:
            job: dict[str, Any] = self.client.get(
                f"/v1/restorations/{job_id}", headers={"Prefer": "wait=10"}
            ).json()
            if job["status"] not in ("queued", "running"):
                return job
        raise AssertionError(f"{job_id} did not end within {within} s")


def start(folder: Path, **settings: str) -> Served:
    environment = {k: v for k, v in os.environ.items() if not k.startswith("REFSTAR_")}
    environment |= {"REFSTAR_DATA_DIR": str(folder), "REFSTAR_PORT": "0", **settings}
    command = [sys.executable, "-m", "refstar_service.app.cli", "serve"]
    with (folder / "log").open("a") as log:
        process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=log, text=True)
    try:
        return wait_until_ready(process, folder)
    except BaseException:
        process.kill()
        process.communicate()
        raise


def wait_until_ready(process: subprocess.Popen[str], folder: Path) -> Served:
    assert process.stdout is not None
    greeting = process.stdout.readline()
    found = re.search(r"http://127\.0\.0\.1:\d+", greeting)
    assert found, f"{greeting!r}\n{(folder / 'log').read_text()}"
    served = Served(process, httpx.Client(base_url=found[0], timeout=70))
    deadline = time.monotonic() + START_WITHIN
    while served.client.get("/readyz").status_code != 200:
        assert time.monotonic() < deadline, (folder / "log").read_text()
        time.sleep(0.1)
    return served


def end(served: Served) -> int:
    """Ask for the end as an operator does; returns the exit status."""
    served.client.close()
    served.process.send_signal(signal.SIGTERM)
    code = served.process.wait(40)
    assert served.process.stdout is not None
    served.process.stdout.close()
    return code
