"""Write the PrometheusRule of deploy/kubernetes/monitoring from deploy/monitoring/rules.yml, the one source.

.venv/bin/python scripts/write_prometheus_rule.py            write it
.venv/bin/python scripts/write_prometheus_rule.py --check    exit with 1 if it differs from what would be written
"""

import argparse
import sys
from pathlib import Path

DEPLOY = Path(__file__).parents[1] / "deploy"
RULES = DEPLOY / "monitoring" / "rules.yml"
RESOURCE = DEPLOY / "kubernetes" / "monitoring" / "prometheus-rule.yaml"
HEAD = """\
# Written by scripts/write_prometheus_rule.py from deploy/monitoring/rules.yml: change that file.
apiVersion: monitoring.coreos.com/v1
kind: PrometheusRule
metadata:
  name: refstar
  namespace: refstar
spec:
"""


def make_resource(rules: str) -> str:
    """The groups as they stand, comments too, two spaces further in."""
    groups = rules[rules.index("\ngroups:\n") + 1 :]
    return HEAD + "".join(f"  {line}".rstrip(" ") for line in groups.splitlines(keepends=True))


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the PrometheusRule from rules.yml.")
    parser.add_argument("--check", action="store_true", help="write nothing, exit with 1 if it differs")
    made = make_resource(RULES.read_text())
    if not parser.parse_args().check:
        RESOURCE.write_text(made)
    elif not RESOURCE.exists() or RESOURCE.read_text() != made:
        print(f"{RESOURCE} differs from {RULES}: run scripts/write_prometheus_rule.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
