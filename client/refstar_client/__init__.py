"""Client of RefSTAR Serve: `Client`, `AsyncClient`, and what they answer and raise."""

from refstar_client.async_client import AsyncClient
from refstar_client.client import Client
from refstar_client.errors import (
    AccessError,
    ConflictError,
    DeletedError,
    InvalidRequestError,
    LimitError,
    NotFoundError,
    PersonError,
    ProblemError,
    RefstarError,
    RestorationError,
    ServiceError,
    UnexpectedAnswerError,
    UnreachableError,
    WaitError,
    WebhookError,
)
from refstar_client.flows import Patience
from refstar_client.options import RestorationOptions
from refstar_client.resources import (
    Face,
    Model,
    Output,
    Person,
    Problem,
    Progress,
    Reference,
    Restoration,
    WebhookData,
    WebhookEvent,
)
from refstar_client.storing import PictureFile
from refstar_client.webhooks import verify_webhook

__all__ = [
    "AccessError",
    "AsyncClient",
    "Client",
    "ConflictError",
    "DeletedError",
    "Face",
    "InvalidRequestError",
    "LimitError",
    "Model",
    "NotFoundError",
    "Output",
    "Patience",
    "Person",
    "PersonError",
    "PictureFile",
    "Problem",
    "ProblemError",
    "Progress",
    "Reference",
    "RefstarError",
    "Restoration",
    "RestorationError",
    "RestorationOptions",
    "ServiceError",
    "UnexpectedAnswerError",
    "UnreachableError",
    "WaitError",
    "WebhookData",
    "WebhookError",
    "WebhookEvent",
    "verify_webhook",
]
