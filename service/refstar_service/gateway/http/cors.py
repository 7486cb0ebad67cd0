"""Browser clients of other origins: those that the operator lists, exactly. Keys come in a header, never as cookies."""

from fastapi import FastAPI
from starlette.middleware.cors import CORSMiddleware

PREFLIGHT_HOLDS = 600  # seconds
_METHODS = ("GET", "HEAD", "POST", "PATCH", "DELETE")
_SENT = (
    "Authorization",
    "Idempotency-Key",
    "If-None-Match",
    "Last-Event-ID",
    "Prefer",
    "Shadow-Model",
    "X-API-Key",
    "X-Request-ID",
)
#: What scripts may read of an answer, besides the little that browsers always let them.
_READ = (
    "Content-Disposition",
    "ETag",
    "Idempotency-Replayed",
    "Link",
    "Location",
    "Preference-Applied",
    "RateLimit",
    "RateLimit-Policy",
    "Retry-After",
    "X-Request-ID",
)


def allow_origins(app: FastAPI, origins: tuple[str, ...]) -> None:
    """Let pages of these origins call the service; without any, browsers keep all others' pages out."""
    if origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=origins,
            allow_methods=_METHODS,
            allow_headers=_SENT,
            expose_headers=_READ,
            max_age=PREFLIGHT_HOLDS,
        )
