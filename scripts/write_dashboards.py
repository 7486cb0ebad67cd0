"""Write the Grafana dashboards of deploy/monitoring/dashboards from deploy/monitoring/dashboards.yml, the one source.

.venv/bin/python scripts/write_dashboards.py            write them
.venv/bin/python scripts/write_dashboards.py --check    exit with 1 if one differs from what would be written
"""

import argparse
import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

MONITORING = Path(__file__).parents[1] / "deploy" / "monitoring"
SOURCE = MONITORING / "dashboards.yml"
FOLDER = MONITORING / "dashboards"
PROMETHEUS = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24  # of Grafana's grid
HEIGHT = 8


@dataclass(frozen=True)
class Panel:
    """`unit`: one of Grafana's. `queries`: PromQL by legend. `kind`: timeseries or stat."""

    title: str
    unit: str
    queries: dict[str, str]
    help: str = ""
    kind: str = "timeseries"

    def draw(self, number: int, x: int, y: int, width: int) -> dict[str, Any]:
        """As Grafana reads it, at this place of the grid."""
        defaults: dict[str, Any] = {"unit": self.unit, "min": 0}
        if self.kind == "timeseries":
            defaults["custom"] = {"fillOpacity": 10, "showPoints": "never"}
            options = {
                "legend": {"displayMode": "list", "placement": "bottom"},
                "tooltip": {"mode": "multi"},
            }
        else:
            options = {
                "colorMode": "none",
                "graphMode": "area",
                "reduceOptions": {"calcs": ["lastNotNull"]},
            }
        return {
            "id": number,
            "type": self.kind,
            "title": self.title,
            "description": self.help,
            "datasource": PROMETHEUS,
            "gridPos": {"x": x, "y": y, "w": width, "h": HEIGHT},
            "fieldConfig": {"defaults": defaults, "overrides": []},
            "options": options,
            "targets": [
                {"refId": chr(ord("A") + n), "datasource": PROMETHEUS, "expr": expr, "legendFormat": legend}
                for n, (legend, expr) in enumerate(self.queries.items())
            ],
        }


def draw_row(title: str, number: int, y: int) -> dict[str, Any]:
    place = {"x": 0, "y": y, "w": COLUMNS, "h": 1}
    return {"id": number, "type": "row", "title": title, "collapsed": False, "gridPos": place, "panels": []}


def draw(dashboard: dict[str, Any]) -> str:
    """The file of a dashboard of the source."""
    panels: list[dict[str, Any]] = []
    y = 0
    for row in dashboard["rows"]:
        panels.append(draw_row(row["title"], len(panels) + 1, y))
        y += 1
        count = len(row["panels"])
        edges = [COLUMNS * n // count for n in range(count + 1)]
        for n, panel in enumerate(row["panels"]):
            width = edges[n + 1] - edges[n]
            panels.append(Panel(**panel).draw(len(panels) + 1, edges[n], y, width))
        y += HEIGHT
    whole = {
        "uid": f"refstar-{dashboard['name']}",
        "title": dashboard["title"],
        "tags": ["refstar"],
        "editable": False,
        "schemaVersion": 39,
        "refresh": "30s",
        "time": {"from": "now-3h", "to": "now"},
        "timezone": "browser",
        "links": [{"type": "dashboards", "title": "RefSTAR", "tags": ["refstar"], "asDropdown": False}],
        "templating": {
            "list": [
                {"name": "datasource", "label": "Prometheus", "type": "datasource", "query": "prometheus"}
            ]
        },
        "panels": panels,
    }
    return json.dumps(whole, indent=1) + "\n"


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the Grafana dashboards from dashboards.yml.")
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 if one differs")
    check = parser.parse_args().check
    for dashboard in yaml.safe_load(SOURCE.read_text()):
        path, made = FOLDER / f"{dashboard['name']}.json", draw(dashboard)
        if not check:
            path.write_text(made)
        elif not path.exists() or path.read_text() != made:
            print(f"{path} differs from {SOURCE}: run scripts/write_dashboards.py", file=sys.stderr)
            return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
