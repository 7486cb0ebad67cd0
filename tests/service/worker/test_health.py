import socket
import time
import urllib.error
import urllib.request

import pytest
from refstar_service.metrics.registry import new_registry
from refstar_service.metrics.worker import WorkerMetrics
from refstar_service.worker import health


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()


def test_a_turning_loop_is_alive_a_hung_one_is_not_and_ready_is_who_takes_jobs(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pulse, registry = health.Pulse(), new_registry()
    WorkerMetrics.on(registry).batch_size.observe(3)
    port, stop = health.serve("127.0.0.1", 0, registry, pulse)
    try:
        assert get(port, "/healthz") == (200, "alive\n")
        assert "refstar_batch_size_sum 3.0" in get(port, "/metrics")[1]
        assert get(port, "/other")[0] == 404
        assert get(port, "/readyz") == (503, "loading models\n")
        pulse.announce()
        assert get(port, "/readyz") == (200, "ready\n")
        monkeypatch.setattr(pulse, "announced", time.monotonic() - health.READY_WITHIN - 1)
        assert get(port, "/readyz") == (503, "Redis does not answer\n")
        pulse.announce()
        pulse.ending = True
        assert get(port, "/readyz") == (503, "ending\n")
        # A client that never sends its request must not stand in the probe's way.
        with socket.create_connection(("127.0.0.1", port)):
            assert get(port, "/healthz")[0] == 200
        monkeypatch.setattr(pulse, "last", time.monotonic() - health.ALIVE_WITHIN - 1)
        assert get(port, "/healthz") == (503, "hung\n")
    finally:
        stop()
