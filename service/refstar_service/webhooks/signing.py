"""Signatures of Standard Webhooks 1.0 (symmetric: HMAC-SHA256, `v1`).

https://github.com/standard-webhooks/standard-webhooks/blob/main/spec/standard-webhooks.md
"""

import hashlib
import hmac
from base64 import b64encode
from collections.abc import Sequence

from refstar_service.access.key import webhook_secret_bytes


def signature(secret: str, message_id: str, timestamp: int, body: bytes) -> str:
    """Of one message at one attempt, as `v1,<base64>`; raises ValueError if the secret is none."""
    content = b"%s.%d.%s" % (message_id.encode(), timestamp, body)
    return "v1," + b64encode(hmac.digest(webhook_secret_bytes(secret), content, hashlib.sha256)).decode()


def headers(secrets: Sequence[str], message_id: str, timestamp: int, body: bytes) -> dict[str, str]:
    """The three headers, with a signature by every secret: whoever still has the old one can check it too."""
    return {
        "webhook-id": message_id,
        "webhook-timestamp": str(timestamp),
        "webhook-signature": " ".join(signature(secret, message_id, timestamp, body) for secret in secrets),
    }
