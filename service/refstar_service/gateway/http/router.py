"""Routes that an app takes as they are."""

from fastapi import APIRouter
from fastapi.routing import APIRoute


def new_router(prefix: str = "", *, tag: str = "") -> APIRouter:
    """Its routes go under ``prefix`` and are described under ``tag``; without one, they are not described."""
    return APIRouter(
        prefix=prefix,
        tags=[tag] if tag else None,
        include_in_schema=bool(tag),
        generate_unique_id_function=_name_of,
    )


def _name_of(route: APIRoute) -> str:
    """Clients name their methods after it."""
    return route.name
