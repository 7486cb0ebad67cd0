"""What is scraped and what raises an alert: names and labels are those of the code, and every alert has an entry in the
runbook. promtool tests what the expressions do."""

import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployed_files import kustomize
from exported_series import EXPORTED, check_expression, find_series
from fastapi.routing import APIRoute
from refstar_service.gateway.http.problem_types import ProblemType
from refstar_service.gateway.routes import health
from refstar_service.metrics.registry import DURATION_BUCKETS

ROOT = Path(__file__).parents[3]
MONITORING = ROOT / "deploy" / "monitoring"
OPERATED = ROOT / "deploy" / "kubernetes" / "monitoring"
RULES: list[dict[str, Any]] = [
    rule
    for group in yaml.safe_load((MONITORING / "rules.yml").read_text())["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
RECORDED = {rule["record"] for rule in RULES if "record" in rule}


def test_the_code_exports_what_is_expected_of_it() -> None:
    assert EXPORTED["refstar_queue_depth"] == {"priority"}
    assert EXPORTED["refstar_jobs_finished_total"] == {"outcome", "reason", "model"}
    assert EXPORTED["refstar_job_duration_seconds_bucket"] == {"le", "model"}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule["record"])
def test_rule_names_series_and_labels_of_the_code(rule: dict[str, Any]) -> None:
    known = check_expression(rule["expr"], RECORDED)
    for label in re.findall(r"\$labels\.(\w+)", str(rule.get("annotations"))):
        assert label in known, label


def test_rules_name_bucket_bounds_reasons_and_routes_of_the_code() -> None:
    expressions = " ".join(rule["expr"] for rule in RULES)
    bounds = re.findall(r'le="(.*?)"', expressions)
    assert bounds
    assert set(bounds) <= {str(bound) for bound in DURATION_BUCKETS}
    slugs = {problem.name.lower().replace("_", "-") for problem in ProblemType}
    reasons = {
        reason for group in re.findall(r'\breason=~"(.*?)"', expressions) for reason in group.split("|")
    }
    assert "worker-lost" in reasons
    assert reasons <= slugs
    left_out = {route for group in re.findall(r'route!~"(.*?)"', expressions) for route in group.split("|")}
    assert left_out == {route.path for route in health.router.routes if isinstance(route, APIRoute)}


def test_every_alert_has_an_entry_in_the_runbook() -> None:
    entries = re.findall(r"^## (Refstar\w+)$", (ROOT / "docs" / "runbook.md").read_text(), re.M)
    assert sorted(entries) == sorted(alert["alert"] for alert in ALERTS)
    for alert in ALERTS:
        assert alert["annotations"]["runbook"] == f"docs/runbook.md#{alert['alert'].lower()}"
        assert alert["labels"]["severity"] in ("page", "ticket")


def test_the_runbook_names_series_of_the_code() -> None:
    for page in ("runbook.md", "operations.md"):
        for name, _ in find_series((ROOT / "docs" / page).read_text()):
            if name == "refstar_service":  # the package
                continue
            assert name in EXPORTED or f"{name}_bucket" in EXPORTED, f"{page}: {name}"


def test_every_alert_is_tested_to_be_raised() -> None:
    tests = yaml.safe_load((MONITORING / "rules.test.yml").read_text())["tests"]
    raised = {
        check["alertname"]
        for test in tests
        for check in test.get("alert_rule_test", ())
        if "exp_alerts" in check
    }
    assert raised == {alert["alert"] for alert in ALERTS}


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
@pytest.mark.parametrize("check", [["check", "rules", "rules.yml"], ["test", "rules", "rules.test.yml"]])
def test_promtool_accepts_the_rules(check: list[str]) -> None:
    done = subprocess.run(["promtool", *check], cwd=MONITORING, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr


def test_prometheus_of_the_compose_file_is_given_the_rules() -> None:
    (inside,) = yaml.safe_load((MONITORING / "prometheus.yml").read_text())["rule_files"]
    service = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]["prometheus"]
    assert f"./deploy/monitoring/rules.yml:{inside}:ro" in service["volumes"]


def test_prometheus_rule_has_the_groups_of_the_rules() -> None:
    done = subprocess.run(
        [sys.executable, ROOT / "scripts" / "write_prometheus_rule.py", "--check"],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    resource = yaml.safe_load((OPERATED / "prometheus-rule.yaml").read_text())
    assert resource["spec"] == yaml.safe_load((MONITORING / "rules.yml").read_text())


@pytest.mark.skipif(shutil.which("kubectl") is None, reason="kubectl is not installed")
def test_the_component_brings_monitors_rules_and_dashboards(tmp_path: Path) -> None:
    rendered = kustomize(tmp_path, "cpu", "monitoring")
    kinds = [kind for kind, _ in rendered]
    assert (kinds.count("PodMonitor"), kinds.count("PrometheusRule")) == (2, 1)
    dashboards = rendered["ConfigMap", "dashboards"]["data"]
    assert dashboards.keys() == {path.name for path in (MONITORING / "dashboards").glob("*.json")}


def test_pod_monitors_find_every_pod_that_has_metrics() -> None:
    base = ROOT / "deploy" / "kubernetes"
    pods = {}
    for path in [*base.glob("base/*.yaml"), base / "cpu" / "worker.yaml"]:
        for document in yaml.safe_load_all(path.read_text()):
            if document["kind"] == "Deployment":
                template = document["spec"]["template"]
                name = template["metadata"]["labels"]["app.kubernetes.io/name"]
                pods[name] = {port["name"] for port in template["spec"]["containers"][0]["ports"]}
    watched = {}
    for monitor in yaml.safe_load_all((OPERATED / "pod-monitors.yaml").read_text()):
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        selector = monitor["spec"]["selector"]
        names = [selector["matchLabels"]["app.kubernetes.io/name"]] if "matchLabels" in selector else []
        names += [name for term in selector.get("matchExpressions", ()) for name in term["values"]]
        watched |= {name: {endpoint["port"]} for name in names}
    assert watched == pods
