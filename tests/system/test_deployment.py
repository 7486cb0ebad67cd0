"""The files around the code: images, compose, Kubernetes, monitoring. Each is valid by its own schema, and
all agree with the settings, the Redis keys and each other."""

import os
import re
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import yaml
from fastapi.routing import APIRoute
from refstar_service.gateway.routes import health
from refstar_service.jobs.job import Priority
from refstar_service.redis.keys import Keys
from refstar_service.settings import PREFIX, READ_BY_OTHERS, Settings

ROOT = Path(__file__).parents[2]
TOOLS = Path(sys.executable).parent
DOCKERFILES = sorted((ROOT / "docker").glob("*.Dockerfile"))
COMPOSE = ROOT / "docker-compose.yml"
KUBERNETES = ROOT / "deploy" / "kubernetes"
PROMETHEUS = ROOT / "deploy" / "monitoring" / "prometheus.yml"
# kustomize, KEDA and the Prometheus operator bring schemas of their own; those files are checked by what they say.
KUSTOMIZATIONS = sorted(KUBERNETES.glob("*/kustomization.yaml"))
SCALED_OBJECT = KUBERNETES / "keda" / "scaled-object.yaml"
OPERATED = {SCALED_OBJECT, *KUBERNETES.glob("monitoring/*.yaml")}
MANIFESTS = sorted(set(KUBERNETES.glob("*/*.yaml")) - set(KUSTOMIZATIONS) - OPERATED)
WORKER_PORT = 9100

Document = dict[str, Any]


def named(path: Path) -> str:
    return str(path.relative_to(ROOT))


def run(*command: str | Path) -> None:
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def load(path: Path) -> Document:
    document = yaml.safe_load(path.read_text())
    assert isinstance(document, dict)
    return document


def documents(*paths: Path) -> Iterator[Document]:
    for path in paths:
        yield from yaml.safe_load_all(path.read_text())


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


@pytest.fixture
def defaults(monkeypatch: pytest.MonkeyPatch) -> Settings:
    for name in [name for name in os.environ if name.startswith(PREFIX)]:
        monkeypatch.delenv(name)
    return Settings()


# ---- each file by its own schema


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=named)
def test_dockerfile_passes_hadolint(dockerfile: Path) -> None:
    run(TOOLS / "hadolint", dockerfile)


def test_compose_file_follows_its_schema() -> None:
    run(TOOLS / "check-jsonschema", "--builtin-schema", "vendor.compose-spec", COMPOSE)


@pytest.mark.parametrize("manifest", MANIFESTS, ids=named)
def test_manifest_follows_the_kubernetes_schema(manifest: Path) -> None:
    run(TOOLS / "kubernetes-validate", "--strict", "--quiet", manifest)


@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS, ids=named)
def test_kustomization_names_every_file_of_its_folder(kustomization: Path) -> None:
    resources = load(kustomization)["resources"]
    folder = kustomization.parent
    assert all((folder / resource).exists() for resource in resources)
    assert {folder / resource for resource in resources} >= set(folder.glob("*.yaml")) - {kustomization}


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
@pytest.mark.parametrize("workers", ["cpu", "gpu"])
def test_kustomizations_render_to_valid_manifests(workers: str, tmp_path: Path) -> None:
    rendered = tmp_path / "rendered.yaml"
    with rendered.open("w") as file:
        subprocess.run(["kubectl", "kustomize", KUBERNETES / workers], stdout=file, check=True, timeout=60)
    run(TOOLS / "kubernetes-validate", "--strict", "--quiet", rendered)
    namespaces = {document["metadata"].get("namespace") for document in documents(rendered)}
    assert namespaces == {"refstar", None}  # none: the namespace itself


# ---- images


