"""An API key as a value. Its tokens are kept as hashes only: whoever reads the store cannot use what is there.

A key has a name, which owns the jobs and people made with it, and one token or more: to change a token without a gap,
add another to the same key, hand it out, and take the old one away. The same goes for the secrets that its webhooks
are signed with; those must be kept as they are, since signing needs them.

A token is `refstar_<id>_<secret>`. The id is no secret: it finds the token and may be shown. The secret is 256 random
bits, so a plain SHA-256 of it cannot be guessed back; a slow hash is for what people choose.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import re
import secrets
from base64 import b64decode, b64encode
from binascii import Error as Base64Error
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from pydantic import TypeAdapter, ValidationError

NAME = re.compile(r"[a-z0-9][a-z0-9._-]{0,63}")
_TOKEN = re.compile(r"refstar_([0-9a-f]{16})_([A-Za-z0-9_-]{43})")
SECRET_PREFIX = "whsec_"


@dataclass(frozen=True)
class Limits:
    """How much a key may ask for; 0 is no limit, and None what the settings say."""

    requests_per_minute: int | None = None
    restorations_per_day: int | None = None
    unfinished: int | None = None
    """Restorations that wait or run at the same time."""

    def or_else(self, default: Limits) -> Limits:
        given = {name: value for name, value in asdict(self).items() if value is not None}
        return replace(default, **given)


@dataclass(frozen=True)
class Token:
    """What is kept of a token. `digest`: SHA-256 of the whole token, in hex. `created_at` in unix seconds."""

    id: str
    digest: str
    created_at: float = 0.0


@dataclass(frozen=True)
class ApiKey:
    """`webhook_secrets`: the newest first; webhooks are signed with each of them. `may_prioritize`: whether
    restorations with high priority are taken.

    `found`: the record that it was read from. Another version may have written more into it than is known here; that is
    ignored, and written again when the key changes.
    """

    name: str
    tokens: tuple[Token, ...] = ()
    webhook_secrets: tuple[str, ...] = field(default=(), repr=False)
    limits: Limits = Limits()
    may_prioritize: bool = False
    found: Mapping[str, Any] = field(default_factory=dict, repr=False, compare=False)

    def __post_init__(self) -> None:
        if not NAME.fullmatch(self.name):
            raise ValueError(
                f"{self.name[:80]!r} is no name of a key: lower-case letters, digits, '.', '_' and '-', 64 at most"
            )

    def opens(self, token: str) -> bool:
        """Whether this is one of its tokens. Takes the same time whichever part of the token is wrong."""
        digest = _digest(token)
        matches = [hmac.compare_digest(digest, known.digest) for known in self.tokens]
        return any(matches)

    def with_token(self, now: float) -> tuple[ApiKey, str]:
        """This key with one more token, and the token, which is to be seen this once only."""
        identity = secrets.token_hex(8)
        token = f"refstar_{identity}_{secrets.token_urlsafe(32)}"
        return replace(self, tokens=(*self.tokens, Token(identity, _digest(token), now))), token

    def without_token(self, token_id: str) -> ApiKey:
        """This key without that token; raises ValueError if it has none with this id."""
        kept = tuple(token for token in self.tokens if token.id != token_id)
        if len(kept) == len(self.tokens):
            raise ValueError(
                f"the key {self.name} has no token {token_id[:80]!r}; it has {self._token_ids()}"
            )
        return replace(self, tokens=kept)

    def with_webhook_secret(self) -> ApiKey:
        """With a new secret before the last one: both sign until the old one is dropped."""
        return replace(self, webhook_secrets=(new_webhook_secret(), *self.webhook_secrets[:1]))

    def with_newest_webhook_secret_only(self) -> ApiKey:
        return replace(self, webhook_secrets=self.webhook_secrets[:1])

    def _token_ids(self) -> str:
        return ", ".join(token.id for token in self.tokens) or "none"

    def to_json(self) -> str:
        found_tokens = {one["id"]: one for one in self.found.get("tokens", ())}
        record = {
            **self.found,
            "name": self.name,
            "tokens": [{**found_tokens.get(token.id, {}), **asdict(token)} for token in self.tokens],
            "webhook_secrets": self.webhook_secrets,
            "limits": {**self.found.get("limits", {}), **asdict(self.limits)},
            "may_prioritize": self.may_prioritize,
        }
        return json.dumps(record, separators=(",", ":"))

    @classmethod
    def from_json(cls, text: str) -> ApiKey:
        """What `to_json` wrote, in this version or another: what is not known here is kept, what is missing has its
        default. Raises ValueError, which never shows what is stored."""
        try:
            key = _KEY.validate_json(text)
        except ValidationError as error:
            first = error.errors(include_url=False, include_input=False, include_context=False)[0]
            where = ".".join(str(part) for part in first["loc"]) or "the record"
        else:
            return replace(key, found=json.loads(text))
        # Not from within: the error that is being handled quotes the record.
        raise ValueError(f"an API key cannot be read: {where} is missing or of another kind")


_KEY = TypeAdapter(ApiKey)


def token_id(token: str) -> str | None:
    """The part of a token that may be shown; None if it has not the form of one."""
    match = _TOKEN.fullmatch(token)
    return match[1] if match else None


def new_webhook_secret() -> str:
    return SECRET_PREFIX + b64encode(secrets.token_bytes(32)).decode()


def webhook_secret_bytes(secret: str) -> bytes:
    """The bytes to sign with; raises ValueError, which never shows the secret."""
    try:
        data = b64decode(secret.removeprefix(SECRET_PREFIX), validate=True)
    except (Base64Error, ValueError):
        data = b""
    if not secret.startswith(SECRET_PREFIX) or not 24 <= len(data) <= 64:
        raise ValueError("a webhook secret is whsec_ and the base64 of 24 to 64 random bytes")
    return data


def _digest(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()
