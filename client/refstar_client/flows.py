"""How one request is carried out, without doing it: a flow is a generator that yields what it wants done and is sent
what came of it. `Client` and `AsyncClient` drive the same flows, so no rule is written twice."""

from __future__ import annotations

import random
import time
from collections.abc import Generator, Mapping
from dataclasses import dataclass, field
from email.utils import parsedate_to_datetime
from typing import Any, TypeVar

import httpx
from pydantic import ValidationError

from refstar_client.errors import ProblemError, UnexpectedAnswerError, UnreachableError, problem_error
from refstar_client.resources import Problem
from refstar_client.uploads import FormFile

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """A request. ``document``: its body as JSON, instead of a form. ``waits``: seconds that the service was asked to
    hold its answer, beyond the usual timeout."""

    method: str
    path: str
    headers: Mapping[str, str] = field(default_factory=dict)
    query: Mapping[str, str] = field(default_factory=dict)
    fields: Mapping[str, str | list[str]] = field(default_factory=dict)
    files: tuple[FormFile, ...] = ()
    document: Mapping[str, Any] | None = None
    waits: float = 0.0


@dataclass(frozen=True)
class Pause:
    seconds: float


Flow = Generator[Call | Pause, httpx.Response | None, T]


@dataclass(frozen=True)
class Patience:
    """How long one request is tried for.

    ``seconds``: spent on pauses between tries, all together. A ``Retry-After`` beyond what is left is not begun: the
    problem is raised at once. ``tries``: at most so many, where the service does not say when to come back.
    """

    seconds: float = 120.0
    tries: int = 5

    def __post_init__(self) -> None:
        if self.seconds < 0 or self.tries < 1:
            raise ValueError("patience needs seconds of at least 0 and at least 1 try")


FIRST_PAUSE = 0.5  # seconds; it doubles with every try
LONGEST_PAUSE = 8.0
_AGAIN = frozenset((408, 429, 500, 502, 503, 504))


def attempt(call: Call, patience: Patience) -> Flow[httpx.Response]:
    """The answer to a call that is safe to repeat, whatever happens to it on its way.

    Raises ProblemError for a refusal, UnexpectedAnswerError for an answer that is not the service's, UnreachableError
    without an answer.
    """
    left, tries = patience.seconds, 0
    while True:
        tries += 1
        refusal: ProblemError | UnexpectedAnswerError | UnreachableError
        asked: float | None = None
        try:
            response = yield call
        except httpx.TransportError as error:
            refusal = UnreachableError(f"{call.method} {call.path}: {type(error).__name__}: {error}")
            refusal.__cause__ = error
            again = not isinstance(error, httpx.UnsupportedProtocol)
        else:
            assert response is not None
            if response.is_success:
                return response
            asked = parse_retry_after(response.headers.get("retry-after"))
            refusal = read_refusal(response, asked)
            # 409 with a date: it will be possible soon, as when the first request with this key is under way.
            again = response.status_code in _AGAIN or (response.status_code == 409 and asked is not None)
        pause = asked if asked is not None else _back_off(tries)
        if not again or pause > left or (asked is None and tries >= patience.tries):
            raise refusal
        left -= pause
        yield Pause(pause)


def _back_off(tries: int) -> float:
    # What failed together need not come back together.
    return min(LONGEST_PAUSE, FIRST_PAUSE * 2.0 ** (tries - 1)) * random.uniform(0.5, 1.0)


def read_refusal(response: httpx.Response, retry_after: float | None) -> ProblemError | UnexpectedAnswerError:
    """Why the service refused. A gateway or a proxy before it may have answered instead."""
    try:
        if "json" not in response.headers.get("content-type", ""):
            raise ValueError
        problem = Problem.model_validate_json(response.content)
    except ValueError:
        return unexpected(response)
    status = problem.status or response.status_code
    return problem_error(problem.model_copy(update={"status": status}), retry_after)


def unexpected(response: httpx.Response) -> UnexpectedAnswerError:
    code = response.status_code
    if response.is_redirect:
        hint = f"a redirect to {response.headers.get('location', 'nowhere')}, which is not followed: use that address"
    else:
        hint = f"{response.headers.get('content-type', 'nothing')} that is not RefSTAR Serve's: check the address"
    return UnexpectedAnswerError(
        f"{response.request.method} {response.request.url}: {code} with {hint}", code
    )


def parse_body(kind: type[T], response: httpx.Response) -> T:
    """The body as what it should be; raises UnexpectedAnswerError if it is not."""
    try:
        return kind.model_validate_json(response.content)  # type: ignore[attr-defined, no-any-return]
    except ValidationError as error:
        raise unexpected(response) from error


def parse_retry_after(value: str | None) -> float | None:
    """Seconds to wait, from a number of them or a date (RFC 9110, 10.2.3); None if it is neither."""
    text = (value or "").strip()
    if text.isdecimal() and len(text) < 10:
        return float(text)
    try:
        return max(0.0, parsedate_to_datetime(text).timestamp() - time.time())
    except (ValueError, OverflowError):
        return None
