"""Is what a gate says a probability? `same_person` against who a reference really shows, over pairs and strangers."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from refstar_model.evaluation.cases import Case
from refstar_model.export.restorers import Restorer
from refstar_model.progress import follow

BINS = 10
STRANGER_BELOW = 0.5  # `same_person` of whom the service takes for a stranger (REFSTAR_STRANGER_BELOW)


class Said(NamedTuple):
    """Of one reference, given alone; both in 0..1."""

    kind: str  # right, wrong or look-alike
    same_person: float
    likeness: float


def judge_gate(model: Restorer, made: Sequence[Case], level: str) -> dict[str, Any]:
    """Rows of means by kind of reference, and of ``same_person`` in tenths; nothing of a model without a gate.

    ``mistaken`` is the share taken for a stranger of the right references, and for the person of the others. Of the
    tenths, which are of right and wrong references, as many of each: ``right_share`` is how many show the right
    person, which is the mean of ``same_person`` where that is a probability; ``all`` has how far they are apart, the
    mean over the references.
    """
    said: list[Said] = []
    for case in follow(made, f"{level}, gate"):
        given = {"right": case.right, "wrong": case.wrong, "look-alike": case.lookalike}
        for kind, reference in given.items():
            if reference is None:
                continue
            answer = model(case.low_quality, [reference])
            if answer.same_person is None or answer.likeness is None:
                return {}
            said.append(Said(kind, float(answer.same_person[0]), float(answer.likeness[0])))
    kinds = {one.kind: [other for other in said if other.kind == one.kind] for one in said}
    return {
        "cases": len(made),
        "means": {
            kind: _average(ones)
            | {
                "mistaken": float(
                    np.mean([(o.same_person < STRANGER_BELOW) == (kind == "right") for o in ones])
                )
            }
            for kind, ones in kinds.items()
        },
        "reliability": measure_reliability([one for one in said if one.kind != "look-alike"]),
    }


def measure_reliability(said: Sequence[Said]) -> dict[str, dict[str, float]]:
    """A row for each tenth of ``same_person`` in which there is one, and one of all."""
    tenths: dict[int, list[Said]] = {}
    for one in said:
        tenths.setdefault(min(int(one.same_person * BINS), BINS - 1), []).append(one)
    rows = {}
    apart = 0.0
    for tenth, ones in sorted(tenths.items()):
        row = _average(ones) | {"right_share": float(np.mean([one.kind == "right" for one in ones]))}
        rows[f"{tenth / BINS:.1f} to {(tenth + 1) / BINS:.1f}"] = row
        apart += len(ones) * abs(row["right_share"] - row["same_person"])
    if said:
        rows["all"] = {"cases": float(len(said)), "apart": apart / len(said)}
    return rows


def _average(ones: Sequence[Said]) -> dict[str, float]:
    return {
        "cases": float(len(ones)),
        "same_person": float(np.mean([one.same_person for one in ones])),
        "likeness": float(np.mean([one.likeness for one in ones])),
    }
