"""Every setting as a table: `refstar settings`, and docs/settings.md."""

import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal, get_args, get_origin

from pydantic.fields import FieldInfo

from refstar_service.settings import PREFIX, Settings
from refstar_service.settings.group import SettingsGroup
from refstar_service.settings.models import SHIPPED_MODELS

HEAD = f"""\
# Settings

<!-- Made by: python -m refstar_service.app.setting_list > docs/settings.md -->

Every setting is an environment variable with the prefix `{PREFIX}`; the command line has options for the most used
ones and overrides the environment. A name with the prefix that is no setting is reported at start, with the one that
was probably meant. `refstar settings` prints this list with the values that are in force.
"""


@dataclass(frozen=True)
class Entry:
    """One setting, in words."""

    section: str
    variable: str
    kind: str
    default: str
    description: str


def list_settings() -> Iterator[Entry]:
    """In the order of the source, with the headings that are comments there."""
    sections = read_sections()
    for name, field in Settings.model_fields.items():
        yield Entry(
            sections[name],
            f"{PREFIX}{name.upper()}",
            describe_kind(field),
            describe_default(field),
            " ".join((field.description or "").split()),
        )


def read_sections() -> dict[str, str]:
    """The heading above each setting: lines such as ``# ---- the worker``."""
    section, found = "", {}
    for group in reversed(Settings.__mro__):
        if not issubclass(group, SettingsGroup):
            continue
        for line in inspect.getsource(group).splitlines():
            if heading := re.fullmatch(r"    # ---- (.+)", line):
                section = heading[1]
            elif field := re.match(r"    (\w+): ", line):
                found[field[1]] = section
    return found


def describe_kind(field: FieldInfo) -> str:
    """``integer, at least 1``: what a value must be."""
    kind = field.annotation
    options = (
        [part for part in get_args(kind) if part is not type(None)] if get_origin(kind) is not Literal else []
    )
    kind = options[0] if options else kind
    if get_origin(kind) is Literal:
        return "one of " + ", ".join(f"`{choice}`" for choice in get_args(kind))
    names = {int: "integer", float: "number", str: "text", bool: "`true` or `false`", Path: "path"}
    words = [names[kind]]  # type: ignore[index]
    for rule in field.metadata:
        for bound, word in (("ge", "at least"), ("gt", "above"), ("le", "at most"), ("lt", "below")):
            if (value := getattr(rule, bound, None)) is not None:
                words.append(f"{word} {value:,}")
    return ", ".join(words)


def describe_default(field: FieldInfo) -> str:
    """The value; words where it depends on the machine, or where there is none."""
    if field.default_factory is not None:
        return "see the description"
    value = field.default
    if value is None or value == "":
        return "not set"
    if value == SHIPPED_MODELS:
        return "the models of the package"
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    return f"`{value}`"


def write_markdown() -> str:
    """All settings, one table a section."""
    lines, section = [HEAD], None
    for entry in list_settings():
        if entry.section != section:
            section = entry.section
            heading = section[:1].upper() + section[1:]
            lines += [
                f"\n## {heading}\n",
                "| variable | value | default | what it does |",
                "|---|---|---|---|",
            ]
        cells = (f"`{entry.variable}`", entry.kind, entry.default, entry.description)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines) + "\n"


def write_values(values: Settings) -> str:
    """Every setting with the value in force, for a person; secrets are not shown."""
    lines = []
    for name, field in Settings.model_fields.items():
        value = getattr(values, name)
        shown = "not set" if value in (None, "") else value if field.repr else "set, not shown"
        changed = name in values.model_fields_set
        lines.append(f"{PREFIX}{name.upper()} = {shown}{'' if changed else '  (default)'}")
    return "\n".join(lines)


def write_json(values: Settings) -> str:
    """The same for programs, with kind, default and description."""
    rows: list[dict[str, Any]] = []
    for entry, (name, field) in zip(list_settings(), Settings.model_fields.items(), strict=True):
        value = getattr(values, name)
        hidden = not field.repr and value
        rows.append(asdict(entry) | {"value": "set, not shown" if hidden else value})
    return json.dumps(rows, indent=1, default=str, ensure_ascii=False)


if __name__ == "__main__":
    print(write_markdown(), end="")
