"""Server-sent events: from lines of text to states of a restoration, and when to come back after a stream has ended.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

from __future__ import annotations

import time
from dataclasses import dataclass, field

import httpx

from refstar_client.errors import (
    DeletedError,
    ProblemError,
    RefstarError,
    UnexpectedAnswerError,
    UnreachableError,
)
from refstar_client.flows import Patience, parse_retry_after, read_refusal, unexpected
from refstar_client.resources import Restoration

SILENCE = 45.0  # seconds; the service breaks its silence every 15


@dataclass
class EventParser:
    """Lines in, events out. ``last_id`` and ``retry`` (seconds) hold from one stream to the next."""

    last_id: str | None = None
    retry: float = 1.0
    _name: str = ""
    _data: list[str] = field(default_factory=list)

    def feed(self, line: str) -> tuple[str, str] | None:
        """The event (name and data) that an empty line completes, else None."""
        if not line:
            name, data = self._name or "message", "\n".join(self._data)
            self._name, self._data = "", []
            return (name, data) if data else None
        word, _, value = line.partition(":")
        value = value.removeprefix(" ")
        match word:
            case "event":
                self._name = value
            case "data":
                self._data.append(value)
            case "id":
                self.last_id = value
            case "retry" if value.isdecimal():
                self.retry = int(value) / 1000
        return None

    def forget_half(self) -> None:
        """A stream broke off: what came of its last event is worth nothing."""
        self._name, self._data = "", []


class Following:
    """The state of one who follows a restoration over any number of streams.

    Use it so: for every stream, `headers()`, then `accept(response)`, then `feed` for every line; `pause()` seconds
    before the next one, until `over`.
    """

    def __init__(self, restoration: str, patience: Patience) -> None:
        self.over = False
        self._restoration = restoration
        self._patience = patience
        self._parser = EventParser()
        self._failure: RefstarError | None = None
        self._failing_since = 0.0
        self._asked: float | None = None

    def headers(self) -> dict[str, str]:
        known = {} if self._parser.last_id is None else {"Last-Event-ID": self._parser.last_id}
        return {"Accept": "text/event-stream", "Cache-Control": "no-store"} | known

    def accept(self, response: httpx.Response) -> bool:
        """Whether events follow. Raises ProblemError or UnexpectedAnswerError where coming back would not help; a
        refused response must have been read."""
        self._parser.forget_half()
        if response.status_code == 204:
            self.over = True
            return False
        if response.is_success:
            if not response.headers.get("content-type", "").startswith("text/event-stream"):
                raise unexpected(response)
            self._failure = None
            return True
        self._asked = parse_retry_after(response.headers.get("retry-after"))
        refusal = read_refusal(response, self._asked)
        if response.status_code < 500 and response.status_code != 429:
            raise refusal
        self._note(refusal)
        return False

    def feed(self, line: str) -> Restoration | None:
        """The state that an event tells of; raises DeletedError at the end of one that was deleted."""
        event = self._parser.feed(line)
        if event is None:
            return None
        name, data = event
        if name == "deleted":
            raise DeletedError(f"restoration {self._restoration} was deleted")
        if name != "message":
            return None  # of a newer service
        state = Restoration.model_validate_json(data)
        self.over = state.ended
        return state

    def fail(self, error: httpx.TransportError) -> None:
        """A stream that could not be opened, or broke off."""
        failure = UnreachableError(f"events of {self._restoration}: {type(error).__name__}: {error}")
        failure.__cause__ = error
        self._note(failure)

    def pause(self) -> float:
        """Seconds until the next stream; raises what went wrong when patience is at its end."""
        pause = self._parser.retry if self._asked is None else self._asked
        self._asked = None
        if self._failure is not None:
            waited = time.monotonic() - self._failing_since
            if waited + pause > self._patience.seconds:
                raise self._failure
        return pause

    def _note(self, failure: ProblemError | UnexpectedAnswerError | UnreachableError) -> None:
        if self._failure is None:
            self._failing_since = time.monotonic()
        self._failure = failure