@pytest.mark.parametrize("dockerfile", DOCKERFILES, ids=named)
def test_final_stage_is_bare_and_runs_without_root(dockerfile: Path) -> None:
    text = dockerfile.read_text()
    assert text.startswith("ARG BASE="), "the base image is the first thing one may want to replace"
    final = text.rpartition("\nFROM ")[2]
    assert re.findall(r"^USER (.*)$", final, re.M) == ["10001:10001"]
    assert re.search(r'^CMD \["refstar", ', final, re.M)
    assert re.search(r"^HEALTHCHECK ", final, re.M)
    assert not re.search(r"\b(gcc|apt-get|pip|uv)\b", final)
    if "worker" in dockerfile.name:  # onnxruntime reports home unless told not to
        assert "ORT_DISABLE_TELEMETRY=1" in final
        assert f"{PREFIX}WORKER_METRICS_HOST=0.0.0.0" in final


def test_dockerignore_lets_in_what_the_dockerfiles_copy() -> None:
    allowed = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copies = [
        source
        for dockerfile in DOCKERFILES
        for line in re.findall(r"^COPY (?!--from)(.*)$", dockerfile.read_text(), re.M)
        for source in line.split()[:-1]
    ]
    assert copies
    for source in copies:
        assert (ROOT / source).exists()
        assert any(source == name or source.startswith(f"{name}/") for name in allowed), source


def test_gateway_runs_where_onnxruntime_is_not_installed() -> None:
    without = "import sys; sys.modules['onnxruntime'] = None; import refstar_service.gateway.app"
    run(sys.executable, "-c", without)


# ---- compose


def test_compose_publishes_the_gateway_to_this_machine_only() -> None:
    services = load(COMPOSE)["services"]
    assert {name for name, service in services.items() if "ports" in service} == {"gateway"}
    assert all(port.startswith("127.0.0.1:") for port in services["gateway"]["ports"])


def test_compose_services_are_hardened_and_healthy_before_others_lean_on_them() -> None:
    services = load(COMPOSE)["services"]
    for name, service in services.items():
        assert service["read_only"], name
        assert service["cap_drop"] == ["ALL"], name
        for dependency, condition in service.get("depends_on", {}).items():
            assert condition == {"condition": "service_healthy"}, name
            # Those that are built here bring their check in the Dockerfile.
            assert "healthcheck" in services[dependency] or "build" in services[dependency], dependency


def test_compose_gpu_profile_holds_the_gpu_worker_alone() -> None:
    services = load(COMPOSE)["services"]
    assert {name for name, service in services.items() if service.get("profiles")} == {"worker-gpu"}
    (device,) = services["worker-gpu"]["deploy"]["resources"]["reservations"]["devices"]
    assert device["capabilities"] == ["gpu"]


# ---- Kubernetes


@pytest.mark.parametrize("name", workloads())
def test_pod_is_confined(name: str) -> None:
    spec = pod(workloads()[name])
    security = container(workloads()[name])["securityContext"]
    assert spec["securityContext"]["runAsNonRoot"]
    assert spec["securityContext"]["runAsUser"] > 0
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert security["readOnlyRootFilesystem"]
    assert not security["allowPrivilegeEscalation"]
    assert security["capabilities"] == {"drop": ["ALL"]}
    # A Service named refstar would set REFSTAR_PORT=tcp://... in every pod.
    assert not spec["enableServiceLinks"]
    assert not spec["automountServiceAccountToken"]


@pytest.mark.parametrize("name", workloads())
def test_pod_has_probes_and_resources(name: str) -> None:
    main = container(workloads()[name])
    assert {"startupProbe", "readinessProbe", "livenessProbe"} <= main.keys()
    assert main["resources"]["requests"].keys() >= {"cpu", "memory"}
    assert "memory" in main["resources"]["limits"]


