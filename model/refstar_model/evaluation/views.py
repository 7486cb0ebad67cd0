"""References from another side, and several truly different ones: val people with photographs of several kinds.

A reference from another side must never do harm; several different photographs should do more than the best of them,
in whatever order, and a stranger's among them no harm.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refstar_model.data.photos import Kind, Pair, Photo, PhotoSet
from refstar_model.evaluation.cases import picture
from refstar_model.evaluation.gate import STRANGER_BELOW
from refstar_model.evaluation.kinds import NOT_OF_PROFILES
from refstar_model.evaluation.lone_cases import LoneCase, degraded_case, spread
from refstar_model.evaluation.pair_level import add_answer
from refstar_model.evaluation.records import mean_scores
from refstar_model.evaluation.scores import Judges, Known, Scores, judge, know
from refstar_model.evaluation.sheets import Show, WorstRows
from refstar_model.export.restorers import RestoredPicture, Restorer
from refstar_model.progress import follow

Pixels = NDArray[np.uint8]

MEASURES = (
    *("psnr", "identity", "second", "landmarks", "lips", "lids", "sharpness", "pattern"),
    *("failures", "mean_mask", "same_person", "mistaken"),
)
SEVERAL = 4  # different references of one person
MOST_TURNED = 0.75  # yaw, of those


@dataclass(frozen=True)
class SeenFrom:
    """A degraded photograph and a photograph of the same person from another side."""

    truth: Photo
    reference: Photo
    stranger: Photo  # of the reference's kind

    @property
    def group(self) -> str:
        return f"{self.truth.kind.value}, {self.reference.kind.value} reference"


def judge_views(
    model: Restorer,
    photos: PhotoSet,
    judges: Judges,
    levels: tuple[str, ...],
    seed: int,
    count: int,
    show: Show | None = None,
) -> dict[str, Any]:
    """``{level: {group: {"cases": n, variant: {measure: mean}}}}`` of the val people; at most ``count`` cases a group.

    Variants: ``input``, ``none``, ``right`` (from another side), ``wrong`` (a stranger's photograph of that kind);
    ``mistaken`` as in `judge_gate`. Two turned heads are a group too: a gate may take them for one person since both
    have turned. In the group `several`: ``right`` (each different photograph alone, mean), ``best`` (that with the
    highest identity), ``2 different`` and ``4 different``, ``4, reversed`` and ``4 + wrong``. Groups without cases are
    left out.
    """
    val = photos.split("val")
    pairs = list(_pair_views(val))
    groups = {
        group: spread([p for p in pairs if p.group == group], count)
        for group in sorted({p.group for p in pairs})
    }
    people = spread(list(_gather_several(val)), count)
    table: dict[str, Any] = {}
    for level in levels:
        rows: dict[str, Any] = {}
        for group, members in groups.items():
            worst = WorstRows(show, f"views-{level}-{group.replace(', ', '-').replace(' ', '-')}")
            scored = [
                _judge_pair(model, val, pair, judges, level, seed, worst)
                for pair in follow(members, f"{level}, {group}")
            ]
            worst.close()
            rows[group] = _average(scored)
        if people:
            several = [
                _judge_several(model, val, of, judges, level, seed)
                for of in follow(people, f"{level}, several")
            ]
            rows["several"] = _average(several)
        if rows:
            table[level] = rows
    return table


def _pair_views(val: PhotoSet) -> Iterator[SeenFrom]:
    """Pairs of two kinds, or of two turned heads, in both directions; grays have no pairs of this sort."""
    kinds = {pair: (val.by_file[pair.first].kind, val.by_file[pair.second].kind) for pair in val.pairs}
    unlike = [pair for pair, (one, two) in kinds.items() if one is not two or one is Kind.TURNED]
    for pair in unlike:
        for truth, reference in ((pair.first, pair.second), (pair.second, pair.first)):
            of = val.by_file[reference]
            if (stranger := _find_stranger(val, unlike, pair, of.kind)) is not None:
                yield SeenFrom(val.by_file[truth], of, stranger)


def _find_stranger(val: PhotoSet, pairs: list[Pair], pair: Pair, kind: Kind) -> Photo | None:
    """Of the next person in the list who has a photograph of the kind."""
    at = pairs.index(pair)
    for other in (*pairs[at + 1 :], *pairs[:at]):
        for file in (other.first, other.second):
            if other.person != pair.person and val.by_file[file].kind is kind:
                return val.by_file[file]
    return None


def _gather_several(val: PhotoSet) -> Iterator[tuple[Photo, list[Photo], Photo]]:
    """A frontal photograph, the four least turned others of the person, and a stranger's frontal one."""
    fronts = val.of_kinds(Kind.FRONT).photos
    for index, truth in enumerate(fronts):
        others = [p for p in val.photos if p.person == truth.person and p.file != truth.file]
        others = [p for p in others if p.kind in (Kind.FRONT, Kind.TURNED) and abs(p.yaw) < MOST_TURNED]
        strangers = [p for p in (*fronts[index + 1 :], *fronts[:index]) if p.person != truth.person]
        if len(others) >= SEVERAL and strangers:
            yield truth, sorted(others, key=lambda p: (abs(p.yaw), p.file))[:SEVERAL], strangers[0]


def _judge_pair(
    model: Restorer, val: PhotoSet, pair: SeenFrom, judges: Judges, level: str, seed: int, worst: WorstRows
) -> dict[str, Scores]:
    case = degraded_case(val, pair.truth, level, seed)
    right, wrong = (picture(val, p.file) for p in (pair.reference, pair.stranger))
    given: dict[str, list[Pixels]] = {"none": [], "right": [right], "wrong": [wrong]}
    answers = {name: model(case.low_quality, references) for name, references in given.items()}
    scored = _score(case, pair.truth, know(case.truth, None, judges), answers, judges)
    for name, of in scored.items():
        if (same := of.get("same_person")) is not None:
            of["mistaken"] = float((same < STRANGER_BELOW) == (name == "right"))
    gain = scored["right"]["psnr"] - scored["none"]["psnr"]
    shown = [case.low_quality, answers["none"].picture, answers["right"].picture, right, case.truth]
    worst.add(gain, f"{case.name}   PSNR {gain:+.2f} over none", shown)
    return scored


def _judge_several(
    model: Restorer,
    val: PhotoSet,
    of: tuple[Photo, list[Photo], Photo],
    judges: Judges,
    level: str,
    seed: int,
) -> dict[str, Scores]:
    truth, others, stranger = of
    case = degraded_case(val, truth, level, seed)
    pictures = [picture(val, p.file) for p in others]
    given: dict[str, list[Pixels]] = {
        "none": [],
        **{f"alone {index}": [one] for index, one in enumerate(pictures)},
        "2 different": pictures[:2],
        "4 different": pictures,
        "4, reversed": pictures[::-1],
        "4 + wrong": [*pictures, picture(val, stranger.file)],
    }
    answers = {name: model(case.low_quality, references) for name, references in given.items()}
    scored = _score(case, truth, know(case.truth, None, judges), answers, judges)
    alone = [scored.pop(f"alone {index}") for index in range(len(pictures))]
    scored["right"] = {m: float(np.mean([s[m] for s in alone if m in s])) for m in alone[0]}
    scored["best"] = max(alone, key=lambda s: s.get("identity", s["psnr"]))
    return scored


def _score(
    case: LoneCase, truth: Photo, known: Known, answers: dict[str, RestoredPicture], judges: Judges
) -> dict[str, Scores]:
    pictures = [case.low_quality, *(answer.picture for answer in answers.values())]
    scored = dict(zip(("input", *answers), judge(pictures, known, judges), strict=True))
    left_out = NOT_OF_PROFILES if truth.kind is Kind.PROFILE else ()
    for name, answer in answers.items():
        add_answer(scored[name], answer, has_mask=name != "none")
        if answer.same_person is not None and len(answer.same_person):
            scored[name]["same_person"] = float(answer.same_person.mean())
    return {
        name: {m: scores[m] for m in MEASURES if m in scores and m not in left_out}
        for name, scores in scored.items()
    }


def _average(scored: list[dict[str, Scores]]) -> dict[str, Any]:
    return {"cases": len(scored)} | {name: mean_scores([s[name] for s in scored]) for name in scored[0]}
