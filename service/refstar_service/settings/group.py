"""What the groups of settings have in common."""

from pydantic import BaseModel, ConfigDict

KIB = 1024
MIB = 1024 * KIB


class SettingsGroup(BaseModel):
    """Some of `Settings`, which is composed of groups.

    The text below each setting is its description in help and docs, a comment such as ``# ---- the queue`` the heading
    above those that follow. Names must be unique in all groups, those of validators too.
    """

    # Deferred: only `Settings` is ever built, and every process would take 15 ms to be ready to build the groups.
    model_config = ConfigDict(frozen=True, use_attribute_docstrings=True, defer_build=True)


def split_list(text: str) -> tuple[str, ...]:
    """What a setting lists, separated by commas."""
    return tuple(filter(None, map(str.strip, text.split(","))))
