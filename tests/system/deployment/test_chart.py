"""The Helm chart: written from the kustomizations, and with the same values it gives the same documents as they do."""

import json
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from chart_renderer import render
from deployed_files import KUSTOMIZATIONS, ROOT, Document, by_name, container, kustomize, load, validate

CHART = ROOT / "deploy" / "chart"
COMPONENTS = sorted(path.parent.name for path in KUSTOMIZATIONS if load(path)["kind"] == "Component")
CHOICES = [
    ("cpu", ()),
    ("gpu", ()),
    *(("gpu", (component,)) for component in COMPONENTS),
    ("cpu", ("keda", "external-redis")),
    ("gpu", (*(one for one in COMPONENTS if one != "external-redis"), "external-redis")),
]


def name_choice(one: str | tuple[str, ...]) -> str:
    return one if isinstance(one, str) else "+".join(one) or "alone"


needs_helm = pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not installed")


def value_name(component: str) -> str:
    first, *others = component.split("-")
    return first + "".join(word.title() for word in others)


def enable(workers: str, components: tuple[str, ...]) -> dict[str, Any]:
    values = {value_name(component): {"enabled": True} for component in components}
    return values | {"gpu": {"enabled": workers == "gpu"}}


def helm_template(values: dict[str, Any], folder: Path, namespace: str = "refstar") -> list[Document]:
    (folder / "values.yaml").write_text(yaml.safe_dump(values))
    command = ["helm", "template", "refstar", CHART, "-n", namespace, "-f", folder / "values.yaml"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return [document for document in yaml.safe_load_all(done.stdout) if document]


def test_the_chart_is_what_the_kustomizations_say() -> None:
    command = [sys.executable, ROOT / "scripts" / "write_chart.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize(("workers", "components"), CHOICES, ids=name_choice)
def test_chart_and_kustomize_give_the_same(workers: str, components: tuple[str, ...], tmp_path: Path) -> None:
    wanted = kustomize(tmp_path, workers, *components)
    del wanted["Namespace", "refstar"]
    rendered = render(CHART, enable(workers, components), "refstar")
    assert len(rendered) == len(wanted)
    for name, document in by_name(rendered).items():
        assert document == wanted[name], name
        validate(document)


def test_values_reach_the_documents_and_the_namespace_is_that_of_the_release() -> None:
    values = {
        "settings": {"REFSTAR_QUEUE_LIMIT": "50", "REFSTAR_LOG_LEVEL": "debug"},
        "gateway": {"image": "registry.example/gateway:1", "resources": {"limits": {"memory": "4Gi"}}},
        "ingress": {"enabled": True, "host": "a.example"},
        "keda": {"enabled": True, "maxReplicas": 40},
    }
    documents = render(CHART, values, "faces")
    assert {document["metadata"]["namespace"] for document in documents} == {"faces"}
    found = by_name(documents)
    settings = found["ConfigMap", "refstar"]["data"]
    assert (settings["REFSTAR_QUEUE_LIMIT"], settings["REFSTAR_LOG_LEVEL"]) == ("50", "debug")
    assert settings["REFSTAR_ACCESS"] == "redis"  # as it was
    assert (
        settings["REFSTAR_HOST_NAMES"]
        == found["Ingress", "gateway"]["spec"]["rules"][0]["host"]
        == "a.example"
    )
    for name in ("gateway", "courier"):
        assert container(found["Deployment", name])["image"] == "registry.example/gateway:1"
    resources = container(found["Deployment", "gateway"])["resources"]
    assert resources == {"requests": {"cpu": "250m", "memory": "512Mi"}, "limits": {"memory": "4Gi"}}
    scaled = found["ScaledObject", "worker"]["spec"]
    assert scaled["maxReplicaCount"] == 40
    assert {trigger["metadata"]["address"] for trigger in scaled["triggers"]} == {"redis.faces.svc:6379"}
    for document in documents:
        validate(document)


def test_a_misspelled_value_is_refused() -> None:
    schema = json.loads((CHART / "values.schema.json").read_text())
    values = load(CHART / "values.yaml")
    jsonschema.validate(values, schema)
    for wrong in (
        {"gatewey": {}},
        {"keda": {"enable": True}},
        {"keda": {"enabled": "yes"}},
        {"settings": {"A": 1}},
    ):
        with pytest.raises(jsonschema.ValidationError):
            jsonschema.validate(wrong, schema)


@needs_helm
def test_helm_finds_nothing_wrong() -> None:
    done = subprocess.run(["helm", "lint", "--strict", CHART], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_helm
@pytest.mark.parametrize(("workers", "components"), CHOICES, ids=name_choice)
def test_helm_renders_as_these_tests_do(workers: str, components: tuple[str, ...], tmp_path: Path) -> None:
    values = enable(workers, components) | {"settings": {"REFSTAR_HOST": "<&>"}}
    assert by_name(helm_template(values, tmp_path, "faces")) == by_name(render(CHART, values, "faces"))
