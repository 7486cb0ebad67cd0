"""Real small portraits, which nobody degraded."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from refstar_model.evaluation.cases import RealCase
from refstar_model.evaluation.pair_level import add_answer
from refstar_model.evaluation.records import Record, means
from refstar_model.evaluation.scores import Judges, Scores, embed, face_scores, tensor
from refstar_model.evaluation.sheets import Show, identity_caption
from refstar_model.export.restorers import Restorer, fit
from refstar_model.judges import metrics
from refstar_model.progress import follow

#: Whose they are: figures of trained people flatter, and only like may stand beside like.
GROUPS = ("val people", "trained people", "trained people without a reference")


def judge_portraits(
    model: Restorer,
    found: Sequence[RealCase],
    judges: Judges,
    references: bool = True,
    show: Show | None = None,
) -> dict[str, Any]:
    """``{group: {variant: {measure: mean}}}``.

    ``identity`` is that to the same photograph in high resolution, where there is one; sharpness is relative to it,
    else (inside the face only: backgrounds differ) to the reference.
    """
    groups: dict[str, list[Record]] = {name: [] for name in GROUPS}
    for case in follow(found, "real portraits"):
        known = [p for p in (case.right, case.same_photo) if p is not None]
        vectors = embed(known, judges.identity)
        answers = {"none": model(case.low_quality, [])}
        if references:
            answers["wrong"] = model(case.low_quality, [case.wrong])
        if references and case.right is not None:
            answers = {"right": model(case.low_quality, [case.right])} | answers
        pictures = {"input": case.low_quality} | {n: a.picture for n, a in answers.items()}
        sharp = fit(known[-1], 256)
        points = (
            judges.mesh.points(sharp) if judges.mesh is not None and case.same_photo is not None else None
        )
        own = embed(list(pictures.values()), judges.identity)
        captioned: dict[str, Scores] = {}
        for index, (name, picture) in enumerate(pictures.items()):
            scores = face_scores(picture, points, judges)
            if vectors is not None and own is not None:
                if case.right is not None:
                    scores["identity_to_reference"] = float(own[index] @ vectors[0])
                if case.same_photo is not None:
                    scores["identity"] = float(own[index] @ vectors[-1])
            seen = tensor([fit(picture, 256)])
            inside, outside = metrics.sharpness(seen, tensor([sharp]))
            scores["sharpness"] = float(inside)
            if case.same_photo is not None:
                scores["sharpness_outside"] = float(outside)
            if name in answers:
                add_answer(scores, answers[name], has_mask=name != "none")
            group = 0 if not case.seen_in_training else 1 if case.right is not None else 2
            groups[GROUPS[group]].append(Record(case.name, case.person, False, name, scores))
            captioned[name] = scores
        if show is not None:
            blank = np.full_like(case.low_quality, 255)
            row = [pictures.get(n, blank) for n in ("input", "right", "wrong", "none")]
            row += [blank if p is None else p for p in (case.right, case.same_photo)]
            show("real", identity_caption(case.name, captioned, ("input", "right", "wrong", "none")), row)
    return {
        group: {"cases": len({r.case for r in rows})} | means(rows) for group, rows in groups.items() if rows
    }
