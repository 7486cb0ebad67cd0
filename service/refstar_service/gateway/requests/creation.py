"""What is made of a form, once: whoever makes something of an upload goes this way."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

from fastapi import Request

from refstar_service.gateway.http.auth import Caller
from refstar_service.gateway.http.context import Gateway
from refstar_service.gateway.requests.form import Form, FormLimits, read_form
from refstar_service.gateway.requests.idempotency import Turn, idempotency_key, once

T = TypeVar("T")


async def made_once(
    request: Request,
    gateway: Gateway,
    caller: Caller,
    limits: FormLimits,
    make: Callable[[Form, Turn], Awaitable[T]],
) -> T:
    """What `make` returns for the form of this request; raises Problem. The upload takes its place until then, and its
    megabytes are gone after it: a wait need not hold them."""
    idempotency_key(request)  # a bad one is refused before megabytes are read
    async with gateway.upload_place(caller.owner):
        form = await read_form(request, limits)
        async with once(request, gateway, caller, form) as turn:
            return await make(form, turn)
