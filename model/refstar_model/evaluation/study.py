"""The whole evaluation: every case, every kind of reference, the knobs, the real pictures; means and differences.

The result is a plain dictionary that JSON can hold; ``report`` writes it out and ``bars`` judges it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refstar_model import metrics
from refstar_model.data.degradation import LEVELS
from refstar_model.data.photos import Kind, PhotoSet
from refstar_model.evaluation import controls
from refstar_model.evaluation.bars import bars
from refstar_model.evaluation.cases import (
    Case,
    RealCase,
    cases,
    few_cases,
    nearest_strangers,
    pseudo_views,
    real_cases,
)
from refstar_model.evaluation.perceptual import OFF
from refstar_model.evaluation.restorers import Restored, Restorer, fit
from refstar_model.evaluation.scores import Judges, Known, Scores, embed, face_scores, judge, know, tensor
from refstar_model.recognition import Recognizer

Pixels = NDArray[np.uint8]
Show = Callable[[str, str, Sequence[Pixels]], None]  # sheet, caption, pictures of one row

FIDELITIES, STRENGTHS = (0.0, 0.25, 0.75, 1.0), (0.25, 0.5, 0.75)  # besides 0.5, and besides 0 and 1
#: Whose real portraits: figures of trained people flatter, and only like may stand beside like.
REAL_GROUPS = ("val people", "trained people", "trained people without a reference")
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
)


@dataclass(frozen=True)
class Extent:
    """How much is done.

    ``cases``: so many at each level, None for all. ``knobs_every``: the knobs are turned on every such case; 0 leaves
    them out.
    """

    seed: int = 7
    levels: tuple[str, ...] = tuple(sorted(LEVELS))
    cases: int | None = None
    knobs_every: int = 3
    real: bool = True


@dataclass(frozen=True)
class Record:
    """One restored picture."""

    case: str
    person: str
    distinct: bool
    variant: str
    scores: Scores


def evaluate(
    model: Restorer,
    photos: PhotoSet,
    judges: Judges,
    finder: Recognizer | None = None,
    extent: Extent | None = None,
    show: Show | None = None,
) -> tuple[dict[str, Any], list[Record]]:
    """Judge a model on the val people of ``photos`` (the whole set).

    ``finder`` chooses the look-alikes (the judge would rather not: it would find its own mistakes); without one the
    variant is left out. ``show`` gets the rows of the contact sheets. Returns the table and all records of the levels.
    """
    extent = extent or Extent()
    val = photos.split("val").of_kinds(Kind.FRONT)
    alike = nearest_strangers(val, finder) if finder is not None else None
    table: dict[str, Any] = {"seed": extent.seed, "cases": 0, "people": 0}
    records: list[Record] = []
    for level in extent.levels:
        if extent.cases is None:
            made = cases(val, level, extent.seed, alike)
        else:
            made = few_cases(val, level, extent.cases, extent.seed, alike)
        seen, curves, features = _level(model, made, judges, level, show)
        table |= {"cases": len(made), "people": len({c.person for c in made})}
        table[level] = means(seen)
        for variant in features.keys() - {"truth"}:
            distance = metrics.frechet_distance(features[variant], features["truth"])
            table[level][variant]["fid"] = round(distance, 2)
        table.setdefault("differences", {})[level] = differences(seen)
        table.setdefault("at_equal_psnr", {})[level] = {
            name: _against(table[level]["right"], curve) for name, curve in curves.items()
        }
        if extent.knobs_every:
            turned = [c for i, c in enumerate(made) if i % extent.knobs_every == 0]
            table.setdefault("knobs", {})[level] = _knobs(model, turned, judges)
        records += [Record(r.case, r.person, r.distinct, f"{level}/{r.variant}", r.scores) for r in seen]
    if extent.real and (found := real_cases(photos)):
        table["real"] = _real(model, found, judges, show)
    table["lpips"] = "on" if judges.perceptual is not None else OFF
    table["fid"] = "on" if judges.inception is not None else OFF
    table["bars"] = [bar.to_dict() for bar in bars(table)]
    return table, records


def means(records: Sequence[Record]) -> dict[str, Any]:
    """``{variant: {measure: mean}}``; ``failures`` are counted; ``identity_distinct_pictures`` beside them."""
    out: dict[str, Any] = {}
    for variant in dict.fromkeys(r.variant for r in records):
        rows = [r for r in records if r.variant == variant]
        out[variant] = {
            m: round(float(np.mean([r.scores[m] for r in rows if m in r.scores])), 4)
            for m in dict.fromkeys(m for r in rows for m in r.scores)
        }
        if "failures" in out[variant]:
            out[variant]["failures"] = int(sum(r.scores["failures"] for r in rows))
        if distinct := [r.scores["identity"] for r in rows if r.distinct and "identity" in r.scores]:
            out[variant]["identity_distinct_pictures"] = round(float(np.mean(distinct)), 4)
    return out


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
        for measure in ("psnr", "identity", "landmarks", "sharpness", "sharpness_outside"):
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


def _level(
    model: Restorer, made: Sequence[Case], judges: Judges, level: str, show: Show | None
) -> tuple[list[Record], dict[str, list[tuple[float, float]]], dict[str, NDArray[np.float64]]]:
    """Records, (PSNR, identity) curves of the controls, and features for FID (empty without an Inception)."""
    records: list[Record] = []
    steps: dict[str, list[list[tuple[float, float]]]] = {"band transfer": [], "fixed mask": []}
    features: dict[str, list[NDArray[np.float64]]] = {}
    for case in made:
        known = know(case.truth, case.right, judges)
        answers = _answers(model, case)
        pictures = {"input": case.low_quality, **{name: a.picture for name, a in answers.items()}}
        none = pictures["none"]
        pictures |= {
            "band transfer, right": controls.band_transfer(case.low_quality, case.right),
            "band transfer, wrong": controls.band_transfer(case.low_quality, case.wrong),
            "fixed mask, right": controls.fixed_mask(none, case.right),
            "fixed mask, wrong": controls.fixed_mask(none, case.wrong),
        }
        scored = dict(zip(pictures, judge(list(pictures.values()), known, judges), strict=True))
        for name, answer in answers.items():
            _add_answer(scored[name], answer, has_mask=name != "none")
        records += [Record(case.name, case.person, case.distinct, n, s) for n, s in scored.items()]
        steps["band transfer"].append(
            _curve(
                [
                    case.low_quality,
                    *(controls.band_transfer(case.low_quality, case.right, gain=g) for g in controls.GAINS),
                ],
                known,
                judges,
            )
        )
        steps["fixed mask"].append(
            _curve([none, *(controls.fixed_mask(none, case.right, g) for g in controls.GAINS)], known, judges)
        )
        if judges.inception is not None:
            for name, picture in [*pictures.items(), ("truth", case.truth)]:
                features.setdefault(name, []).append(judges.inception(fit(picture, 256)))
        if show is not None:
            row = [pictures[n] for n in ("input", "right", "wrong", "none")] + [case.right, case.truth]
            show(level, _caption(case.name, scored, ("right", "wrong", "none")), row)
            if case.lookalike is not None:
                names = ("look-alike", "2 references", "4 references", "right + wrong")
                others = [case.low_quality, case.lookalike, *(pictures[n] for n in names)]
                show(f"{level}-others", _caption(case.name, scored, names), others)
    curves = {
        name: [(float(p), float(i)) for p, i in np.mean(np.array(rows), 0)] for name, rows in steps.items()
    }
    return records, curves, {name: np.stack(rows) for name, rows in features.items()}


def _answers(model: Restorer, case: Case) -> dict[str, Restored]:
    """The model's answers to every kind of reference."""
    views = pseudo_views(case.right)
    references: dict[str, list[Pixels]] = {
        "right": [case.right],
        "wrong": [case.wrong],
        **({"look-alike": [case.lookalike]} if case.lookalike is not None else {}),
        "none": [],
        "2 references": [case.right, *views[:1]],
        "4 references": [case.right, *views],
        "right + wrong": [case.right, case.wrong],
    }
    return {name: model(case.low_quality, given) for name, given in references.items()}


