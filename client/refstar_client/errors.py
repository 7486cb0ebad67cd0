"""Everything that this package raises for a reason outside the program.

RefstarError
├── UnreachableError             no answer, or none that came through whole
├── UnexpectedAnswerError        an answer, but not one of this service: a wrong address, or a proxy in between
├── ProblemError                 the service refused the request and says why
│   ├── InvalidRequestError      400, 413, 415, 422: the request must be changed
│   ├── AccessError              401, 403, 421: this key, or this host name, may not
│   ├── NotFoundError            404, 410: it is not there, or not any more
│   ├── ConflictError            409: not in this state
│   ├── LimitError               429: later; `retry_after` says when
│   └── ServiceError             5xx and 408: not the request's fault
├── RestorationError             a restoration ended without a result; `restoration` says how
├── PersonError                  none of a person's references can be used; `person` says why
├── WaitError                    it had not ended when the time was over
├── DeletedError                 a restoration was deleted while it was followed
└── WebhookError                 a webhook that is not from the service, or too old
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from refstar_client.resources import Person, Problem, Restoration


class RefstarError(Exception):
    """What all of them are."""


class UnreachableError(RefstarError):
    """No whole answer came back, however often it was tried; its cause is httpx's exception."""


class UnexpectedAnswerError(RefstarError):
    """An answer that is not the service's."""

    def __init__(self, message: str, status: int) -> None:
        super().__init__(message)
        self.status = status


class ProblemError(RefstarError):
    """A problem (RFC 9457) instead of an answer.

    `problem` is the whole of it; `retry_after` the seconds after which the service expects to accept the request, None
    if it names none.
    """

    def __init__(self, problem: Problem, retry_after: float | None = None) -> None:
        super().__init__(f"{problem.slug}: {problem.detail}")
        self.problem = problem
        self.retry_after = retry_after

    @property
    def slug(self) -> str:
        """The stable name of the problem, such as `queue-full`; docs/errors.md has them all."""
        return self.problem.slug

    @property
    def status(self) -> int:
        return self.problem.status

    @property
    def detail(self) -> str:
        return self.problem.detail

    @property
    def request_id(self) -> str | None:
        """What the operator of the service finds the request by, in the logs."""
        return self.problem.request_id

    @property
    def members(self) -> dict[str, Any]:
        """What else the problem says: `errors`, `limit`, `parameter`, `failure`."""
        return dict(self.problem.model_extra or {})


class InvalidRequestError(ProblemError):
    """The same request will be refused again."""


class AccessError(ProblemError):
    """No key, a wrong one, or a host name that the service does not answer to."""


class NotFoundError(ProblemError):
    """It never was there, was deleted, or has expired."""


class ConflictError(ProblemError):
    """It is not in a state in which this can be done."""


class LimitError(ProblemError):
    """A limit was reached, and waiting for as long as the client may did not help."""


class ServiceError(ProblemError):
    """The service could not do it, and trying again did not help."""


class RestorationError(RefstarError):
    """A restoration failed, was canceled, or has expired."""

    def __init__(self, restoration: Restoration) -> None:
        error = restoration.error
        why = f": {error.slug}: {error.detail}" if error else ""
        super().__init__(f"restoration {restoration.id} {restoration.status}{why}")
        self.restoration = restoration


class PersonError(RefstarError):
    """None of the references can be used."""

    def __init__(self, person: Person) -> None:
        why = f": {person.error.slug}: {person.error.detail}" if person.error else ""
        super().__init__(f"person {person.id} cannot be used{why}")
        self.person = person


class WaitError(RefstarError):
    """What was waited for goes on; its id is in the message."""


class DeletedError(RefstarError):
    """Somebody deleted the restoration."""


class WebhookError(RefstarError):
    """A webhook that must not be believed; the message says why."""


_BY_STATUS: dict[int, type[ProblemError]] = {
    401: AccessError,
    403: AccessError,
    404: NotFoundError,
    408: ServiceError,
    409: ConflictError,
    410: NotFoundError,
    421: AccessError,
    429: LimitError,
}


def problem_error(problem: Problem, retry_after: float | None = None) -> ProblemError:
    """The exception for a problem, by its status."""
    kind = _BY_STATUS.get(problem.status) or (ServiceError if problem.status >= 500 else InvalidRequestError)
    return kind(problem, retry_after)
