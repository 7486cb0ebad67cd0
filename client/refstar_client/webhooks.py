"""Webhooks of the service: Standard Webhooks 1.0, symmetric signatures (HMAC-SHA256).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

from __future__ import annotations

import hashlib
import hmac
import json
import time
from base64 import b64decode
from collections.abc import Mapping, Sequence

from pydantic import ValidationError

from refstar_client.errors import WebhookError
from refstar_client.resources import WebhookEvent

TOLERANCE = 300.0  # seconds; what is older may have been recorded and sent again by somebody else
_PREFIX = "whsec_"
_MOST_DIGITS = 15  # of a timestamp: seconds for 30 million years, which a float holds exactly


def verify_webhook(
    body: bytes,
    headers: Mapping[str, str],
    secret: str | Sequence[str],
    *,
    tolerance: float = TOLERANCE,
    now: float | None = None,
) -> WebhookEvent:
    """The event that a webhook tells of, once its signature and its age are checked.

    ``body``: exactly as it came, before any parsing. ``secret``: the key's `whsec_…`, or several while one replaces
    another. ``now``: unix seconds, by default the clock's. Raises WebhookError for a webhook that must not be
    believed, ValueError for a secret that is none.
    """
    keys = [_key(one) for one in ([secret] if isinstance(secret, str) else secret)]
    if not keys:
        raise ValueError("a webhook cannot be checked without a secret")
    given = {name.lower(): value for name, value in headers.items()}
    try:
        message, moment, offered = (given[f"webhook-{name}"] for name in ("id", "timestamp", "signature"))
    except KeyError as error:
        raise WebhookError(f"the header {error} is missing: this is no webhook of the service") from None
    if not message.isascii():  # what some servers make of other bytes cannot be encoded
        raise WebhookError(f"webhook-id is {message[:40]!r}, not an id of the service")
    if not moment.isascii() or not moment.isdecimal() or len(moment) > _MOST_DIGITS:
        raise WebhookError(f"webhook-timestamp is {moment[:40]!r}, not seconds")
    age = (time.time() if now is None else now) - int(moment)
    if abs(age) > tolerance:
        raise WebhookError(f"it was signed {age:.0f} s ago, more than {tolerance:g} s: check the clock")
    content = b"%s.%s.%s" % (message.encode(), moment.encode(), body)
    digests = [hmac.digest(key, content, hashlib.sha256) for key in keys]
    signatures = [_decode(part.removeprefix("v1,")) for part in offered.split() if part.startswith("v1,")]
    if not any(hmac.compare_digest(digest, one) for digest in digests for one in signatures):
        raise WebhookError("no signature fits: another secret, or a body that was changed on its way")
    try:
        return WebhookEvent.model_validate({**json.loads(body), "id": message})
    except (ValidationError, ValueError, TypeError, RecursionError) as error:
        raise WebhookError(f"it is signed, but no event of a restoration: {error}") from error


def _key(secret: str) -> bytes:
    key = _decode(secret.removeprefix(_PREFIX)) if secret.startswith(_PREFIX) else b""
    if not key:
        raise ValueError(f"a webhook secret is {_PREFIX} and base64, as `refstar keys` shows it")
    return key


def _decode(text: str) -> bytes:
    try:
        return b64decode(text, validate=True)
    except ValueError:
        return b""
