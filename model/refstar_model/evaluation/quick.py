"""A dozen cases in a minute: which of two checkpoints is the better one?"""

from collections.abc import Sequence

import numpy as np

from refstar_model.data.degradation import LEVELS, LONE_LEVELS
from refstar_model.data.photos import Kind, Photo, PhotoSet
from refstar_model.evaluation.cases import few_cases
from refstar_model.evaluation.kinds import NOT_OF_PROFILES
from refstar_model.evaluation.lone_cases import LoneCase, clean_case, degraded_case, spread, spread_over_kinds
from refstar_model.evaluation.lone_level import judge_alone
from refstar_model.evaluation.printed_marks import PrintedMarks
from refstar_model.evaluation.scores import Judges, Scores, embed, know, tensor
from refstar_model.export.restorers import Restorer, fit
from refstar_model.judges import metrics
from refstar_model.judges.recognition import Recognizer
from refstar_model.progress import follow

PATTERN_ALLOWED = 4.0  # gray levels: clean photographs have 3 to 4
HATCHING_ALLOWED = 5.0  # decibels: the eye finds that in two faces of ten
CLEAN_WANTED = 38.0  # dB of a clean photograph to itself
SHARP_ENOUGH = 0.65


def quick_scores(
    model: Restorer, photos: PhotoSet, recognizer: Recognizer | None, cases: int = 12
) -> dict[str, float]:
    """Means over ``cases`` cases at each level, as ``{"severe/identity/right": value, ...}``, and one ``score``.

    ``photos`` are people that training does not see; ``recognizer`` one that the losses do not use, without which
    nothing is said or scored of identity. Measures: ``psnr``,
    ``identity``, ``sharpness`` (right only), ``mask``; variants: ``input``, ``right``, ``wrong``, ``none``.

    ``score`` (higher is better) is the mean over the levels of identity + PSNR / 20 + sharpness / 5 (up to 0.65) with
    the right reference, less what a wrong person's reference costs in identity against none: two decibels weigh as much
    as a tenth of cosine.
    """
    scores: dict[str, float] = {}
    shares = []
    for level in sorted(LEVELS):
        sums: dict[str, list[float]] = {}
        for case in follow(few_cases(photos, level, cases), level):
            answers = {
                "right": model(case.low_quality, [case.right]),
                "wrong": model(case.low_quality, [case.wrong]),
                "none": model(case.low_quality, []),
            }
            pictures = {"input": case.low_quality} | {name: a.picture for name, a in answers.items()}
            vectors = embed([case.truth, *pictures.values()], recognizer)
            truth = tensor([case.truth])
            for index, (name, picture) in enumerate(pictures.items(), 1):
                seen = tensor([fit(picture, len(case.truth))])
                sums.setdefault(f"psnr/{name}", []).append(float(metrics.psnr(seen, truth)))
                if vectors is not None:
                    sums.setdefault(f"identity/{name}", []).append(float(vectors[index] @ vectors[0]))
                if name == "right":
                    sums.setdefault("sharpness/right", []).append(float(metrics.sharpness(seen, truth)[0]))
            for name in ("right", "wrong"):
                mask = float(answers[name].selection.mean()) / 255
                sums.setdefault(f"mask/{name}", []).append(mask)
        of = {name: float(np.mean(values)) for name, values in sums.items()}
        scores |= {f"{level}/{name}": round(value, 4) for name, value in of.items()}
        shares.append(
            of.get("identity/right", 0.0)
            + of["psnr/right"] / 20
            + min(of["sharpness/right"], SHARP_ENOUGH) / 5
            - max(0.0, of.get("identity/none", 0.0) - of.get("identity/wrong", 0.0))
        )
    return scores | {"score": round(float(np.mean(shares)), 4)}


def quick_scores_alone(
    model: Restorer, photos: PhotoSet, recognizer: Recognizer | None, cases: int = 12, seed: int = 7
) -> dict[str, float]:
    """The same for a model without references: ``{"severe/gain": value, ..., "clean/psnr": value, "score": value}``.

    ``cases`` photographs, dealt out evenly among the real kinds that ``photos`` (people that training does not see)
    has, are restored at each level and as they are (``clean``, compared with themselves); a third as many gray ones
    as ``old`` photographs. Measures: ``gain`` in PSNR over the input, ``identity`` and ``pattern`` (not of profiles),
    ``sharpness``, and ``hatching`` of all; of clean ones ``psnr``.

    ``score`` (higher is better) is the mean over all levels without references of

        gain / 20 + identity / 2 + min(sharpness, 0.65) / 5 - max(0, pattern - 4) / 40 - max(0, hatching - 5) / 40,

    less max(0, 38 - clean PSNR) / 20. So a decibel weighs the same whether it is gained on a bad picture or lost on a
    good one. Identity counts half of what it does in ``quick_scores``: a network alone can learn what recognizers like.
    """
    judges = Judges(recognizer)

    def score_case(case: LoneCase, marks: PrintedMarks | None = None) -> Scores:
        known = know(case.truth, None, judges)
        judged = judge_alone(model, case, known, judges)
        if marks is not None:
            marks.add("none", judged.picture, known.skin)
            marks.add("input", case.low_quality, known.skin)
            marks.add("truth", case.truth, known.skin)
        return judged.none

    chosen = spread_over_kinds(photos, cases)
    gray = spread(photos.of_kinds(Kind.GRAY).photos, max(1, cases // 3))
    scores: dict[str, float] = {}
    levels = [level for level in sorted(LONE_LEVELS) if level != "old" or gray]
    for level in levels:
        of_level: Sequence[Photo] = gray if level == "old" else chosen
        sums: dict[str, list[float]] = {}
        marks = PrintedMarks("input", "truth")
        for photo in follow(of_level, level):
            judged = score_case(degraded_case(photos, photo, level, seed), marks)
            for name in ("gain", "identity", "sharpness", "pattern"):
                if name in judged and not (photo.kind is Kind.PROFILE and name in NOT_OF_PROFILES):
                    sums.setdefault(name, []).append(judged[name])
        scores |= {f"{level}/{name}": round(float(np.mean(v)), 4) for name, v in sums.items()}
        scores[f"{level}/hatching"] = marks.measure()["none"]["hatching"]
    clean = [score_case(clean_case(p.file, p.person, photos.read_sharpest(p.file)))["psnr"] for p in chosen]
    scores["clean/psnr"] = round(float(np.mean(clean)), 4)
    return scores | {"score": round(_score_alone(scores, levels), 4)}


def _score_alone(scores: dict[str, float], levels: Sequence[str]) -> float:
    shares = [
        scores[f"{level}/gain"] / 20
        + scores.get(f"{level}/identity", 0.0) / 2
        + min(scores[f"{level}/sharpness"], SHARP_ENOUGH) / 5
        - max(0.0, scores.get(f"{level}/pattern", 0.0) - PATTERN_ALLOWED) / 40
        - max(0.0, scores[f"{level}/hatching"] - HATCHING_ALLOWED) / 40
        for level in levels
    ]
    return float(np.mean(shares)) - max(0.0, CLEAN_WANTED - scores["clean/psnr"]) / 20
