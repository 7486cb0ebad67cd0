"""The scores of many pictures: their means, their worst, and how two variants differ."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from refstar_model.evaluation.scores import Scores

COMPARED = (
    ("right", "none"),
    ("right", "input"),
    ("right", "wrong"),
    ("wrong", "none"),
    ("look-alike", "none"),
    ("2 references", "right"),
    ("4 references", "right"),
    ("right + wrong", "right"),
    ("right", "band transfer, right"),
    ("right", "fixed mask, right"),
    ("none", "input"),
)
MEASURES = ("psnr", "identity", "second", "landmarks", "mouth_openness", "sharpness", "sharpness_outside")
TENTH = 0.1


@dataclass(frozen=True)
class Record:
    """One restored picture."""

    case: str
    person: str
    distinct: bool
    variant: str
    scores: Scores


def means(records: Sequence[Record]) -> dict[str, Any]:
    """``{variant: {measure: mean}}``; ``failures`` are counted; ``identity_distinct_pictures`` beside them."""
    out: dict[str, Any] = {}
    for variant in dict.fromkeys(r.variant for r in records):
        rows = [r for r in records if r.variant == variant]
        out[variant] = mean_scores([r.scores for r in rows])
        if distinct := [r.scores["identity"] for r in rows if r.distinct and "identity" in r.scores]:
            out[variant]["identity_distinct_pictures"] = round(float(np.mean(distinct)), 4)
    return out


def mean_scores(scores: Sequence[Scores]) -> dict[str, Any]:
    """The mean of every measure over the pictures that have it; ``failures`` are counted."""
    out: dict[str, Any] = {
        m: round(float(np.mean([s[m] for s in scores if m in s])), 4)
        for m in dict.fromkeys(m for s in scores for m in s)
    }
    if "failures" in out:
        out["failures"] = int(sum(s["failures"] for s in scores))
    return out


def worst_tenth(values: Sequence[float]) -> float:
    """Mean of the lowest tenth, of one value at least."""
    return float(np.mean(sorted(values)[: max(1, round(len(values) * TENTH))]))


def differences(records: Sequence[Record]) -> dict[str, Any]:
    """Paired differences, ``{"right - none": {measure: {mean, standard_error, better}}}``.

    A person's two cases are no two witnesses: the standard error is that of the people's means. ``better`` is the share
    of cases in which the first has the higher value.
    """
    out: dict[str, Any] = {}
    by_variant = {v: {r.case: r for r in records if r.variant == v} for v in {r.variant for r in records}}
    for one, two in COMPARED:
        if one not in by_variant or two not in by_variant:
            continue
        pairs = [(by_variant[one][case], by_variant[two][case]) for case in by_variant[one]]
        entry = {}
        for measure in MEASURES:
            if any(measure not in r.scores for pair in pairs for r in pair):
                continue
            values = np.array([a.scores[measure] - b.scores[measure] for a, b in pairs])
            people = [
                np.mean([v for v, (a, _) in zip(values, pairs, strict=True) if a.person == person])
                for person in dict.fromkeys(a.person for a, _ in pairs)
            ]
            error = np.std(people, ddof=1) / np.sqrt(len(people)) if len(people) > 1 else 0.0
            entry[measure] = {
                "mean": round(float(values.mean()), 4),
                "standard_error": round(float(error), 4),
                "better": round(float((values > 0).mean()), 3),
            }
        out[f"{one} - {two}"] = entry
    return out
