"""Conditional requests (RFC 9110, 13.1.2)."""


def matches(if_none_match: str | None, etag: str) -> bool:
    """Whether the client already has the representation with this (strong, quoted) tag."""
    if if_none_match is None:
        return False
    tags = [tag.strip().removeprefix("W/") for tag in if_none_match.split(",")]
    return "*" in tags or etag in tags