def test_selectors_find_their_pods() -> None:
    labels = [workload["spec"]["template"]["metadata"]["labels"] for workload in workloads().values()]
    for document in documents(*MANIFESTS):
        spec = document.get("spec", {})
        selector = spec.get("podSelector") or spec.get("selector") or {}
        wanted = selector.get("matchLabels", selector if document["kind"] == "Service" else {})
        assert any(wanted.items() <= pod_labels.items() for pod_labels in labels), document["metadata"][
            "name"
        ]


def test_autoscaler_watches_the_length_of_every_queue() -> None:
    scaled = load(SCALED_OBJECT)
    assert (scaled["apiVersion"], scaled["kind"]) == ("keda.sh/v1alpha1", "ScaledObject")
    assert scaled["spec"]["scaleTargetRef"]["name"] in {
        workload["metadata"]["name"] for workload in workloads().values() if workload["kind"] == "Deployment"
    }
    assert scaled["spec"]["minReplicaCount"] <= scaled["spec"]["maxReplicaCount"]
    metadata = [trigger["metadata"] for trigger in scaled["spec"]["triggers"]]
    assert {trigger["type"] for trigger in scaled["spec"]["triggers"]} == {"redis-streams"}
    assert {entry["stream"] for entry in metadata} == {Keys().line(priority) for priority in Priority}
    for entry in metadata:
        # A consumerGroup would make KEDA read the group's lag, which forgets the jobs in hand.
        assert entry.keys() == {"address", "stream", "streamLength"}
        assert int(entry["streamLength"]) > 0
        assert all(isinstance(value, str) for value in entry.values()), "KEDA takes strings only"


# ---- agreement with the code


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
        }
    for document in documents(*MANIFESTS):
        if document["kind"] == "ConfigMap":
            given["ConfigMap"] = document["data"]
    for name, workload in workloads().items():
        variables = container(workload).get("env", [])
        given[name] = {variable["name"]: variable["value"] for variable in variables if "value" in variable}
    return {name: values for name, values in given.items() if values}


