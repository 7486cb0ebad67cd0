"""All measurements of docs/performance.md one after another, their JSON files, and their tables put into it.

.venv/bin/python bench/everything.py --into runs/bench          # about 40 minutes on a machine with nothing else to do
.venv/bin/python bench/everything.py --only latency saturation
"""

import argparse
import subprocess
import sys
from pathlib import Path

HERE = Path(__file__).parent

#: The quick ones first: a mistake shows early.
MEASUREMENTS: dict[str, tuple[str, ...]] = {
    "start": ("start",),
    "job_queue": ("job_queue",),
    "uploads": ("uploads",),
    "network": ("network",),
    "accelerator": ("accelerator", "--batch", "1", "2", "4"),
    "stages": ("stages",),
    "latency": ("latency",),
    "bare": ("bare",),
    "saturation": ("saturation",),
    "saturation-noop": ("saturation", "--noop", "--seconds", "8"),
    "growth": ("growth",),
    "peers": ("peers",),
}


def main() -> int:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--into", type=Path, default=Path("runs/bench"), help="folder for the JSON files")
    parser.add_argument("--only", nargs="+", choices=tuple(MEASUREMENTS), default=list(MEASUREMENTS))
    options = parser.parse_args()
    failed = []
    for name in options.only:
        script, *more = MEASUREMENTS[name]
        print(f"\n==> {name}", flush=True)
        command = [sys.executable, str(HERE / f"{script}.py"), *more]
        done = subprocess.run([*command, "--json", str(options.into / f"{name}.json"), "--docs"])
        if done.returncode:
            failed.append(name)
    print("\nfailed:", ", ".join(failed) or "none")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
