"""Glasses, beards, mouths and hair that differ: what is taken of them from a reference, and what that costs.

People have checked by eye in which parts of a face two photographs agree (`data/checked_masks.py`). Where they
differ, the reference's glasses or beard may be taken only as far as the input speaks for them.
"""

from collections.abc import Iterator
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.data.checked_masks import CheckedPair, load_checked
from refstar_model.data.face_parts import GRID, Map, Part, part_regions
from refstar_model.data.photos import SPLITS, PhotoSet
from refstar_model.evaluation.cases import picture
from refstar_model.evaluation.lone_cases import degraded_case
from refstar_model.evaluation.records import mean_scores
from refstar_model.evaluation.scores import Scores
from refstar_model.evaluation.sheets import Show, WorstRows
from refstar_model.export.restorers import Restorer, fit
from refstar_model.judges.landmarks import SIDE, FaceMesh
from refstar_model.progress import follow

Pixels = NDArray[np.uint8]


def judge_differing_parts(
    model: Restorer,
    photos: PhotoSet,
    mesh: FaceMesh,
    levels: tuple[str, ...],
    seed: int,
    checked: tuple[CheckedPair, ...] | None = None,
    show: Show | None = None,
) -> dict[str, Any]:
    """``{level: {"glasses, val people, differ": {"cases": n, "mean_mask": m, "gain": d}, ...}}``.

    ``mean_mask`` in 0..1 is what was taken in the part's region of the truth; ``gain`` the PSNR there over that without
    a reference. Of val and of train people: of the latter the masks say something, since their labels are learned from.
    ``checked`` are the pairs, by default those that this package knows; pairs whose photographs are not there are left
    out. Sheets show the pairs with the largest loss in a part that differs, and what was taken.
    """
    table: dict[str, Any] = {}
    for level in levels:
        rows: dict[str, list[Scores]] = {}
        for split in reversed(SPLITS):
            people = photos.split(split)
            pairs = load_checked(split) if checked is None else [p for p in checked if p.split == split]
            worst = WorstRows(show, f"parts-{level}-{split}-people")
            ways = list(_both_ways(pairs, people))
            for pair in follow(ways, f"{level}, parts of {split} people"):
                seen = _judge_pair(model, people, pair, mesh, level, seed, worst)
                for part, scores in seen.items():
                    verdict = "differ" if part in pair.leave else "agree"
                    rows.setdefault(f"{part.value}, {split} people, {verdict}", []).append(scores)
            worst.close()
        if rows:
            table[level] = {
                name: {"cases": len(scores)} | mean_scores(scores) for name, scores in sorted(rows.items())
            }
    return table


def _both_ways(pairs: list[CheckedPair], people: PhotoSet) -> Iterator[CheckedPair]:
    for pair in pairs:
        if {pair.truth, pair.reference} <= people.by_file.keys():
            yield from filter(None, (pair, pair.reverse()))


def _judge_pair(
    model: Restorer,
    people: PhotoSet,
    pair: CheckedPair,
    mesh: FaceMesh,
    level: str,
    seed: int,
    worst: WorstRows,
) -> dict[Part, Scores]:
    case = degraded_case(people, people.by_file[pair.truth], level, seed)
    reference = picture(people, pair.reference)
    right, none = model(case.low_quality, [reference]), model(case.low_quality, [])
    taken = cv2.resize(right.selection[0], (GRID, GRID), interpolation=cv2.INTER_AREA) / 255
    errors = [_map_errors(answer.picture, case.truth) for answer in (right, none)]
    scores = {
        part: _score_region(region, taken, *errors)
        for part, region in part_regions(mesh.points(fit(case.truth, SIDE))).items()
        if part not in pair.unsure and region.sum() >= 1
    }
    if changed := [scores[part]["gain"] for part in pair.leave if part in scores]:
        differing = ", ".join(sorted(part.value for part in pair.leave))
        mask = np.repeat(cv2.resize(right.selection[0], (512, 512))[..., None], 3, 2)
        shown = [case.low_quality, none.picture, right.picture, reference, case.truth, mask]
        worst.add(min(changed), f"{case.name}   {min(changed):+.2f} dB; differ: {differing}", shown)
    return scores


def _map_errors(seen: Pixels, truth: Pixels) -> Map:
    """Mean squared errors in 0..1, on the grid of the masks."""
    apart = (fit(seen, len(truth)).astype(np.float32) - truth.astype(np.float32)) / 255
    return np.asarray(cv2.resize((apart**2).mean(2), (GRID, GRID), interpolation=cv2.INTER_AREA), np.float32)


def _score_region(region: Map, taken: NDArray[np.float64], right: Map, none: Map) -> Scores:
    def mean(values: NDArray[Any]) -> float:
        return float((values * region).sum() / region.sum())

    return {
        "mean_mask": mean(taken),
        "gain": 10 * float(np.log10((mean(none) + 1e-7) / (mean(right) + 1e-7))),
    }
