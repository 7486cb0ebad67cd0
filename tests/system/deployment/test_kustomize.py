"""The manifests and kustomizations of deploy/kubernetes: valid by their schemas, confined, and consistent."""

import re
import shutil
from pathlib import Path
from urllib.parse import urlsplit

import kubernetes_validate
import pytest
from deployed_files import (
    KUBERNETES,
    KUSTOMIZATIONS,
    MANIFESTS,
    ROOT,
    SCALED_OBJECT,
    Document,
    by_name,
    container,
    documents,
    given_settings,
    kustomize,
    load,
    named,
    pod,
    validate,
    workloads,
)
from fastapi.routing import APIRoute
from refstar_service.gateway.routes import (
    events,
    health,
    models,
    page,
    people,
    problem_pages,
    restorations,
    results,
)
from refstar_service.jobs.job import Priority
from refstar_service.redis.keys import Keys
from refstar_service.settings import PREFIX, Settings

NAME = "app.kubernetes.io/name"
COMPONENTS = sorted(path.parent.name for path in KUSTOMIZATIONS if load(path)["kind"] == "Component")
needs_kubectl = pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")


@pytest.mark.parametrize("manifest", MANIFESTS, ids=named)
def test_manifest_follows_the_kubernetes_schema(manifest: Path) -> None:
    for document in documents(manifest):
        validate(document)


def test_a_misspelled_field_is_found() -> None:
    with pytest.raises(kubernetes_validate.ValidationError):
        validate({"apiVersion": "v1", "kind": "Service", "metadata": {"name": "x"}, "spec": {"prots": []}})


@pytest.mark.parametrize("kustomization", KUSTOMIZATIONS, ids=named)
def test_kustomization_names_every_file_of_its_folder(kustomization: Path) -> None:
    resources = load(kustomization).get("resources", [])
    folder = kustomization.parent
    assert all((folder / resource).exists() for resource in resources)
    assert {folder / resource for resource in resources} >= set(folder.glob("*.yaml")) - {kustomization}


@needs_kubectl
@pytest.mark.parametrize(
    ("workers", "components"),
    [
        ("cpu", []),
        ("gpu", []),
        *(("gpu", [one]) for one in COMPONENTS),
        ("gpu", [*COMPONENTS[1:], "external-redis"]),
    ],
    ids=lambda value: value if isinstance(value, str) else "+".join(value) or "alone",
)
def test_overlay_renders_to_valid_manifests(workers: str, components: list[str], tmp_path: Path) -> None:
    rendered = kustomize(tmp_path, workers, *components)
    for document in rendered.values():
        validate(document)
        expected = None if document["kind"] == "Namespace" else "refstar"
        assert document["metadata"].get("namespace") == expected
    for name, value in rendered["ConfigMap", "refstar"]["data"].items():
        assert isinstance(value, str), name


@needs_kubectl
def test_an_autoscaler_owns_the_number_of_what_it_scales(tmp_path: Path) -> None:
    alone, scaled = kustomize(tmp_path), kustomize(tmp_path, "cpu", "keda", "hpa")
    for name in ("gateway", "worker"):
        assert alone["Deployment", name]["spec"]["replicas"] >= 1
        assert "replicas" not in scaled["Deployment", name]["spec"]
    target = scaled["HorizontalPodAutoscaler", "gateway"]["spec"]["scaleTargetRef"]
    assert (target["kind"], target["name"]) == ("Deployment", "gateway")


