"""Write the Helm chart of deploy/chart from the manifests and kustomizations of deploy/kubernetes, the one source.

.venv/bin/python scripts/write_chart.py            write it
.venv/bin/python scripts/write_chart.py --check    exit with 1 if it differs from what would be written

A component becomes `NAME.enabled` of values.yaml: its resources are written if that is true, and each operation of its
patches becomes an if around what it changes. Values are what scripts/chart_values.py lists. The templates use nothing
but if, not, else, `toJson`, and one `toYaml`.
"""

import argparse
import json
import re
import sys
import textwrap
import tomllib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from chart_values import COMPONENTS, VALUES, value_name

ROOT = Path(__file__).parents[1]
KUBERNETES = ROOT / "deploy" / "kubernetes"
CHART = ROOT / "deploy" / "chart"
NAMESPACE = "refstar"
HEAD = "# Written by scripts/write_chart.py from deploy/kubernetes: change those files.\n"
ABSENT = object()


@dataclass(frozen=True)
class Choice:
    """`then` if the component is enabled, else `otherwise`; either may be ABSENT."""

    component: str
    then: Any
    otherwise: Any


@dataclass(frozen=True)
class Reference:
    """A value of values.yaml in place of what the manifest says."""

    path: str


@dataclass
class Template:
    """A document, where it goes, and the conditions on which it is written: (component, whether it is enabled)."""

    file: str
    document: dict[str, Any]
    conditions: list[tuple[str, bool]]

    def is_at(self, kind: str, name: str, label: str = "") -> bool:
        key, _, value = label.partition("=")
        metadata = self.document["metadata"]
        right = not label or metadata.get("labels", {}).get(key) == value
        return (self.document["kind"], metadata["name"]) == (kind, name) and right


# ---- from kustomizations to templates


def read(path: Path) -> Any:
    return yaml.safe_load(path.read_text())


def read_templates() -> list[Template]:
    templates = []
    for folder, conditions in (("base", []), ("cpu", [("gpu", False)]), ("gpu", [("gpu", True)])):
        templates += list(read_resources(KUBERNETES / folder, conditions))
    for component in COMPONENTS:
        folder = KUBERNETES / component
        templates += list(read_resources(folder, [(component, True)]))
        for patch in read(folder / "kustomization.yaml").get("patches", ()):
            apply(component, patch, templates)
    return templates


def read_resources(folder: Path, conditions: list[tuple[str, bool]]) -> Iterator[Template]:
    kustomization = read(folder / "kustomization.yaml")
    labels = [pair for entry in kustomization.get("labels", ()) for pair in entry["pairs"].items()]
    for name in kustomization.get("resources", ()):
        if name.startswith(".."):
            continue
        for document in yaml.safe_load_all((folder / name).read_text()):
            if document["kind"] == "Namespace":
                continue  # Helm's user makes it
            document["metadata"].setdefault("labels", {}).update(labels)
            if not document["metadata"]["labels"]:
                del document["metadata"]["labels"]
            yield Template(f"{folder.name}-{name}", document, list(conditions))
    for other in kustomization.get("components", ()):
        yield from read_resources((folder / other).resolve(), conditions)
    for made in kustomization.get("configMapGenerator", ()):
        metadata = {"name": made["name"], "namespace": made["namespace"], "labels": made["options"]["labels"]}
        data = {Path(file).name: (folder / file).read_text() for file in made["files"]}
        document = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data}
        yield Template(f"{folder.name}-{made['name']}.yaml", document, list(conditions))


def apply(component: str, patch: dict[str, Any], templates: list[Template]) -> None:
    """Raises ValueError for a patch that is neither a list of operations nor a deletion."""
    target, operations = patch["target"], yaml.safe_load(patch["patch"])
    label = target.get("labelSelector", "")
    for template in (one for one in templates if one.is_at(target["kind"], target["name"], label)):
        if isinstance(operations, dict) and operations.get("$patch") == "delete":
            template.conditions.append((component, False))
            continue
        for operation in operations:
            parent, key = find(template.document, operation["path"])
            if operation["op"] == "add" and key == "-":
                parent.append(Choice(component, operation["value"], ABSENT))
            elif operation["op"] in ("add", "replace") and isinstance(parent, dict | list):
                old = parent[key] if operation["op"] == "replace" else ABSENT
                parent[key] = Choice(component, operation["value"], old)
            elif operation["op"] == "remove":
                parent[key] = Choice(component, ABSENT, parent[key])
            else:
                raise ValueError(f"{component}: {operation}")


