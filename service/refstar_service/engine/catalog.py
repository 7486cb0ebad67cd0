"""The installed models together: several versions of one name side by side, one of which the plain name means."""

import re
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Self

from refstar_service.engine.errors import ModelError
from refstar_service.engine.manifest import ModelManifest


@dataclass(frozen=True)
class Catalog:
    """``versions``: every model by ``NAME@VERSION``. ``defaults``: which of them a plain ``NAME`` means."""

    versions: Mapping[str, ModelManifest]
    defaults: Mapping[str, str]

    @classmethod
    def of(
        cls, manifests: Iterable[ModelManifest], chosen: Iterable[str] = (), held_back: Collection[str] = ()
    ) -> Self:
        """``chosen``: the defaults that were set, as ``NAME@VERSION``; of other names, the highest version is it, and
        one that is ``held_back`` only if there is none else. Raises ModelError for a chosen one that is not there."""
        versions = {one.full_name: one for one in manifests}
        defaults: dict[str, str] = {}
        for one in sorted(
            versions.values(), key=lambda one: (one.full_name not in held_back, order(one.version))
        ):
            defaults[one.name] = one.full_name
        for full_name in chosen:
            if full_name not in versions:
                raise ModelError(
                    f"REFSTAR_DEFAULT_MODELS names {full_name}, which is not installed; there are "
                    f"{', '.join(sorted(versions)) or 'no models'}"
                )
            defaults[versions[full_name].name] = full_name
        return cls(versions, defaults)

    def __bool__(self) -> bool:
        return bool(self.versions)

    def find(self, wanted: str) -> ModelManifest | None:
        """The model of a ``NAME`` or a ``NAME@VERSION``."""
        return self.versions.get(self.defaults.get(wanted, wanted))

    def is_default(self, manifest: ModelManifest) -> bool:
        """Whether the plain name means this version."""
        return self.defaults.get(manifest.name) == manifest.full_name

    @property
    def default_versions(self) -> list[ModelManifest]:
        """One of each name, by name."""
        return [self.versions[full_name] for _, full_name in sorted(self.defaults.items())]

    @property
    def all_versions(self) -> list[ModelManifest]:
        """By name, and the highest version of a name first."""
        highest_first = sorted(self.versions.values(), key=lambda one: order(one.version), reverse=True)
        return sorted(highest_first, key=lambda one: one.name)

    @property
    def names(self) -> frozenset[str]:
        """Whatever a job may ask for: each ``NAME`` and each ``NAME@VERSION``."""
        return frozenset(self.versions) | frozenset(self.defaults)


def order(version: str) -> tuple[tuple[tuple[bool, int, str], ...], bool, tuple[tuple[bool, int, str], ...]]:
    """A key by which versions ascend, as semantic versioning has it: numbers as numbers, 1.0.0-rc.1 before 1.0.0. What
    follows a ``+`` makes no difference."""
    release, _, early = version.partition("+")[0].partition("-")
    return _parts(release), not early, _parts(early)


def _parts(text: str) -> tuple[tuple[bool, int, str], ...]:
    return tuple(
        (not part.isdecimal(), int(part) if part.isdecimal() else 0, part)
        for part in re.split(r"[._-]", text)
        if part
    )
