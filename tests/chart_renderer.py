"""The few constructs of Helm's templates that the chart uses, for machines without Helm. Anything else is an error."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml
from yaml import CSafeLoader

CONDITION = re.compile(r"\s*\{\{- if (not )?\.Values\.([\w.]+) \}\}")
SPREAD = re.compile(r"\s*\{\{- toYaml \.Values\.([\w.]+) \| nindent (\d+) \}\}")
INLINE = re.compile(r"\{\{ (?:\.Values\.([\w.]+) \| toJson|(\.Release\.Namespace)|\"(\{\{)\") \}\}")


def look_up(values: dict[str, Any], path: str) -> Any:
    found: Any = values
    for part in path.split("."):
        found = found[part]
    return found


def merge(values: dict[str, Any], other: dict[str, Any]) -> dict[str, Any]:
    """As Helm does: objects key by key, everything else as a whole."""
    merged = dict(values)
    for key, value in other.items():
        old = merged.get(key)
        merged[key] = merge(old, value) if isinstance(old, dict) and isinstance(value, dict) else value
    return merged


def render_lines(text: str, values: dict[str, Any], namespace: str) -> Iterator[str]:
    def insert(match: re.Match[str]) -> str:
        path, release, braces = match.groups()
        return json.dumps(look_up(values, path)) if path else namespace if release else str(braces)

    open_conditions: list[bool] = []
    for line in text.splitlines():
        if condition := CONDITION.fullmatch(line):
            open_conditions.append(bool(look_up(values, condition[2])) != bool(condition[1]))
        elif line.strip() == "{{- else }}":
            open_conditions[-1] = not open_conditions[-1]
        elif line.strip() == "{{- end }}":
            open_conditions.pop()
        elif not all(open_conditions):
            continue
        elif spread := SPREAD.fullmatch(line):
            for part in yaml.safe_dump(look_up(values, spread[1])).splitlines():
                yield " " * int(spread[2]) + part
        else:
            assert "{{" not in INLINE.sub("", line), f"unknown construct: {line}"
            yield INLINE.sub(insert, line)
    assert not open_conditions


def render(chart: Path, given: dict[str, Any], namespace: str) -> list[dict[str, Any]]:
    """The documents of the chart with these values over its own."""
    values = merge(yaml.load((chart / "values.yaml").read_text(), CSafeLoader), given)
    rendered = []
    for path in sorted((chart / "templates").glob("*.yaml")):
        text = "\n".join(render_lines(path.read_text(), values, namespace)) + "\n"
        rendered += [document for document in yaml.load_all(text, CSafeLoader) if document]
    return rendered
