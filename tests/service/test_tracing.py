"""Traces, as the SDK's in-memory exporter sees them."""

import subprocess
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer
from threading import Thread
from typing import Any

import pytest
from opentelemetry import trace
from refstar_service import tracing

CLIENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_without_an_endpoint_nothing_is_recorded(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in tracing.ENDPOINTS:
        monkeypatch.delenv(name, raising=False)
    with tracing.record_spans("refstar"), tracing.tracer().start_as_current_span("one") as span:
        assert not span.is_recording()
        assert tracing.write_traceparent() == ""


def test_the_trace_of_a_client_is_passed_on_even_so() -> None:
    with tracing.continue_trace({"traceparent": CLIENT}):
        assert tracing.write_traceparent() == CLIENT
    assert tracing.write_traceparent() == ""
    with tracing.continue_trace({"traceparent": "nonsense"}), tracing.continue_trace({}):
        assert tracing.write_traceparent() == ""


def test_what_was_carried_is_the_parent_elsewhere() -> None:
    found = trace.get_current_span(tracing.read_traceparent(CLIENT)).get_span_context()
    assert (f"{found.trace_id:032x}", f"{found.span_id:016x}") == tuple(CLIENT.split("-")[1:3])
    assert not trace.get_current_span(tracing.read_traceparent("")).get_span_context().is_valid


def test_spans_arrive_at_the_endpoint_under_the_name_of_the_process() -> None:
    received: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            received.append((self.path, self.rfile.read(int(self.headers["content-length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Collector) as collector:
        Thread(target=collector.serve_forever, daemon=True).start()
        code = (
            "from refstar_service import tracing\n"
            "with tracing.record_spans('refstar-worker'):\n"
            "    tracing.tracer().start_span('restoration').end()\n"
        )
        environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": f"http://127.0.0.1:{collector.server_port}"}
        subprocess.run([sys.executable, "-c", code], env=environment, check=True, timeout=60)
        collector.shutdown()
    [(path, body)] = received
    assert path == "/v1/traces"
    assert b"refstar-worker" in body
    assert b"restoration" in body


def test_an_endpoint_without_the_extra_is_an_error_that_names_it() -> None:
    code = (
        "import sys; sys.modules['opentelemetry.sdk.resources'] = None\n"
        "from refstar_service import tracing\n"
        "with tracing.record_spans('refstar'): pass\n"
    )
    environment = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:1"}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "pip install 'refstar-service[tracing]'" in done.stderr
