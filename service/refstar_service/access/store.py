"""The seam between those who ask for keys and where keys are kept. Each store is one class with these methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from refstar_service.access.key import ApiKey


class KeyStore(Protocol):
    async def of_token(self, token_id: str) -> ApiKey | None:
        """The key that has a token with this id. A change is seen by the next call, wherever it was made."""

    async def get(self, name: str) -> ApiKey | None: ...

    async def names(self) -> list[str]:
        """In alphabetical order."""

    async def change(self, name: str, change: Callable[[ApiKey | None], ApiKey | None]) -> ApiKey | None:
        """Put what `change` makes of a key in its place (None: none), all or nothing; returns what it made.

        `change` may be called again when somebody else was quicker, and may raise.
        """
