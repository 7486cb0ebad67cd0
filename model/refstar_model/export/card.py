"""What ``model.json`` says of a model that its graphs do not."""

import subprocess
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class Ranks:
    """Where a model stands among those that a service may have installed, 1 first: the first one is the default for
    requests with, and without references. None: only for those that ask for it by name."""

    with_references: int | None = None
    without_references: int | None = None


@dataclass(frozen=True)
class ModelCard:
    """``name`` is what requests ask for. ``limits`` are sentences for users."""

    name: str
    version: str
    system: str
    training_data: tuple[str, ...]
    limits: tuple[str, ...]
    max_references: int = 0
    ranks: Ranks | None = None
    license: str = "Apache-2.0"

    def describe(self, steps: int, size: int, parameters: int, golden: dict[str, Any]) -> dict[str, Any]:
        """The manifest without its graphs. ``golden``: what a healthy model answers to the golden picture."""
        ranks = (
            {}
            if self.ranks is None
            else {"ranks": {n: r for n, r in vars(self.ranks).items() if r is not None}}
        )
        return {
            "name": self.name,
            "version": self.version,
            "system": self.system,
            "license": self.license,
            "training_data": self.training_data,
            "commit": find_commit(),
            "steps": steps,
            "input_size": size,
            "precision": "fp32 arithmetic, fp16 weights",
            "max_references": self.max_references,
            "needs_references": False,
            **ranks,
            "parameters": parameters,
            "quality": {},
            "limits": self.limits,
            "golden": golden,
        }


def find_commit() -> str:
    """The commit that the running code comes from, or ``unknown`` outside a checkout."""
    try:
        return subprocess.run(
            ["git", "rev-parse", "HEAD"],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent,
        ).stdout.strip()
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
