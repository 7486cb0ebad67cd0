"""Faces restored without a reference, judged against their truth: the input, the result, and what the truth has."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refstar_model.data.photos import Kind, PhotoSet
from refstar_model.evaluation.lone_cases import LoneCase, degraded_case, spread
from refstar_model.evaluation.printed_marks import PrintedMarks
from refstar_model.evaluation.records import Record, differences, means
from refstar_model.evaluation.scores import Judges, Known, Scores, judge, know, truth_scores
from refstar_model.evaluation.sheets import Show, WorstRows
from refstar_model.export.restorers import Restorer
from refstar_model.progress import follow

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class JudgedFace:
    """One face before and after."""

    picture: Pixels
    input: Scores
    none: Scores  # with `gain`, the PSNR gained over the input


def judge_alone(model: Restorer, case: LoneCase, known: Known, judges: Judges) -> JudgedFace:
    """The case restored without a reference; ``known`` is what judges know of its truth."""
    answer = model(case.low_quality, [])
    before, after = judge([case.low_quality, answer.picture], known, judges)
    if not answer.finite:
        after["failures"] = 1.0
    after["gain"] = after["psnr"] - before["psnr"]
    return JudgedFace(answer.picture, before, after)


def judge_old(
    model: Restorer, photos: PhotoSet, judges: Judges, seed: int, count: int | None, show: Show | None
) -> dict[str, Any]:
    """The gray portraits of ``photos`` as old photographs; at most ``count``.

    An empty table where there are none.
    """
    chosen = spread(photos.of_kinds(Kind.GRAY).photos, count)
    return judge_lone_level(
        model, (degraded_case(photos, p, "old", seed) for p in follow(chosen, "old")), judges, "old", show
    )


def judge_lone_level(
    model: Restorer, cases: Iterable[LoneCase], judges: Judges, level: str, show: Show | None
) -> dict[str, Any]:
    """``{"cases": n, "means": ..., "differences": ...}`` of ``input``, ``none`` and ``truth``; empty without cases."""
    records: list[Record] = []
    marks = PrintedMarks("input", "truth")
    worst = WorstRows(show, f"{level}-worst-alone")
    for case in cases:
        known = know(case.truth, None, judges)
        judged = judge_alone(model, case, known, judges)
        variants = {"input": judged.input, "none": judged.none, "truth": truth_scores(known)}
        records += [Record(case.name, case.person, False, n, s) for n, s in variants.items()]
        pictures = {"input": case.low_quality, "none": judged.picture, "truth": case.truth}
        for name, picture in pictures.items():
            marks.add(name, picture, known.skin)
        gain = judged.none["gain"]
        said = f"{case.name}   PSNR {gain:+.2f}"
        if "identity" in judged.none:
            said += f", identity {judged.none['identity']:.2f}"
        worst.add(gain, said, list(pictures.values()))
    if not records:
        return {}
    worst.close()
    found = means(records)
    for variant, printed in marks.measure().items():
        found[variant] |= printed
    count = sum(record.variant == "none" for record in records)
    return {"cases": count, "means": found, "differences": differences(records)}
