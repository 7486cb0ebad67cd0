"""Settings of which models there are, and who gets which version of them."""

import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Self

from pydantic import Field, field_validator, model_validator

from refstar_service.settings.group import SettingsGroup, split_list

SHIPPED_MODELS = Path(__file__).parents[1] / "zoo"

_FULL_NAME = r"[A-Za-z0-9][A-Za-z0-9._-]*@[A-Za-z0-9][A-Za-z0-9.+_-]*"


@dataclass(frozen=True)
class Share:
    """A version of a model, as ``NAME@VERSION``, and the percentage of requests for that name that it is for."""

    full_name: str
    percent: float

    @property
    def name(self) -> str:
        return self.full_name.partition("@")[0]


class ModelSettings(SettingsGroup):
    """Where models are, and who gets which version of them."""

    # ---- the models

    models_dir: Path = SHIPPED_MODELS
    """Folder that contains one folder per model, or several such folders, separated by `:`. Default: the models shipped
    with the package. Models of one name need different versions. The face detector comes from the first of the folders
    that holds one, else from the package. Gateways and workers must see the same models."""

    default_models: str = ""
    """The version of a model for requests that name no version, as `NAME@VERSION`, separated by commas, such as
    `refstar@0.3.3`. Default: the highest version of each model that is neither `canary` nor `shadow`. Gateways and
    workers read it."""

    canary: str = ""
    """New versions for a share of the requests that name none, as `NAME@VERSION:PERCENT`, separated by commas, such as
    `refstar@0.4.0:5`. API keys are drawn, not requests: each always gets the same version, and a higher percentage adds
    keys and takes none away. In open mode, requests are drawn. One canary per name, and `default_models` must say which
    version the others get. What the canary cannot do, such as more references, the default version does."""

    shadow: str = ""
    """Versions that do restorations of others once more, to be compared in metrics and logs, as `NAME@VERSION:PERCENT`,
    separated by commas. Nobody is given these results, and nothing of them is stored. Workers do them one at a time
    when they have nothing else to do. With `:0`, only requests with the header `Shadow-Model: NAME@VERSION` have a
    shadow. One per name, and `default_models` must name the version that is in use."""

    shadow_queue: int = Field(16, ge=0)
    """Maximum number of restorations that wait to be done once more by a `shadow`; further ones are left out. While
    they wait, their uploads stay stored."""

    detector: Path | None = None
    """A YuNet network (an `.onnx` file as published in the OpenCV zoo) to find faces with, instead of the shipped
    detector. Check its license and measure it on your pictures. Only workers read it. A worker does not start if the
    file cannot be loaded."""

    @property
    def model_folders(self) -> tuple[Path, ...]:
        """The folders of `models_dir`."""
        return tuple(Path(part) for part in str(self.models_dir).split(os.pathsep) if part)

    @property
    def detector_models(self) -> Path:
        """The folder of models that has the face detector."""
        return next((p for p in self.model_folders if (p / "detector").is_dir()), SHIPPED_MODELS)

    @property
    def listed_default_models(self) -> tuple[str, ...]:
        return split_list(self.default_models)

    @property
    def canary_shares(self) -> tuple[Share, ...]:
        return tuple(map(_read_share, split_list(self.canary)))

    @property
    def shadow_shares(self) -> tuple[Share, ...]:
        return tuple(map(_read_share, split_list(self.shadow)))

    @property
    def held_back(self) -> frozenset[str]:
        """Versions that are the default only if they are set to be."""
        return frozenset(share.full_name for share in (*self.canary_shares, *self.shadow_shares))

    @model_validator(mode="after")
    def _check_pins(self) -> Self:
        """A version that is tried must not become everybody's in the moment in which it is tried no longer."""
        pinned = {name.partition("@")[0] for name in self.listed_default_models}
        for setting, shares in (("canary", self.canary_shares), ("shadow", self.shadow_shares)):
            for share in shares:
                if share.name not in pinned:
                    raise ValueError(
                        f"REFSTAR_{setting.upper()} names {share.full_name}, and REFSTAR_DEFAULT_MODELS no version "
                        f"of {share.name}: set it to the one that is in use, as {share.name}@VERSION. Else "
                        f"{share.full_name} could become the default for all as soon as it is no {setting}"
                    )
        return self

    @field_validator("default_models")
    @classmethod
    def _check_default_models(cls, value: str) -> str:
        for part in split_list(value):
            if not re.fullmatch(_FULL_NAME, part):
                raise ValueError(f"{part!r} is not NAME@VERSION, such as refstar@0.3.3")
        _refuse_twice([part.partition("@")[0] for part in split_list(value)])
        return value

    @field_validator("canary", "shadow")
    @classmethod
    def _check_shares(cls, value: str) -> str:
        for part in split_list(value):
            if not re.fullmatch(_FULL_NAME + r":\d{1,3}(\.\d+)?", part):
                raise ValueError(f"{part!r} is not NAME@VERSION:PERCENT, such as refstar@0.4.0:5")
            if _read_share(part).percent > 100:
                raise ValueError(f"{part!r}: a percentage is 100 at most")
        _refuse_twice([_read_share(part).name for part in split_list(value)])
        return value


def _read_share(text: str) -> Share:
    full_name, _, percent = text.rpartition(":")
    return Share(full_name, float(percent))


def _refuse_twice(names: list[str]) -> None:
    twice = sorted({name for name in names if names.count(name) > 1})
    if twice:
        raise ValueError(f"{', '.join(twice)} is named twice: one version of each name")
