"""Seconds from `refstar serve` to a ready service (Redis answers, a worker with a warm model is there), and its end.

.venv/bin/python bench/start.py
"""

import os
import re
import signal
import subprocess
import sys
import tempfile
import time

import httpx

TIMES = 5


def once(folder: str) -> tuple[float, float]:
    """Seconds to ready and seconds to the end."""
    began = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "refstar_service.cli", "serve", "--port", "0"],
        env={**os.environ, "REFSTAR_DATA_DIR": folder},
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
        text=True,
    )
    assert process.stdout is not None
    url = re.findall(r"http://\S+", process.stdout.readline())[0]
    while httpx.get(f"{url}/readyz").status_code != 200:
        time.sleep(0.02)
    ready = time.perf_counter() - began
    process.send_signal(signal.SIGTERM)
    process.wait()
    return ready, time.perf_counter() - began - ready


def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        runs = sorted(once(folder) for _ in range(TIMES))
    print(
        f"ready after {runs[TIMES // 2][0]:.2f} s (median of {TIMES}), ended after {runs[TIMES // 2][1]:.2f} s"
    )


if __name__ == "__main__":
    main()
