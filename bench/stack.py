"""`refstar serve` as a user starts it: a gateway, a worker and an embedded Redis, in processes of their own."""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

READY_WITHIN = 120.0  # seconds
_TICK = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True)
class Service:
    """A running one. ``processes``: ids by role (gateway, worker, redis)."""

    host: str
    port: int
    processes: Mapping[str, int]

    def cpu(self) -> dict[str, float]:
        """Seconds of processor time of each role until now."""
        return {role: cpu_seconds(pid) for role, pid in self.processes.items()}

    def most_memory(self) -> dict[str, float]:
        """The most MiB that each role has held in memory so far."""
        return {role: status_mib(pid, "VmHWM") for role, pid in self.processes.items()}


@contextmanager
def service(settings: Mapping[str, str], *, command: str = "serve", wait: bool = True) -> Iterator[Service]:
    """Started in a folder that goes with it, with these settings (names without prefix) and no others.

    ``wait``: until a worker with a warm model is there.
    """
    kept = {name: value for name, value in os.environ.items() if not name.startswith("REFSTAR_")}
    with tempfile.TemporaryDirectory() as folder:
        chosen = {"DATA_DIR": folder, "PORT": "0", "LOG_LEVEL": "warning"} | dict(settings)
        log = Path(folder) / "log"
        with log.open("w") as errors:
            process = subprocess.Popen(
                [sys.executable, "-m", "refstar_service.app.cli", command],
                env=kept | {f"REFSTAR_{name}": value for name, value in chosen.items()},
                stdout=subprocess.PIPE,
                stderr=errors,
                text=True,
            )
        try:
            assert process.stdout is not None
            greeting = re.search(r"http://([^:\s]+):(\d+)", process.stdout.readline())
            if greeting is None:
                process.wait(30)
                raise RuntimeError(f"the service did not start: {log.read_text()[-2000:]}")
            host, port = greeting[1], int(greeting[2])
            if wait:
                until_ready(f"http://{host}:{port}/readyz", process, log)
            yield Service(host, port, {"gateway": process.pid, **_roles(process.pid)})
        finally:
            process.send_signal(signal.SIGTERM)
            process.wait(60)


def until_ready(url: str, process: "subprocess.Popen[str]", log: Path) -> None:
    """Returns when ``url`` answers 200. Raises RuntimeError with the end of the log if the process ends before."""
    deadline = time.monotonic() + READY_WITHIN
    while True:
        try:
            if httpx.get(url, timeout=5).status_code == 200:
                return
        except httpx.TransportError:
            pass
        if process.poll() is not None or time.monotonic() > deadline:
            raise RuntimeError(f"{url} is not ready: {log.read_text(errors='replace')[-2000:]}")
        time.sleep(0.02)


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and its threads, in user and kernel mode."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / _TICK


def status_mib(pid: int | str, name: str) -> float:
    """MiB of VmRSS (memory now) or VmHWM (the most so far)."""
    lines = Path(f"/proc/{pid}/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith(name)).split()[1]) / 1024


def family(pid: int) -> list[int]:
    """The process and all that it started, and they."""
    children: dict[int, list[int]] = {}
    for path in Path("/proc").glob("[0-9]*/stat"):
        try:
            parent = int(path.read_text().rpartition(")")[2].split()[1])
        except (OSError, ValueError):
            continue  # it has just ended
        children.setdefault(parent, []).append(int(path.parent.name))
    found = [pid]
    for one in found:
        found += children.get(one, [])
    return found


def _roles(pid: int) -> dict[str, int]:
    roles = {}
    for child in family(pid)[1:]:
        words = os.fsdecode(Path(f"/proc/{child}/cmdline").read_bytes()).split("\0")
        if "worker" in words:
            roles["worker"] = child
        elif Path(words[0].split(" ")[0]).name in (
            "redis-server",
            "valkey-server",
        ):  # it writes its address there too
            roles["redis"] = child
    return roles
