"""Do no harm: good photographs and real old portraits, given as they are, should come back as they are."""

from collections.abc import Callable, Iterable, Iterator
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refstar_model.data.photos import PhotoSet
from refstar_model.evaluation.cases import picture
from refstar_model.evaluation.lone_cases import REAL_KINDS, LoneCase, clean_case, historic_cases, spread
from refstar_model.evaluation.printed_marks import PrintedMarks
from refstar_model.evaluation.records import mean_scores, worst_tenth
from refstar_model.evaluation.scores import Judges, Scores, judge, know, skin_scores
from refstar_model.evaluation.sheets import Show, WorstRows
from refstar_model.export.restorers import Restorer
from refstar_model.progress import follow

Pixels = NDArray[np.uint8]

#: Everything is measured against the input. Eyes and expression say nothing new here.
MEASURES = ("psnr", "ssim", "identity", "second", "sharpness", "sharpness_outside", "pattern", "failures")
WITH_REFERENCE = "val, with a reference"
WORST = ("psnr", "ssim", "identity")  # of these the worst tenth too


def measure_harm(
    model: Restorer,
    photos: PhotoSet,
    judges: Judges,
    count: int | None = None,
    show: Show | None = None,
    references: bool = False,
) -> dict[str, Any]:
    """``{group: {"cases": n, measure: mean, "worst_psnr": mean of the worst tenth, ...}}``.

    Groups are the kinds of the val photographs, all of them together (``val``), and ``historic``; with ``references``
    also those that have another photograph of the person, from any side, with that; at most ``count`` pictures of each.
    ``input_pattern`` is what the input has of it.
    """
    val = photos.split("val")
    groups = {
        kind.value: _measure(model, _clean(val.of_kinds(kind), count), judges, f"harm-{kind.value}", show)
        for kind in REAL_KINDS
    }
    found = {f"val, {name}": _row(*judged) for name, judged in groups.items() if judged[0]}
    scores = [s for judged in groups.values() for s in judged[0]]
    marks = PrintedMarks("input").join(judged[1] for judged in groups.values())
    table = {"val": _row(scores, marks), **found} if found else {}
    if references:
        others = {
            a: b for pair in val.pairs for a, b in ((pair.first, pair.second), (pair.second, pair.first))
        }
        paired = replace(val, photos=tuple(p for p in val.photos if p.file in others))

        def refer(case: LoneCase) -> list[Pixels]:
            return [picture(val, others[case.name])]

        helped = _measure(model, _clean(paired, count), judges, "harm-with-reference", show, refer)
        if helped[0]:
            table[WITH_REFERENCE] = _row(*helped)
    historic = _measure(model, spread(historic_cases(photos), count), judges, "harm-historic", show)
    return table | ({"historic": _row(*historic)} if historic[0] else {})


def _clean(photos: PhotoSet, count: int | None) -> Iterator[LoneCase]:
    for photo in follow(spread(photos.photos, count), "do no harm"):
        yield clean_case(photo.file, photo.person, photos.read_sharpest(photo.file))


def _measure(
    model: Restorer,
    cases: Iterable[LoneCase],
    judges: Judges,
    sheet: str,
    show: Show | None,
    refer: Callable[[LoneCase], list[Pixels]] = lambda _: [],
) -> tuple[list[Scores], PrintedMarks]:
    scores, marks = [], PrintedMarks("input")
    worst = WorstRows(show, f"{sheet}-alone")
    for case in cases:
        known = know(case.truth, None, judges)
        answer = model(case.low_quality, refer(case))
        judged = judge([answer.picture], known, judges)[0]
        kept = {m: judged[m] for m in MEASURES if m in judged}
        if not answer.finite:
            kept["failures"] = 1.0
        if own := skin_scores(case.truth, known.skin):
            kept["input_pattern"] = own["pattern"]
        scores.append(kept)
        marks.add("input", case.low_quality, known.skin)
        marks.add("restored", answer.picture, known.skin)
        said = f"{case.name}   PSNR {kept['psnr']:.1f}"
        if "identity" in kept:
            said += f", identity {kept['identity']:.2f} to itself"
        worst.add(kept["psnr"], said, [case.low_quality, answer.picture, case.truth])
    worst.close()
    return scores, marks


def _row(scores: list[Scores], marks: PrintedMarks) -> dict[str, Any]:
    row: dict[str, Any] = {"cases": len(scores), **mean_scores(scores)}
    row |= {f"worst_{m}": round(worst_tenth([s[m] for s in scores]), 4) for m in WORST if m in row}
    return row | marks.measure()["restored"]
