"""Which version of a model a request gets: the default, a canary for a share of those who ask, and beside it a shadow
that nobody is given the result of."""

import hashlib
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Self

from refstar_service.engine.catalog import Catalog
from refstar_service.engine.errors import ModelError
from refstar_service.engine.manifest import ModelManifest
from refstar_service.restoration.errors import Fault, RequestError
from refstar_service.settings import Settings
from refstar_service.settings.models import Share

Check = Callable[[ModelManifest], None]


@dataclass(frozen=True)
class Rollout:
    """`canaries` and `shadows` by the name of their model."""

    models: Catalog
    canaries: Mapping[str, Share]
    shadows: Mapping[str, Share]

    @classmethod
    def of(cls, models: Catalog, settings: Settings) -> Self:
        """Raises ModelError for a version that is not installed."""
        for setting, shares in (
            ("CANARY", settings.canary_shares),
            ("SHADOW", settings.shadow_shares),
        ):
            for share in shares:
                if share.full_name not in models.versions:
                    raise ModelError(
                        f"REFSTAR_{setting} names {share.full_name}, which is not installed; there are "
                        f"{', '.join(sorted(models.versions)) or 'no models'}"
                    )
        return cls(
            models,
            {share.name: share for share in settings.canary_shares},
            {share.name: share for share in settings.shadow_shares},
        )

    def choose(self, default: ModelManifest, owner: str, job_id: str, check: Check) -> ModelManifest:
        """The canary in the place of the `default` version if the owner is drawn (in open mode: the job), else the
        default. `check` raises RequestError for a model that cannot do what is asked: a canary refuses nothing that the
        default does."""
        share = self.canaries.get(default.name)
        if share is None or not self.models.is_default(default) or not _is_drawn(share, owner or job_id):
            return default
        canary = self.models.versions[share.full_name]
        return canary if _can(canary, check) else default

    def choose_shadow(self, chosen: ModelManifest, wanted: str | None, job_id: str, check: Check) -> str:
        """The shadow of a job that the `chosen` model does, as `NAME@VERSION`, or "". `wanted`: what the header of the
        request asks for; raises RequestError if no such shadow is offered."""
        if wanted is None:
            share = self.shadows.get(chosen.name)
            if share is None or not _is_drawn(share, job_id):
                return ""
            wanted = share.full_name
        elif wanted not in {share.full_name for share in self.shadows.values()}:
            reason = "is none of the models that do restorations once more here (REFSTAR_SHADOW)"
            fault = Fault("Shadow-Model", wanted[:80], reason)
            raise RequestError(
                "invalid-parameter", f"Shadow-Model: {wanted[:80]!r} {reason}.", faults=[fault]
            )
        shadow = self.models.versions[wanted]
        return wanted if shadow != chosen and _can(shadow, check) else ""

    def default_of(self, share: Share) -> str:
        """The version that those get for whom a canary is not."""
        return self.models.defaults[share.name]


def _can(model: ModelManifest, check: Check) -> bool:
    try:
        check(model)
    except RequestError:
        return False
    return True


def _is_drawn(share: Share, who: str) -> bool:
    """By a hash: everywhere the same, evenly spread, and for another version others come first."""
    digest = hashlib.sha256(f"{share.full_name} {who}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share.percent / 100 * 2**64
