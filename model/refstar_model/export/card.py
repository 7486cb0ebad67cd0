"""What ``model.json`` says of a model that its graphs do not."""

import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from refstar_model.data.credits import Credit, describe_credits

#: Of what nobody said.
NO_VERSION, NO_LICENSE, NO_RECORD = "0.0.0", "not stated", "not on record"


@dataclass(frozen=True)
class Ranks:
    """Where a model stands among those that a service may have installed, 1 first: the first one is the default for
    requests with, and without references. None: only for those that ask for it by name."""

    with_references: int | None = None
    without_references: int | None = None


@dataclass(frozen=True)
class SystemCard:
    """What holds for every model of a system. ``limits`` are sentences for users."""

    system: str
    limits: tuple[str, ...]
    max_references: int = 0
    ranks: Ranks | None = None


@dataclass(frozen=True)
class Publication:
    """What holds for one model, by whoever exports it and by the record of its training.

    ``name`` is what requests ask for. ``credits``: empty where nothing is on record. ``limits`` are told before those
    of the system. ``ranked``: whether it may be a service's default.
    """

    name: str
    version: str = NO_VERSION
    license: str = NO_LICENSE
    credits: tuple[Credit, ...] = ()
    limits: Sequence[str] = ()
    ranked: bool = True


def describe_model(
    card: SystemCard, model: Publication, steps: int, size: int, parameters: int, golden: dict[str, Any]
) -> dict[str, Any]:
    """The manifest without its graphs. ``golden``: what a healthy model answers to the golden picture."""
    ranks = (
        {"ranks": {n: r for n, r in vars(card.ranks).items() if r is not None}}
        if card.ranks is not None and model.ranked
        else {}
    )
    counted = [describe_credits(model.credits)] if any(one.people for one in model.credits) else []
    return {
        "name": model.name,
        "version": model.version,
        "system": card.system,
        "license": model.license,
        "training_data": [one.sentence for one in model.credits] or [NO_RECORD],
        "commit": find_commit(),
        "steps": steps,
        "input_size": size,
        "precision": "fp32 arithmetic, fp16 weights",
        "max_references": card.max_references,
        "needs_references": False,
        **ranks,
        "parameters": parameters,
        "quality": {},
        "limits": [*counted, *model.limits, *card.limits],
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
