"""Who is asking: the bearer of an API key, or, in open mode, whoever is at this machine.

`identify_caller` is the one door to everything under /v1. Whoever comes through it has shown a key that is known and
has asked no more often than the key may; in open mode, it was no web page of somebody else's that made a browser ask.
"""

from dataclasses import dataclass
from functools import partial
from typing import Annotated, Any
from urllib.parse import urlsplit

from fastapi import Depends, Request
from redis.exceptions import ResponseError

from refstar_service.access import ApiKey, KeyStore, Limits
from refstar_service.access.key import token_id
from refstar_service.gateway.http.context import Gateway, GatewayDep
from refstar_service.gateway.http.full_disk import is_disk_full
from refstar_service.gateway.http.limits import charge, request_policy
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.http.problems import ProblemError
from refstar_service.gateway.http.responses import describe_problems

OPEN = ""  # the owner of everything that is made without a key
_SAFE = ("GET", "HEAD", "OPTIONS")
_NO_KEY = ApiKey("nobody")


@dataclass(frozen=True)
class Caller:
    """`owner` is what jobs and people are made with and found by; `key` is None in open mode."""

    owner: str
    key: ApiKey | None
    limits: Limits
    token_id: str = ""
    """Of the token that was shown; empty in open mode."""

    @property
    def may_prioritize(self) -> bool:
        return self.key is None or self.key.may_prioritize

    def owns(self, owner: str) -> bool:
        return self.owner == owner


async def identify_caller(request: Request, gateway: GatewayDep) -> Caller:
    """Whose request it is; raises ProblemError for whoever may not ask."""
    if gateway.keys is None:
        _refuse_other_sites(request, gateway)
        return Caller(OPEN, None, Limits(0, 0, 0))
    key, shown = await _authenticate(request, gateway.keys)
    known = Caller(key.name, key, key.limits.or_else(_default_limits(gateway)), shown)
    _take_place(request, gateway, known.owner)
    try:
        await charge(request, gateway, known.owner, request_policy(known.limits))
    except ResponseError as error:
        # Then nothing can be counted, and nothing new be made: results can still be fetched, and pictures deleted.
        if not is_disk_full(error):
            raise
    return known


CallerDep = Annotated[Caller, Depends(identify_caller)]


def describe_access(document: dict[str, Any]) -> None:
    """Say in the OpenAPI document that everything under /v1 asks for a key, and how it refuses."""
    document["components"]["securitySchemes"] = {
        "bearer": {"type": "http", "scheme": "bearer", "description": "An API key of this service."},
        "header": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
    }
    refusals = describe_problems(
        ProblemType.KEY_REQUIRED,
        ProblemType.KEY_INVALID,
        ProblemType.KEYS_UNAVAILABLE,
        ProblemType.TOO_MANY_CONNECTIONS,
        ProblemType.QUOTA_EXCEEDED,
        ProblemType.QUEUE_UNAVAILABLE,
    )
    for path, operations in document["paths"].items():
        if path.startswith("/v1/"):
            for operation in operations.values():
                for status, answer in refusals.items():
                    operation["responses"].setdefault(str(status), answer)
                operation["security"] = [{"bearer": []}, {"header": []}]


def report_invalid_key() -> ProblemError:
    return ProblemError(
        ProblemType.KEY_INVALID,
        "This API key is unknown or was revoked.",
        headers={"WWW-Authenticate": 'Bearer realm="refstar", error="invalid_token"'},
    )


def _take_place(request: Request, gateway: Gateway, owner: str) -> None:
    """One of the requests in progress that the key may have; the edge gives it back once the answer is out."""
    places = gateway.connections.requests
    if places.take(owner) is not None:
        raise ProblemError(
            ProblemType.TOO_MANY_CONNECTIONS,
            f"This key has {places.held_by(owner)} requests in progress at this gateway, which is its share of "
            f"{places.most}. Try again in a moment.",
            headers={"Retry-After": "1"},
        )
    request.scope["state"]["release"] = partial(places.give_back, owner)


async def _authenticate(request: Request, keys: KeyStore) -> tuple[ApiKey, str]:
    """The key, and the id of the token that was shown."""
    scheme, _, token = request.headers.get("authorization", "").partition(" ")
    if scheme.lower() != "bearer":
        scheme, token = "", request.headers.get("x-api-key", "")
    if not token:
        raise ProblemError(
            ProblemType.KEY_REQUIRED,
            "The request has no API key.",
            headers={"WWW-Authenticate": 'Bearer realm="refstar"'},
        )
    token = token.strip()
    identity = token_id(token)
    key = await keys.of_token(identity) if identity else None
    # Looked at even if there is none: how long this takes must not tell.
    if not (key or _NO_KEY).opens(token) or key is None or identity is None:
        raise report_invalid_key()
    return key, identity


def _default_limits(gateway: Gateway) -> Limits:
    settings = gateway.settings
    return Limits(settings.requests_per_minute, settings.restorations_per_day, settings.unfinished_per_key)


def _refuse_other_sites(request: Request, gateway: Gateway) -> None:
    """In open mode a browser on this machine is let in, so it must be known who tells it what to ask."""
    if request.method in _SAFE:
        return
    # Browsers say where a request comes from; older ones with the Origin alone, other programs not at all.
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    host = request.headers.get("host", "")
    own = site in ("same-origin", "none") if site else origin is None or urlsplit(origin).netloc == host
    if not own and origin not in gateway.settings.listed_cors_origins:
        raise ProblemError(
            ProblemType.CROSS_SITE_REQUEST,
            f"The request comes from a page of {(origin or 'another site')[:80]}.",
        )
