"""Traces by OpenTelemetry: the span of a request, the span of its job in a worker, the inferences it took part in.

Nothing is recorded unless `OTEL_EXPORTER_OTLP_ENDPOINT` (or `OTEL_EXPORTER_OTLP_TRACES_ENDPOINT`) says where to send
it; the other `OTEL_` variables (headers, sampler, resource attributes, `OTEL_SDK_DISABLED`) hold too. The ids of a
trace that a client brought along are passed on and logged all the same.
"""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from typing import TYPE_CHECKING

from opentelemetry import context as otel
from opentelemetry import trace
from opentelemetry.context import Context
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

ENDPOINTS = ("OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT")
TRACEPARENT = "traceparent"

_w3c = TraceContextTextMapPropagator()
if TYPE_CHECKING:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider

_provider: trace.TracerProvider | None = None


@contextmanager
def record_spans(service: str) -> Iterator[None]:
    """Within it, this process's spans are sent as those of `service`, if an endpoint is configured and nobody else has
    set OpenTelemetry up. Raises RuntimeError where the extra `tracing` is missing."""
    elsewhere = not isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider)
    if elsewhere or not any(os.environ.get(name) for name in ENDPOINTS):
        yield
        return
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ModuleNotFoundError as error:
        raise RuntimeError(
            f"{' or '.join(ENDPOINTS)} is set, and traces need the extra: pip install 'refstar-service[tracing]'"
        ) from error
    names = {"service.name": service, "service.version": metadata.version("refstar-service")}
    given = {"service.name"} if os.environ.get("OTEL_SERVICE_NAME") else set()
    resource = Resource.create({name: value for name, value in names.items() if name not in given})
    provider = new_provider(resource)
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    set_provider(provider)
    try:
        yield
    finally:
        set_provider(None)
        provider.shutdown()  # sends the last ones


def new_provider(resource: Resource | None = None) -> TracerProvider:
    """One that leaves forked children alone. They only become other programs here; the SDK's own looks in them for what
    the process is, with threads, and now and then such a child stood still forever instead of starting its program."""
    from opentelemetry.sdk.trace import TracerProvider

    class Provider(TracerProvider):
        def _handle_fork(self) -> None:
            pass

    return Provider(resource=resource)


def set_provider(provider: trace.TracerProvider | None) -> None:
    """Record spans with this provider from now on; None: with none."""
    global _provider
    _provider = provider


def provider() -> trace.TracerProvider | None:
    """The one that was set; None: OpenTelemetry's own, which records nothing unless somebody else set it up."""
    return _provider


def tracer() -> trace.Tracer:
    return (_provider or trace.get_tracer_provider()).get_tracer("refstar_service")


def is_recording() -> bool:
    """Whether spans go anywhere. Those that do not still cost a restoration a tenth of a millisecond."""
    return not isinstance(_provider or trace.get_tracer_provider(), trace.ProxyTracerProvider)


def write_traceparent() -> str:
    """The current span as the text that travels with a job (W3C traceparent); "" if there is none."""
    carrier: dict[str, str] = {}
    _w3c.inject(carrier)
    return carrier.get(TRACEPARENT, "")


def read_traceparent(traceparent: str) -> Context:
    """What `write_traceparent` returned elsewhere, as the parent of a new span. Nonsense makes a trace of its own."""
    return _w3c.extract({TRACEPARENT: traceparent}, context=Context())


@contextmanager
def continue_trace(headers: Mapping[str, str]) -> Iterator[None]:
    """Within it, the trace that these headers name is the current one, unless a recorded span is."""
    if trace.get_current_span().get_span_context().is_valid or TRACEPARENT not in headers:
        yield
        return
    token = otel.attach(read_traceparent(headers[TRACEPARENT]))
    try:
        yield
    finally:
        otel.detach(token)