def find(document: Any, pointer: str) -> tuple[Any, Any]:
    """The container that a JSON pointer's last part is in, and that part. Looks into what a component adds."""
    *parts, last = (part.replace("~1", "/").replace("~0", "~") for part in pointer.strip("/").split("/"))
    node = document
    for part in parts:
        node = node[int(part)] if isinstance(node, list) else node[part]
        if isinstance(node, Choice):
            node = node.otherwise if node.then is ABSENT else node.then
    return node, int(last) if isinstance(node, list) and last != "-" else last


def insert_values(templates: list[Template]) -> dict[str, Any]:
    """Puts references where values go; returns the defaults, nested as in values.yaml."""
    defaults: dict[str, Any] = {}
    for value in VALUES:
        for number, place in enumerate(value.places):
            kind, name, pointer = place.split("/", 2)
            name, _, which = name.partition("@")
            label = f"app.kubernetes.io/component={which}" if which else ""
            (template,) = (one for one in templates if one.is_at(kind, name, label))
            container, key = find(template.document, pointer)
            old = container[key]
            shown = old.then if isinstance(old, Choice) and old.then is not ABSENT else old
            shown = shown.otherwise if isinstance(shown, Choice) else shown
            if number == 0:
                put(defaults, value.path, plain(shown))
            if isinstance(old, Choice) and old.then is ABSENT:
                container[key] = Choice(old.component, ABSENT, Reference(value.path))
            elif isinstance(old, Choice):
                container[key] = Choice(old.component, Reference(value.path), old.otherwise)
            elif value.path == "settings":
                added = {name: one for name, one in old.items() if isinstance(one, Choice)}
                container[key] = {Reference(value.path): None} | added
            else:
                container[key] = Reference(value.path)
    return defaults


def plain(node: Any) -> Any:
    """Without what components add."""
    if isinstance(node, dict):
        return {key: plain(value) for key, value in node.items() if not isinstance(value, Choice)}
    return node


def put(values: dict[str, Any], path: str, value: Any) -> None:
    *parents, last = path.split(".")
    for part in parents:
        values = values.setdefault(part, {})
    values[last] = value


# ---- from templates to text


def condition(component: str, enabled: bool) -> str:
    return f"{{{{- if {'' if enabled else 'not '}.Values.{value_name(component)}.enabled }}}}"


def write_scalar(value: Any) -> str:
    if isinstance(value, Reference):
        return f"{{{{ .Values.{value.path} | toJson }}}}"
    if isinstance(value, str):
        simple = re.fullmatch(r"[A-Za-z/][\w./-]*", value) and isinstance(yaml.safe_load(value), str)
        text = value if simple else json.dumps(value, ensure_ascii=False)
        return text.replace("{{", '{{ "{{" }}')
    return json.dumps(value)


def write_choice(choice: Choice, indent: str, write: Any) -> Iterator[str]:
    """Both branches by `write`, without the absent one."""
    if choice.then is ABSENT:
        yield indent + condition(choice.component, False)
        yield from write(choice.otherwise)
    else:
        yield indent + condition(choice.component, True)
        yield from write(choice.then)
        if choice.otherwise is not ABSENT:
            yield indent + "{{- else }}"
            yield from write(choice.otherwise)
    yield indent + "{{- end }}"


def write_entry(key: str, value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Choice):
        yield from write_choice(value, indent, lambda branch: write_entry(key, branch, indent))
    elif isinstance(value, str) and "\n" in value:
        yield f"{indent}{key}: |{'' if value.endswith(chr(10)) else '-'}"
        for line in value.splitlines():
            yield (f"{indent}  {line}" if line else "").replace("{{", '{{ "{{" }}')
    elif isinstance(value, dict | list) and value:
        yield f"{indent}{key}:"
        yield from write_node(value, indent + "  ")
    else:
        yield f"{indent}{key}: {write_scalar(value)}"


def write_item(value: Any, indent: str) -> Iterator[str]:
    if isinstance(value, Choice):
        yield from write_choice(value, indent, lambda branch: write_item(branch, indent))
    elif isinstance(value, dict | list) and value:
        first, *others = write_node(value, indent + "  ")
        if first.lstrip().startswith("{{"):
            yield from (f"{indent}-", first)
        else:
            yield f"{indent}- {first.lstrip()}"
        yield from others
    else:
        yield f"{indent}- {write_scalar(value)}"