@pytest.mark.parametrize("place", given_settings())
def test_values_set_for_containers_are_valid_settings(
    place: str, defaults: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in given_settings()[place].items():
        assert name.removeprefix(PREFIX).lower() in Settings.model_fields, name
        monkeypatch.setenv(name, value)
    Settings()


def test_every_setting_that_a_file_mentions_exists() -> None:
    files = [
        *DOCKERFILES,
        COMPOSE,
        *KUBERNETES.rglob("*.yaml"),
        *ROOT.glob("deploy/**/*.md"),
        ROOT / "Makefile",
    ]
    files += ROOT.glob("docs/*.md")
    for path in files:
        for name in re.findall(rf"\b{PREFIX}([A-Z][A-Z_]*[A-Z])\b", path.read_text()):
            known = PREFIX + name in READ_BY_OTHERS or name.lower() in Settings.model_fields
            assert known, f"{named(path)}: {PREFIX}{name}"


def test_ports_agree_everywhere(defaults: Settings) -> None:
    for dockerfile in DOCKERFILES:
        port = defaults.port if dockerfile.name.startswith("gateway") else WORKER_PORT
        text = dockerfile.read_text()
        assert re.findall(r"^EXPOSE (\d+)$", text, re.M) == [str(port)]
        assert f"'127.0.0.1', {port}" in text
    for workload in workloads().values():
        name = workload["metadata"]["name"]
        port = {"gateway": defaults.port, "worker": WORKER_PORT, "courier": WORKER_PORT, "redis": 6379}[name]
        assert [entry["containerPort"] for entry in container(workload)["ports"]] == [port]
    services = load(COMPOSE)["services"]
    assert services["gateway"]["ports"][0].endswith(f":{defaults.port}")
    scraped = {
        name: entry["dns_sd_configs"][0]["port"]
        for entry in load(PROMETHEUS)["scrape_configs"]
        for name in entry["dns_sd_configs"][0]["names"]
    }
    assert scraped == {"gateway": defaults.port, "worker": WORKER_PORT, "worker-gpu": WORKER_PORT}
    told = f"{PREFIX}WORKER_METRICS_PORT"
    assert {values[told] for values in given_settings().values() if told in values} == {str(WORKER_PORT)}


def test_gateway_answers_at_the_probed_paths() -> None:
    served = {route.path for route in health.router.routes if isinstance(route, APIRoute)}
    main = container(workloads()["base/gateway"])
    probes = [main[f"{kind}Probe"]["httpGet"]["path"] for kind in ("startup", "readiness", "liveness")]
    probes += re.findall(r"request\('GET', '(.*?)'\)", (ROOT / "docker" / "gateway.Dockerfile").read_text())
    assert len(probes) == 4
    assert set(probes) <= served


def test_containers_are_given_the_time_their_shutdown_takes(defaults: Settings) -> None:
    close = 5
    gateway = workloads()["base/gateway"]
    before = container(gateway)["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert pod(gateway)["terminationGracePeriodSeconds"] >= before + defaults.shutdown_grace + close
    for service in load(COMPOSE)["services"].values():
        if "build" in service:
            assert float(service["stop_grace_period"].removesuffix("s")) >= defaults.shutdown_grace + close


def test_gateway_may_use_the_memory_its_uploads_may_take(defaults: Settings) -> None:
    uploads = defaults.max_uploads_at_once * defaults.max_request_bytes / 2**20
    limit = mebibytes(container(workloads()["base/gateway"])["resources"]["limits"]["memory"])
    assert limit >= uploads + 512


def test_redis_keeps_what_it_accepted() -> None:
    compose = load(COMPOSE)["services"]["redis"]
    redis = container(workloads()["base/redis"])
    assert compose["image"] == redis["image"]
    for arguments in (compose["command"], redis["args"]):
        flags = dict(pairwise(arguments))
        assert flags["--appendonly"] == "yes"
        assert flags["--appendfsync"] == "everysec"
        assert flags["--maxmemory-policy"] == "noeviction"
        assert "--maxmemory" in flags


def test_images_carry_the_version_of_the_package() -> None:
    version = tomllib.loads((ROOT / "service" / "pyproject.toml").read_text())["project"]["version"]
    for dockerfile in DOCKERFILES:
        assert f"\nARG VERSION={version}\n" in dockerfile.read_text()
    images = [service["image"] for service in load(COMPOSE)["services"].values() if "build" in service]
    images += [container(workload)["image"] for name, workload in workloads().items() if name != "base/redis"]
    assert {image.partition(":")[2] for image in images} == {version}


def test_a_gateway_beyond_one_machine_asks_for_keys() -> None:
    """Each file that makes a gateway listen on every address says who may ask, or it would not start."""
    shared = given_settings()["ConfigMap"]
    assert shared[f"{PREFIX}ACCESS"] == "redis"
    compose = given_settings()["compose gateway"]
    assert compose[f"{PREFIX}OPEN_TO_NETWORK"] == "true"  # published to 127.0.0.1 only, see above
    assert compose[f"{PREFIX}ACCESS"] == "open"  # the second time it is said
    assert f"{PREFIX}ACCESS: ${{{PREFIX}ACCESS:-open}}" in COMPOSE.read_text()  # a file .env may ask for keys
    assert f"{PREFIX}HOST_NAMES" not in compose  # localhost and addresses, as on any one machine


def test_webhooks_are_delivered_by_a_pod_that_reaches_nothing_private() -> None:
    assert given_settings()["ConfigMap"][f"{PREFIX}WEBHOOK_COURIER"] == "false"
    (policy,) = (
        document
        for document in documents(*MANIFESTS)
        if document["metadata"]["name"] == "courier-to-receivers"
    )
    (rule,) = policy["spec"]["egress"]
    blocked = rule["to"][0]["ipBlock"]["except"]
    assert {"10.0.0.0/8", "169.254.0.0/16", "192.168.0.0/16", "172.16.0.0/12"} <= set(blocked)