def _add_answer(scores: Scores, answer: Restored, has_mask: bool) -> None:
    """Mean mask (of several references: what all of them give together), and a failure where not finite."""
    if has_mask:
        scores["mean_mask"] = float(answer.selection.astype(np.float64).sum(0).mean()) / 255
    if not answer.finite:
        scores["failures"] = 1.0


def _curve(pictures: Sequence[Pixels], known: Known, judges: Judges) -> list[tuple[float, float]]:
    """(PSNR, identity) of pictures of one case."""
    vectors = embed(pictures, judges.identity)
    seen = tensor([fit(p, len(known.truth)) for p in pictures])
    identities = (vectors @ known.truth_vector[0]).tolist()
    return list(zip(metrics.psnr(seen, tensor([known.truth])).tolist(), identities, strict=True))


def _against(right: Scores, curve: list[tuple[float, float]]) -> dict[str, Any]:
    """The control's best identity at the model's PSNR, and the model's lead."""
    other = controls.identity_at(right["psnr"], curve)
    return {
        "identity": round(other, 4),
        "lead": round(right["identity"] - other, 4),
        "curve": [[round(p, 3), round(i, 4)] for p, i in curve],
    }


def _knobs(model: Restorer, made: Sequence[Case], judges: Judges) -> dict[str, Any]:
    """Means with one knob turned; ``change`` is the mean distance from the default's picture in levels of 255."""
    records: list[Record] = []
    for case in made:
        known = know(case.truth, case.right, judges)
        default = model(case.low_quality, [case.right])
        answers = {"default": default, "reference_strength 0": model(case.low_quality, [])}
        answers |= {
            f"fidelity {value:g}": model(case.low_quality, [case.right], fidelity=value)
            for value in FIDELITIES
        }
        answers |= {
            f"reference_strength {value:g}": model(case.low_quality, [case.right], strength=value)
            for value in STRENGTHS
        }
        pictures = [answer.picture for answer in answers.values()]
        scored = judge(pictures, known, judges)
        for (name, answer), scores in zip(answers.items(), scored, strict=True):
            _add_answer(scores, answer, has_mask=name != "reference_strength 0")
            scores["change"] = _distance(answer.picture, default.picture)
            scores["distance_to_input"] = _distance(answer.picture, case.low_quality)
            records.append(Record(case.name, case.person, case.distinct, name, scores))
    return {"cases": len(made)} | means(records)


