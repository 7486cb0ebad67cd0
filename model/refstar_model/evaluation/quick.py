"""A dozen cases in a minute: which of two checkpoints is the better one?"""

import numpy as np

from refstar_model import metrics
from refstar_model.data.degradation import LEVELS
from refstar_model.data.photos import PhotoSet
from refstar_model.evaluation.cases import few_cases
from refstar_model.evaluation.restorers import Restorer, fit
from refstar_model.evaluation.scores import embed, tensor
from refstar_model.recognition import Recognizer


def quick_scores(
    model: Restorer, photos: PhotoSet, recognizer: Recognizer, cases: int = 12
) -> dict[str, float]:
    """Means over ``cases`` cases at each level, as ``{"severe/identity/right": value, ...}``, and one ``score``.

    ``photos`` are people that training does not see; ``recognizer`` one that the losses do not use. Measures: ``psnr``,
    ``identity``, ``sharpness`` (right only), ``mask``; variants: ``input``, ``right``, ``wrong``, ``none``.

    ``score`` (higher is better) is the mean over the levels of identity + PSNR / 20 + sharpness / 5 (up to 0.65) with
    the right reference, less what a wrong person's reference costs in identity against none: two decibels weigh as much
    as a tenth of cosine.
    """
    scores: dict[str, float] = {}
    shares = []
    for level in sorted(LEVELS):
        sums: dict[str, list[float]] = {}
        for case in few_cases(photos, level, cases):
            answers = {
                "right": model(case.low_quality, [case.right]),
                "wrong": model(case.low_quality, [case.wrong]),
                "none": model(case.low_quality, []),
            }
            pictures = {"input": case.low_quality} | {name: a.picture for name, a in answers.items()}
            vectors = embed([case.truth, *pictures.values()], recognizer)
            truth = tensor([case.truth])
            for (name, picture), vector in zip(pictures.items(), vectors[1:], strict=True):
                seen = tensor([fit(picture, len(case.truth))])
                sums.setdefault(f"psnr/{name}", []).append(float(metrics.psnr(seen, truth)))
                sums.setdefault(f"identity/{name}", []).append(float(vector @ vectors[0]))
                if name == "right":
                    sums.setdefault("sharpness/right", []).append(float(metrics.sharpness(seen, truth)[0]))
            for name in ("right", "wrong"):
                mask = float(answers[name].selection.mean()) / 255
                sums.setdefault(f"mask/{name}", []).append(mask)
        of = {name: float(np.mean(values)) for name, values in sums.items()}
        scores |= {f"{level}/{name}": round(value, 4) for name, value in of.items()}
        shares.append(
            of["identity/right"]
            + of["psnr/right"] / 20
            + min(of["sharpness/right"], 0.65) / 5
            - max(0.0, of["identity/none"] - of["identity/wrong"])
        )
    return scores | {"score": round(float(np.mean(shares)), 4)}
