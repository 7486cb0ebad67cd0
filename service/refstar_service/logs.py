"""Log lines for people, or one JSON object a line for collectors. Never picture bytes, never keys."""

import json
import logging
import sys
import time
from collections.abc import Mapping
from contextlib import AbstractContextManager
from contextvars import ContextVar
from types import MappingProxyType

from opentelemetry import trace

#: Attributes that every record has; what else a record carries was given as `extra` and belongs into the line.
_PLAIN = frozenset(vars(logging.makeLogRecord({}))) | {
    "message",
    "asctime",
    "taskName",
    "color_message",
    "about",
}

_NOTHING: Mapping[str, str | int] = MappingProxyType({})
_about: ContextVar[Mapping[str, str | int]] = ContextVar("about", default=_NOTHING)


def bind_fields(**fields: str | int) -> AbstractContextManager[None]:
    """Every line logged within carries these: `job`, `attempt`, `request_id`. Empty ones are left out."""
    return _Bound({name: value for name, value in fields.items() if value != ""})


class _Bound:
    """Not a generator: every stage of every job enters one."""

    def __init__(self, fields: Mapping[str, str | int]) -> None:
        self._fields = fields

    def __enter__(self) -> None:
        self._token = _about.set({**_about.get(), **self._fields})

    def __exit__(self, *_: object) -> None:
        _about.reset(self._token)


def request_id() -> str:
    """The id of the request that this code runs for, or ""."""
    return str(_about.get().get("request_id", ""))


class WithContext(logging.Filter):
    """Puts what `bind_fields` says, and the trace, on each record, in the thread and task that logs it."""

    def filter(self, record: logging.LogRecord) -> bool:
        fields = dict(_about.get())
        span = trace.get_current_span().get_span_context()
        if span.is_valid:
            fields |= {"trace_id": f"{span.trace_id:032x}", "span_id": f"{span.span_id:016x}"}
        record.about = fields
        return True


class JsonLines(logging.Formatter):
    def format(self, record: logging.LogRecord) -> str:
        line: dict[str, object] = {
            "time": time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(record.created))
            + f".{int(record.msecs):03d}Z",
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": record.getMessage(),
        }
        line |= getattr(record, "about", {})
        line |= {name: value for name, value in vars(record).items() if name not in _PLAIN}
        if record.exc_info:
            line["error"] = self.formatException(record.exc_info)
        return json.dumps(line, default=str)


class TextLines(logging.Formatter):
    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)-7s %(name)s: %(message)s", "%H:%M:%S")

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802  the base class's name
        line, message = super().formatMessage(record), record.getMessage()
        fields = getattr(record, "about", {}).items()
        # Ids of traces are for machines, and an id that the message names already is not said twice.
        told = [
            f"{name}={value}"
            for name, value in fields
            if name in _FOR_PEOPLE and (name == "attempt" or str(value) not in message)
        ]
        return f"{line} [{' '.join(told)}]" if told else line


_FOR_PEOPLE = ("job", "attempt", "request_id")


def configure_logging(level: str, as_json: bool) -> None:
    """Configure the root logger of this process; level is debug, info, warning or error."""
    handler = logging.StreamHandler(sys.stderr)
    handler.addFilter(WithContext())
    handler.setFormatter(JsonLines() if as_json else TextLines())
    logging.basicConfig(level=level.upper(), handlers=[handler], force=True)
    # uvicorn names its own start and end; the gateway's and the worker's lines say the same better.
    logging.getLogger("uvicorn.error").setLevel(logging.WARNING)