def _real(model: Restorer, found: Sequence[RealCase], judges: Judges, show: Show | None) -> dict[str, Any]:
    """Real small portraits, ``{group: {variant: {measure: mean}}}``.

    ``identity`` is that to the same photograph in high resolution, where there is one; sharpness is relative to it,
    else (inside the face only: backgrounds differ) to the reference.
    """
    groups: dict[str, list[Record]] = {name: [] for name in REAL_GROUPS}
    for case in found:
        known = [p for p in (case.right, case.same_photo) if p is not None]
        vectors = embed(known, judges.identity)
        answers = {"none": model(case.low_quality, []), "wrong": model(case.low_quality, [case.wrong])}
        if case.right is not None:
            answers = {"right": model(case.low_quality, [case.right])} | answers
        pictures = {"input": case.low_quality} | {n: a.picture for n, a in answers.items()}
        sharp = fit(known[-1], 256)
        points = (
            judges.mesh.points(sharp) if judges.mesh is not None and case.same_photo is not None else None
        )
        own = embed(list(pictures.values()), judges.identity)
        captioned: dict[str, Scores] = {}
        for (name, picture), vector in zip(pictures.items(), own, strict=True):
            scores = face_scores(picture, points, judges)
            if case.right is not None:
                scores["identity_to_reference"] = float(vector @ vectors[0])
            if case.same_photo is not None:
                scores["identity"] = float(vector @ vectors[-1])
            seen = tensor([fit(picture, 256)])
            inside, outside = metrics.sharpness(seen, tensor([sharp]))
            scores["sharpness"] = float(inside)
            if case.same_photo is not None:
                scores["sharpness_outside"] = float(outside)
            if name in answers:
                _add_answer(scores, answers[name], has_mask=name != "none")
            group = 0 if not case.seen_in_training else 1 if case.right is not None else 2
            groups[REAL_GROUPS[group]].append(Record(case.name, case.person, False, name, scores))
            captioned[name] = scores
        if show is not None:
            blank = np.full_like(case.low_quality, 255)
            row = [pictures.get(n, blank) for n in ("input", "right", "wrong", "none")]
            row += [blank if p is None else p for p in (case.right, case.same_photo)]
            show("real", _caption(case.name, captioned, ("input", "right", "wrong", "none")), row)
    return {
        group: {"cases": len({r.case for r in rows})} | means(rows) for group, rows in groups.items() if rows
    }


def _caption(name: str, scored: dict[str, Scores], variants: Sequence[str]) -> str:
    values = ((v, scored.get(v, {})) for v in variants)
    said = (f"{v} {s.get('identity', s.get('identity_to_reference', 0.0)):.2f}" for v, s in values if s)
    return f"{name}   identity: " + ", ".join(said)


def _distance(one: Pixels, two: Pixels) -> float:
    return float(np.abs(one.astype(np.int16) - two).mean())
