"""Whom does a gate let in? Every degraded val photograph against every other one, by the sides that they show."""

from typing import Any

import numpy as np

from refstar_model.data.photos import Kind, PhotoSet
from refstar_model.evaluation.cases import picture
from refstar_model.evaluation.gate import STRANGER_BELOW
from refstar_model.evaluation.lone_cases import degraded_case
from refstar_model.export.gate_graph import GateGraph
from refstar_model.progress import follow

SIDES = (Kind.FRONT, Kind.TURNED, Kind.PROFILE)


def judge_gate_views(
    gate: GateGraph, photos: PhotoSet, levels: tuple[str, ...], seed: int
) -> dict[str, dict[str, Any]]:
    """``{level: {"front, turned reference": {measure: value}}}`` of the photographs of people with several.

    ``pairs``: of one person; ``strangers``: of two. ``area``: how often a right reference gets a higher answer than a
    stranger's (under the ROC curve), equal answers half. ``right`` and ``wrong``: the mean answers; ``refused`` and
    ``let_in``: the shares of both on the wrong side of STRANGER_BELOW. Groups without pairs of both sorts are left out.
    """
    val = photos.split("val")
    several = {pair.person for pair in val.pairs}
    shown = [photo for photo in val.photos if photo.person in several and photo.kind in SIDES]
    names, kinds = (np.array(of) for of in ([p.person for p in shown], [p.kind.value for p in shown]))
    encoded = [gate.encode(picture(val, photo.file)) for photo in follow(shown, "gate, references")]
    table: dict[str, dict[str, Any]] = {}
    for level in levels:
        said = np.array(
            [
                gate.compare(degraded_case(val, photo, level, seed).low_quality, encoded)
                for photo in follow(shown, f"{level}, gate by view")
            ]
        )
        same = names[:, None] == names[None]
        other_picture = ~np.eye(len(shown), dtype=bool)
        rows: dict[str, Any] = {}
        for truth in SIDES:
            for reference in SIDES:
                group = (kinds[:, None] == truth.value) & (kinds[None] == reference.value) & other_picture
                right, wrong = said[group & same], said[group & ~same]
                if len(right) and len(wrong):
                    rows[f"{truth.value}, {reference.value} reference"] = _compare(right, wrong)
        if rows:
            table[level] = rows
    return table


def _compare(right: np.ndarray, wrong: np.ndarray) -> dict[str, float]:
    higher, equal = right[:, None] > wrong[None], right[:, None] == wrong[None]
    return {
        "pairs": float(len(right)),
        "strangers": float(len(wrong)),
        "area": float((higher + equal / 2).mean()),
        "right": float(right.mean()),
        "wrong": float(wrong.mean()),
        "refused": float((right < STRANGER_BELOW).mean()),
        "let_in": float((wrong >= STRANGER_BELOW).mean()),
    }
