"""One level of the pairs: every case with every kind of reference, and what it takes to beat without learning."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refstar_model.evaluation import controls
from refstar_model.evaluation.cases import Case, pseudo_views
from refstar_model.evaluation.expression import copied_share, mouth_openness
from refstar_model.evaluation.printed_marks import PrintedMarks
from refstar_model.evaluation.records import Record, differences, means
from refstar_model.evaluation.scores import Judges, Known, Scores, embed, judge, know, tensor, truth_scores
from refstar_model.evaluation.sheets import Show, identity_caption
from refstar_model.export.restorers import RestoredPicture, Restorer, fit
from refstar_model.judges import metrics
from refstar_model.judges.landmarks import FaceMesh
from refstar_model.progress import follow

Pixels = NDArray[np.uint8]
Curve = list[tuple[float, float]]


def judge_level(
    model: Restorer,
    made: Sequence[Case],
    judges: Judges,
    level: str,
    references: bool = True,
    show: Show | None = None,
) -> tuple[dict[str, Any], list[Record]]:
    """``means``, ``differences`` and ``at_equal_psnr`` of the level, and its records.

    Without ``references`` only the input and the model on its own are judged.
    """
    records: list[Record] = []
    steps: dict[str, list[Curve]] = {}
    features: dict[str, list[NDArray[np.float64]]] = {}
    marks = PrintedMarks("input", "truth")
    for case in follow(made, level):
        known = know(case.truth, case.right, judges)
        answers = _answers(model, case, references)
        pictures = {"input": case.low_quality, **{name: a.picture for name, a in answers.items()}}
        if references:
            pictures |= _controls(case, pictures["none"])
            for name, curve in _curves(case, pictures["none"], known, judges).items():
                steps.setdefault(name, []).append(curve)
        scored = dict(zip(pictures, judge(list(pictures.values()), known, judges), strict=True))
        for name, answer in answers.items():
            add_answer(scored[name], answer, has_mask=name != "none")
        rows = scored | {"truth": truth_scores(known)}
        if references and judges.mesh is not None:
            _add_copied(rows, case, judges.mesh)
        records += [Record(case.name, case.person, case.distinct, n, s) for n, s in rows.items()]
        for name, picture in [*pictures.items(), ("truth", case.truth)]:
            marks.add(name, picture, known.skin)
            if judges.inception is not None:
                features.setdefault(name, []).append(judges.inception(fit(picture, 256)))
        if show is not None:
            _show(show, level, case, pictures, scored)
    found = means(records)
    for variant, printed in marks.measure().items():
        found[variant] |= printed
    for variant in features.keys() - {"truth"}:
        distance = metrics.frechet_distance(np.stack(features[variant]), np.stack(features["truth"]))
        found[variant]["fid"] = round(distance, 2)
    curves = {
        name: [(float(p), float(i)) for p, i in np.mean(np.array(rows), 0)] for name, rows in steps.items()
    }
    table = {
        "means": found,
        "differences": differences(records),
        "at_equal_psnr": {name: _against(found["right"], curve) for name, curve in curves.items()},
    }
    return table, records


def add_answer(scores: Scores, answer: RestoredPicture, has_mask: bool) -> None:
    """Mean mask (of several references: what all of them give together), and a failure where not finite."""
    if has_mask:
        scores["mean_mask"] = float(answer.selection.astype(np.float64).sum(0).mean()) / 255
    if not answer.finite:
        scores["failures"] = 1.0


def _answers(model: Restorer, case: Case, references: bool) -> dict[str, RestoredPicture]:
    """The model's answers to every kind of reference."""
    given: dict[str, list[Pixels]] = {"none": []}
    if references:
        views = pseudo_views(case.right)
        given = {
            "right": [case.right],
            "wrong": [case.wrong],
            **({"look-alike": [case.lookalike]} if case.lookalike is not None else {}),
            "none": [],
            "2 references": [case.right, *views[:1]],
            "4 references": [case.right, *views],
            "right + wrong": [case.right, case.wrong],
        }
    return {name: model(case.low_quality, pictures) for name, pictures in given.items()}


def _add_copied(scored: dict[str, Scores], case: Case, mesh: FaceMesh) -> None:
    """How much of the reference's mouth came along; of the right one for ``input`` and ``none``, which saw none."""
    truth = scored["truth"]["mouth_open"]
    right, wrong = (mouth_openness(mesh.points(p)) for p in (case.right, case.wrong))
    of = {"input": right, "none": right, "right": right, "wrong": wrong}
    for name, reference in of.items():
        share = copied_share(scored[name]["mouth_open"], truth, reference)
        if share is not None:
            scored[name]["mouth_copied"] = share


def _controls(case: Case, none: Pixels) -> dict[str, Pixels]:
    return {
        "band transfer, right": controls.band_transfer(case.low_quality, case.right),
        "band transfer, wrong": controls.band_transfer(case.low_quality, case.wrong),
        "fixed mask, right": controls.fixed_mask(none, case.right),
        "fixed mask, wrong": controls.fixed_mask(none, case.wrong),
    }


def _curves(case: Case, none: Pixels, known: Known, judges: Judges) -> dict[str, Curve]:
    """(PSNR, identity) of the controls of one case, by growing gain; none without a recognizer."""
    if judges.identity is None or known.truth_vector is None:
        return {}
    given = case.low_quality
    transfer = [given, *(controls.band_transfer(given, case.right, gain=g) for g in controls.GAINS)]
    mask = [none, *(controls.fixed_mask(none, case.right, g) for g in controls.GAINS)]
    curves: dict[str, Curve] = {}
    for name, pictures in {"band transfer": transfer, "fixed mask": mask}.items():
        vectors = embed(pictures, judges.identity)
        assert vectors is not None
        curves[name] = _curve(pictures, (vectors @ known.truth_vector[0]).tolist(), known.truth)
    return curves


def _curve(pictures: Sequence[Pixels], identities: Sequence[float], truth: Pixels) -> Curve:
    seen = tensor([fit(p, len(truth)) for p in pictures])
    return list(zip(metrics.psnr(seen, tensor([truth])).tolist(), identities, strict=True))


def _against(right: Scores, curve: Curve) -> dict[str, Any]:
    """The control's best identity at the model's PSNR, and the model's lead."""
    other = controls.identity_at(right["psnr"], curve)
    return {
        "identity": round(other, 4),
        "lead": round(right["identity"] - other, 4),
        "curve": [[round(p, 3), round(i, 4)] for p, i in curve],
    }


def _show(show: Show, level: str, case: Case, pictures: dict[str, Pixels], scored: dict[str, Scores]) -> None:
    if "right" not in pictures:
        row = [pictures["input"], pictures["none"], case.truth]
        show(f"{level}-alone", identity_caption(case.name, scored, ("input", "none")), row)
        return
    row = [pictures[n] for n in ("input", "right", "wrong", "none")] + [case.right, case.truth]
    show(level, identity_caption(case.name, scored, ("right", "wrong", "none")), row)
    if case.lookalike is not None:
        names = ("look-alike", "2 references", "4 references", "right + wrong")
        others = [case.low_quality, case.lookalike, *(pictures[n] for n in names)]
        show(f"{level}-others", identity_caption(case.name, scored, names), others)