def write_node(node: Any, indent: str = "") -> Iterator[str]:
    if isinstance(node, list):
        for value in node:
            yield from write_item(value, indent)
        return
    for key, value in node.items():
        if isinstance(key, Reference):  # its entries, among others
            yield f"{indent}{{{{- toYaml .Values.{key.path} | nindent {len(indent)} }}}}"
        else:
            yield from write_entry(write_scalar(key), value, indent)


def write_template(template: Template) -> str:
    body = "\n".join(write_node(template.document))
    # The namespace of the release, in metadata and in addresses.
    body = re.sub(rf"(namespace: ){NAMESPACE}\b", r"\1{{ .Release.Namespace }}", body)
    body = body.replace(f"redis.{NAMESPACE}.svc", "redis.{{ .Release.Namespace }}.svc")
    for component, enabled in template.conditions:
        body = f"{condition(component, enabled)}\n{body}\n{{{{- end }}}}"
    return f"---\n{body}\n"


def write_values(defaults: dict[str, Any]) -> str:
    helps = {value.path: value.help for value in VALUES if value.help}
    switches = {value_name(component): text for component, text in COMPONENTS.items()}
    switches["gpu"] = "Workers on NVIDIA GPUs instead of CPUs."
    lines = [HEAD]
    for name, value in sorted(defaults.items(), key=lambda item: item[0] in switches):
        if name in switches:
            lines += [f"# {switches[name]}", f"{name}:", "  enabled: false"]
        else:
            lines += [f"# {line}" for line in textwrap.wrap(helps.get(name, ""), 110)] + [f"{name}:"]
        for key, one in value.items():
            if helps.get(f"{name}.{key}"):
                lines.append(f"  # {helps[f'{name}.{key}']}")
            dumped = yaml.safe_dump({key: one}, sort_keys=False, width=110)
            lines.append(textwrap.indent(dumped, "  ").rstrip())
        lines.append("")
    return "\n".join(lines).rstrip("\n") + "\n"


def describe(value: Any) -> dict[str, Any]:
    """Its JSON schema, so that Helm refuses a misspelled name of the upper two levels."""
    names = {bool: "boolean", int: "integer", str: "string", list: "array", dict: "object"}
    return {"type": names[type(value)]}


def write_schema(defaults: dict[str, Any]) -> str:
    properties = {}
    for name, value in defaults.items():
        if name == "settings":
            properties[name] = {"type": "object", "additionalProperties": {"type": "string"}}
            continue
        entries = {key: describe(one) for key, one in value.items()}
        if name == "gpu" or name in map(value_name, COMPONENTS):
            entries["enabled"] = {"type": "boolean"}
        properties[name] = {"type": "object", "properties": entries, "additionalProperties": False}
    schema = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "type": "object",
        "properties": properties | {"global": {"type": "object"}},
        "additionalProperties": False,
    }
    return json.dumps(schema, indent=1) + "\n"


def write_chart() -> dict[str, str]:
    """Files of the chart, by name."""
    templates = read_templates()
    defaults = insert_values(templates)
    version = tomllib.loads((ROOT / "service" / "pyproject.toml").read_text())["project"]["version"]
    about = {
        "apiVersion": "v2",
        "name": "refstar",
        "description": "RefSTAR Serve, reference-based face restoration behind an HTTP API",
        "type": "application",
        "version": version,
        "appVersion": version,
        "kubeVersion": ">=1.30.0-0",
    }
    files = {
        "Chart.yaml": HEAD + yaml.safe_dump(about, sort_keys=False),
        "values.yaml": write_values(defaults),
        "values.schema.json": write_schema(defaults),
    }
    for template in templates:
        name = f"templates/{template.file}"
        files[name] = files.get(name, HEAD) + write_template(template)
    return files


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the Helm chart from the manifests of kustomize.")
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 if it differs")
    check, made = parser.parse_args().check, write_chart()
    present = {str(path.relative_to(CHART)) for path in CHART.rglob("*") if path.is_file()}
    if check:
        for name in sorted(present | made.keys()):
            if name not in made or name not in present or (CHART / name).read_text() != made[name]:
                print(f"{CHART / name} differs from its source: run scripts/write_chart.py", file=sys.stderr)
                return 1
        return 0
    for name in present - made.keys():
        (CHART / name).unlink()
    for name, text in made.items():
        (CHART / name).parent.mkdir(parents=True, exist_ok=True)
        (CHART / name).write_text(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
