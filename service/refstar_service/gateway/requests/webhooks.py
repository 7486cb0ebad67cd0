"""Whether a webhook may be promised. A promise that cannot be kept is refused, before anything is stored."""

from refstar_service.gateway.http.auth import Caller
from refstar_service.gateway.http.context import Gateway
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.outgoing.endpoint import EndpointError, parse_endpoint
from refstar_service.outgoing.reach import webhook_reach


async def check_webhook(gateway: Gateway, caller: Caller, url: str) -> None:
    """Raises ProblemError unless a notice to this URL can be signed and sent. Resolves no name: sending does."""
    settings = gateway.settings
    if not (caller.key.webhook_secrets if caller.key else settings.webhook_secret):
        raise ProblemError(
            ProblemType.WEBHOOKS_NOT_CONFIGURED,
            "A webhook_url was sent, but there is no secret to sign webhooks with.",
            parameter="webhook_url",
        )
    try:
        parse_endpoint(url, webhook_reach(settings))
    except EndpointError as refused:
        raise ProblemError(
            ProblemType.WEBHOOK_URL_REFUSED, f"webhook_url: {refused}.", parameter="webhook_url"
        ) from refused
    if await gateway.notices.is_off(caller.owner, url):
        raise ProblemError(
            ProblemType.WEBHOOK_URL_GONE,
            "This webhook_url answered 410 Gone within the last seven days.",
            parameter="webhook_url",
        )
    if await gateway.notices.count_owed(caller.owner) >= settings.webhook_backlog:
        raise ProblemError(
            ProblemType.TOO_MANY_WEBHOOKS,
            f"{settings.webhook_backlog} webhooks are still waiting to be delivered, which is the limit.",
            headers={"Retry-After": "60"},
            limit=settings.webhook_backlog,
        )
