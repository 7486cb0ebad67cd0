"""The files around the code, as the tests of tests/system/deployment read them."""

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator
from functools import cache
from pathlib import Path
from typing import Any

import kubernetes_validate
import yaml
from refstar_service.settings import PREFIX
from yaml import CSafeLoader

ROOT = Path(__file__).parents[1]
TOOLS = Path(sys.executable).parent
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
VARIABLES = sorted((ROOT / "docker").glob("*.env"))
COMPOSE = ROOT / "docker-compose.yml"
KUBERNETES = ROOT / "deploy" / "kubernetes"
PROMETHEUS = ROOT / "deploy" / "monitoring" / "prometheus.yml"
KUSTOMIZATIONS = sorted(KUBERNETES.glob("*/kustomization.yaml"))
MANIFESTS = sorted(set(KUBERNETES.glob("*/*.yaml")) - set(KUSTOMIZATIONS))
SCALED_OBJECT = KUBERNETES / "keda" / "scaled-object.yaml"
# Operators bring schemas of their own; what is for them is checked by what it says.
OPERATED = ("keda.sh/", "monitoring.coreos.com/")
WORKER_PORT = 9100

Document = dict[str, Any]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def run(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


@cache
def load(path: Path) -> Document:
    document = yaml.load(path.read_text(), CSafeLoader)
    assert isinstance(document, dict)
    return document


def documents(*paths: Path) -> Iterator[Document]:
    for path in paths:
        yield from yaml.load_all(path.read_text(), CSafeLoader)


def validate(document: Document) -> None:
    """By the strict schema of the newest Kubernetes that is known."""
    if not document["apiVersion"].startswith(OPERATED):
        _validate(json.dumps(document))


@cache
def _validate(document: str) -> None:
    """Each document once: most are the same in every overlay."""
    kubernetes_validate.validate(json.loads(document), kubernetes_validate.latest_version(), strict=True)


def kustomize(folder: Path, workers: str = "cpu", *components: str) -> dict[tuple[str, str], Document]:
    """An overlay of these workers and components, written to ``folder`` and rendered: documents by kind and name."""
    at = folder.resolve()
    (folder / "kustomization.yaml").write_text(
        yaml.safe_dump(
            {
                "resources": [os.path.relpath(KUBERNETES / workers, at)],
                "components": [os.path.relpath(KUBERNETES / component, at) for component in components],
            }
        )
    )
    done = subprocess.run(["kubectl", "kustomize", folder], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    return by_name(yaml.load_all(done.stdout, CSafeLoader))


def by_name(found: Iterable[Document]) -> dict[tuple[str, str], Document]:
    return {(document["kind"], document["metadata"]["name"]): document for document in found}


@cache
def workloads() -> dict[str, Document]:
    """Every Deployment and StatefulSet, by folder and name."""
    return {
        f"{path.parent.name}/{document['metadata']['name']}": document
        for path in MANIFESTS
        for document in documents(path)
        if document["kind"] in ("Deployment", "StatefulSet")
    }


def pod(workload: Document) -> Document:
    spec = workload["spec"]["template"]["spec"]
    assert isinstance(spec, dict)
    return spec


def container(workload: Document) -> Document:
    (only,) = pod(workload)["containers"]
    assert isinstance(only, dict)
    return only


def mebibytes(text: str) -> float:
    return float(text[:-2]) * {"Mi": 1, "Gi": 1024}[text[-2:]]


def read_variables(path: Path) -> dict[str, str]:
    """What a file of variables (``docker/*.env``) sets."""
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    return dict(line.split("=", 1) for line in lines)


@cache
def given_settings() -> dict[str, dict[str, str]]:
    """What each file sets, as name -> value; values that only the cluster knows are left out."""
    given: dict[str, dict[str, str]] = {}
    for dockerfile in DOCKERFILES:
        given[named(dockerfile)] = dict(
            re.findall(rf"^[^#]*?\b({PREFIX}\w+)=(\S+)", dockerfile.read_text(), re.M)
        )
    for name, service in load(COMPOSE)["services"].items():
        given[f"compose {name}"] = {
            key: re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", str(value))  # as without a file .env
            for key, value in service.get("environment", {}).items()
            if key.startswith(PREFIX)
        }
    for path in VARIABLES:
        given[named(path)] = {
            key: value for key, value in read_variables(path).items() if key.startswith(PREFIX)
        }
    for document in documents(*MANIFESTS):
        if document["kind"] == "ConfigMap":
            given["ConfigMap"] = document["data"]
    for name, workload in workloads().items():
        variables = container(workload).get("env", [])
        given[name] = {variable["name"]: variable["value"] for variable in variables if "value" in variable}
    return {name: values for name, values in given.items() if values}