@needs_kubectl
def test_settings_that_components_add_are_valid(
    tmp_path: Path, defaults: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    rendered = kustomize(tmp_path, "gpu", *COMPONENTS)
    for name, value in rendered["ConfigMap", "refstar"]["data"].items():
        if name.startswith(PREFIX):
            monkeypatch.setenv(name, value)
    settings = Settings()
    assert (settings.store, settings.s3_url) == ("s3", "s3://refstar/pictures")
    (rule,) = rendered["Ingress", "gateway"]["spec"]["rules"]
    assert settings.listed_host_names == (rule["host"],)
    (tls,) = rendered["Ingress", "gateway"]["spec"]["tls"]
    assert tls["hosts"] == [rule["host"]]


# ---- network policies


def let_out(policy: Document) -> set[str]:
    selector = policy["spec"]["podSelector"]
    (expression,) = selector.get("matchExpressions") or [{"values": [selector["matchLabels"][NAME]]}]
    return set(expression["values"])


@needs_kubectl
def test_pods_reach_what_is_configured_and_nothing_else(tmp_path: Path) -> None:
    """Each component opens the way that its settings need; without it, there is none."""
    everybody = {"gateway", "worker", "courier"}
    base = {"to-dns": everybody, "to-redis": everybody, "courier-to-receivers": {"courier"}}
    more = {
        "s3": {"to-s3": {"gateway", "worker"}},
        "urls": {"worker-to-urls": {"worker"}},
        "otlp": {"to-collector": everybody},
    }
    for component in (None, *more):
        rendered = kustomize(tmp_path, "cpu", *([component] if component else []))
        ways = {
            name: let_out(document)
            for (kind, name), document in rendered.items()
            if kind == "NetworkPolicy" and document["spec"].get("egress")
        }
        assert ways == base | more.get(component or "", {})
        fetches = rendered["ConfigMap", "refstar"]["data"][f"{PREFIX}FETCH_URLS"]
        assert fetches == ("true" if component == "urls" else "false")
        for name in ways:
            for rule in rendered["NetworkPolicy", name]["spec"]["egress"]:
                assert rule["to"], f"{name} leads anywhere"
    denied = rendered["NetworkPolicy", "deny-by-default"]["spec"]
    assert (denied["podSelector"], set(denied["policyTypes"])) == ({}, {"Ingress", "Egress"})


@needs_kubectl
def test_ports_of_policies_are_those_of_the_addresses(tmp_path: Path) -> None:
    rendered = kustomize(tmp_path, "cpu", "otlp", "s3")
    settings = rendered["ConfigMap", "refstar"]["data"]
    for policy, address in (
        ("to-redis", settings["REFSTAR_REDIS_URL"]),
        ("to-collector", settings["OTEL_EXPORTER_OTLP_ENDPOINT"]),
        ("to-s3", "https://s3.amazonaws.com:443"),
    ):
        (rule,) = rendered["NetworkPolicy", policy]["spec"]["egress"]
        assert [port["port"] for port in rule["ports"]] == [urlsplit(address).port]


@needs_kubectl
def test_the_ingress_leads_to_what_clients_use_and_not_to_what_asks_for_no_key(tmp_path: Path) -> None:
    rendered = kustomize(tmp_path, "cpu", "ingress")
    (rule,) = rendered["Ingress", "gateway"]["spec"]["rules"]
    paths = [(entry["path"], entry["pathType"]) for entry in rule["http"]["paths"]]

    def led(path: str) -> bool:
        return any(path == way or (kind == "Prefix" and path.startswith(f"{way}/")) for way, kind in paths)

    routers = (restorations, results, events, people, models, problem_pages, page)
    served = {
        route.path for module in routers for route in module.router.routes if isinstance(route, APIRoute)
    }
    assert "/v1/restorations/{job_id}/events" in served
    assert all(led(path) for path in served | {"/openapi.json"})
    probes = {route.path for route in health.router.routes if isinstance(route, APIRoute)}
    assert not any(led(path) for path in probes)


@needs_kubectl
def test_a_redis_of_your_own_replaces_that_of_the_base(tmp_path: Path) -> None:
    rendered = kustomize(tmp_path, "cpu", "keda", "external-redis")
    for kind in ("StatefulSet", "Service", "NetworkPolicy"):
        assert (kind, "redis") not in rendered
    addresses = {
        trigger["metadata"]["address"] for trigger in rendered["ScaledObject", "worker"]["spec"]["triggers"]
    }
    assert addresses == {"redis.example.org:6379"}


@needs_kubectl
def test_tensorrt_keeps_its_engines_where_the_code_looks_for_them(tmp_path: Path) -> None:
    rendered = kustomize(tmp_path, "gpu", "tensorrt")
    worker = rendered["Deployment", "worker"]
    variables = {one["name"]: one["value"] for one in container(worker)["env"]}
    assert variables[f"{PREFIX}PROVIDER"] == "tensorrt"
    (mount,) = (one for one in container(worker)["volumeMounts"] if one["name"] == "engines")
    data_dir = re.search(rf"{PREFIX}DATA_DIR=(\S+)", (ROOT / "docker" / "worker-gpu.Dockerfile").read_text())
    assert data_dir is not None
    assert mount["mountPath"] == f"{data_dir[1]}/engines"
    (volume,) = (one for one in pod(worker)["volumes"] if one["name"] == "engines")
    assert ("PersistentVolumeClaim", volume["persistentVolumeClaim"]["claimName"]) in rendered
    probe = container(worker)["startupProbe"]
    assert probe["periodSeconds"] * probe["failureThreshold"] >= 1800


# ---- pods


def test_redis_asks_for_a_password_that_its_probes_and_keda_know() -> None:
    (redis,) = (one for one in documents(KUBERNETES / "base" / "redis.yaml") if one["kind"] == "StatefulSet")
    (variable,) = container(redis)["env"]
    secret = variable["valueFrom"]["secretKeyRef"]
    assert not secret.get("optional", False)
    arguments = container(redis)["args"]
    assert arguments[arguments.index("--requirepass") + 1] == f"$({variable['name']})"
    assert variable["name"] == "REDISCLI_AUTH"  # what redis-cli reads
    authentication = load(KUBERNETES / "keda" / "trigger-authentication.yaml")
    (parameter,) = authentication["spec"]["secretTargetRef"]
    assert parameter == {"parameter": "password", "name": secret["name"], "key": secret["key"]}
    for trigger in load(SCALED_OBJECT)["spec"]["triggers"]:
        assert trigger["authenticationRef"]["name"] == authentication["metadata"]["name"]


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
        if document["kind"] in ("PersistentVolumeClaim", "HorizontalPodAutoscaler"):
            continue
        spec = document.get("spec", {})
        selector = spec.get("podSelector") or spec.get("selector") or {}
        wanted = selector.get("matchLabels", selector if document["kind"] == "Service" else {})
        name = document["metadata"]["name"]
        assert any(wanted.items() <= pod_labels.items() for pod_labels in labels), name


def test_pods_of_a_kind_spread_over_machines_and_are_moved_one_at_a_time() -> None:
    budgets = by_name(one for one in documents(*MANIFESTS) if one["kind"] == "PodDisruptionBudget")
    for name in ("base/gateway", "cpu/worker", "gpu/worker"):
        workload = workloads()[name]
        (constraint,) = pod(workload)["topologySpreadConstraints"]
        selector = workload["spec"]["selector"]
        assert constraint["labelSelector"] == selector
        budget = budgets["PodDisruptionBudget", workload["metadata"]["name"]]["spec"]
        assert (budget["selector"], budget["maxUnavailable"]) == (selector, 1)


def test_autoscaler_watches_the_length_of_every_queue() -> None:
    scaled = load(SCALED_OBJECT)
    assert (scaled["apiVersion"], scaled["kind"]) == ("keda.sh/v1alpha1", "ScaledObject")
    assert scaled["spec"]["scaleTargetRef"]["name"] in {
        workload["metadata"]["name"] for workload in workloads().values() if workload["kind"] == "Deployment"
    }
    assert scaled["spec"]["minReplicaCount"] <= scaled["spec"]["maxReplicaCount"]
    metadata = [trigger["metadata"] for trigger in scaled["spec"]["triggers"]]
    assert {trigger["type"] for trigger in scaled["spec"]["triggers"]} == {"redis-streams"}
    assert {entry["stream"] for entry in metadata} == {
        Keys().line(priority) for priority in Priority if priority.counted
    }
    for entry in metadata:
        # A consumerGroup would make KEDA read the group's lag, which forgets the jobs in hand.
        assert entry.keys() == {"address", "stream", "streamLength"}
        assert int(entry["streamLength"]) > 0
        assert all(isinstance(value, str) for value in entry.values()), "KEDA takes strings only"


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
