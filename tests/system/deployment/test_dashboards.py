"""The dashboards: written from their source, complete, and every expression names series and labels of the code."""

import json
import re
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml
from deployed_files import ROOT, load
from exported_series import EXPORTED, check_expression, find_series

MONITORING = ROOT / "deploy" / "monitoring"
DASHBOARDS = {
    path.stem: json.loads(path.read_text()) for path in sorted((MONITORING / "dashboards").glob("*.json"))
}
RECORDED = {
    rule["record"]
    for group in load(MONITORING / "rules.yml")["groups"]
    for rule in group["rules"]
    if "record" in rule
}
PANELS: dict[str, dict[str, Any]] = {
    f"{name}: {panel['title']}, {panel['type']}": panel
    for name, dashboard in DASHBOARDS.items()
    for panel in dashboard["panels"]
    if panel["type"] != "row"
}


def test_the_dashboards_are_what_their_source_says() -> None:
    command = [sys.executable, ROOT / "scripts" / "write_dashboards.py", "--check"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    assert DASHBOARDS.keys() == {
        entry["name"] for entry in yaml.safe_load((MONITORING / "dashboards.yml").read_text())
    }


def test_there_is_a_row_for_every_question_of_operation() -> None:
    rows = {panel["title"] for d in DASHBOARDS.values() for panel in d["panels"] if panel["type"] == "row"}
    assert rows >= {"Queue", "Latency", "Faces and refusals", "GPUs", "Redis and pictures", "Webhooks"}
    assert rows >= {"People and references", "Cost of a restoration"}


@pytest.mark.parametrize("panel", PANELS.values(), ids=PANELS)
def test_panel_names_series_and_labels_of_the_code(panel: dict[str, Any]) -> None:
    assert panel["targets"]
    assert panel["datasource"]["uid"] == "${datasource}"
    for target in panel["targets"]:
        expression = target["expr"]
        known = check_expression(expression, RECORDED)
        # A range that is shorter than two scrapes shows nothing.
        assert set(re.findall(r"\[(.*?)\]", expression)) <= {"$__rate_interval"}
        grouped = re.findall(r"\bby\s*\((.*?)\)", expression)
        if grouped:
            known = {label for group in grouped for label in re.split(r",\s*", group)} - {"le"}
        elif re.match(r"(sum|max|min|count)\(", expression):
            known = set()
        assert set(re.findall(r"\{\{(\w+)\}\}", target["legendFormat"])) <= known, expression


def test_panels_fill_the_grid_and_do_not_overlap() -> None:
    for dashboard in DASHBOARDS.values():
        taken: set[tuple[int, int]] = set()
        for panel in dashboard["panels"]:
            at = panel["gridPos"]
            cells = {
                (x, y) for x in range(at["x"], at["x"] + at["w"]) for y in range(at["y"], at["y"] + at["h"])
            }
            assert not cells & taken, panel["title"]
            taken |= cells
        assert len(taken) == 24 * (1 + max(y for _, y in taken))
        ids = [panel["id"] for panel in dashboard["panels"]]
        assert len(set(ids)) == len(ids)


def test_every_series_of_the_code_is_on_a_dashboard() -> None:
    shown = {
        name for panel in PANELS.values() for t in panel["targets"] for name, _ in find_series(t["expr"])
    }
    families = {re.sub(r"_(bucket|sum|count)$", "", name) for name in shown}
    assert {re.sub(r"_(bucket|sum|count)$", "", name) for name in EXPORTED} <= families


@pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")
def test_promtool_can_read_every_expression(tmp_path: Path) -> None:
    expressions = [t["expr"].replace("$__rate_interval", "5m") for p in PANELS.values() for t in p["targets"]]
    rules = [{"record": f"panel:{number}", "expr": e} for number, e in enumerate(expressions)]
    (tmp_path / "rules.yml").write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}))
    command = ["promtool", "check", "rules", "--lint=none", "rules.yml"]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stdout + done.stderr
