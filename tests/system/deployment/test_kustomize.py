"""The manifests and kustomizations of deploy/kubernetes: valid by their schemas, confined, and consistent."""

import shutil
import subprocess
from pathlib import Path

import pytest
from deployed_files import (
    KUBERNETES,
    KUSTOMIZATIONS,
    MANIFESTS,
    SCALED_OBJECT,
    TOOLS,
    container,
    documents,
    given_settings,
    load,
    named,
    pod,
    run,
    workloads,
)
from refstar_service.jobs.job import Priority
from refstar_service.redis.keys import Keys
from refstar_service.settings import PREFIX


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
