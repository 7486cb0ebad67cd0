"""Nothing implausible: a face behind bars, a net, the dots of a print or stripes comes back no worse than it went in.

Clean val photographs behind drawn occluders. All figures are of the face only: ``to_input`` says how much a model
changes at all, ``gain`` whether the face is then nearer to the photograph without the occluder, or farther. Between the
bars the input is the truth; ``between`` is the PSNR of what comes back there.
"""

from typing import Any
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from refstar_model.data.photos import PhotoSet
from refstar_model.evaluation.lone_cases import spread_over_kinds
from refstar_model.evaluation.occluder import OccluderKind, draw_occluder
from refstar_model.evaluation.pattern import face_ellipse
from refstar_model.evaluation.records import mean_scores, worst_tenth
from refstar_model.evaluation.scores import Judges, Scores, embed, face_scores
from refstar_model.evaluation.sheets import Show, WorstRows
from refstar_model.export.restorers import Restorer, fit
from refstar_model.progress import follow

Pixels = NDArray[np.uint8]

ALLOWED = 0.1  # dB: less of a loss is none
_UNTOUCHED = 8  # levels by which an occluder may change what counts as seen between its bars


def judge_occlusion(
    model: Restorer, photos: PhotoSet, judges: Judges, seed: int, count: int, show: Show | None = None
) -> dict[str, Any]:
    """``{kind: {"cases": n, measure: mean, ...}}`` over ``count`` photographs of ``photos`` behind each kind."""
    chosen = spread_over_kinds(photos, count)
    table: dict[str, Any] = {}
    for kind in OccluderKind if chosen else ():
        worst = WorstRows(show, f"occluded-{kind}-alone")
        scores = []
        for photo in follow(chosen, f"behind {kind}"):
            truth = fit(photos.read_sharpest(photo.file))
            occluder = draw_occluder(kind, np.random.default_rng([seed, crc32(photo.file.encode())]))
            given = occluder.draw(truth)
            answer = model(given, [])
            found = _compare(given, answer.picture, truth, judges)
            if not answer.finite:
                found["failures"] = 1.0
            scores.append(found)
            said = f"{photo.file}   PSNR {found['gain']:+.2f}, to the input {found['to_input']:.1f}"
            worst.add(found["gain"], said, [given, answer.picture, truth])
        worst.close()
        gains = [s["gain"] for s in scores]
        table[kind.value] = {
            "cases": len(scores),
            **mean_scores(scores),
            "worst_gain": round(worst_tenth(gains), 4),
        }
    return table


def _compare(given: Pixels, picture: Pixels, truth: Pixels, judges: Judges) -> Scores:
    face = face_ellipse()
    before, after = (_psnr(p, truth, face) for p in (given, picture))
    seen = face & (np.abs(given.astype(int) - truth).max(-1) <= _UNTOUCHED)
    vectors = embed([truth, given, picture], judges.identity)
    scores = {
        "input_psnr": before,
        "psnr": after,
        "gain": after - before,
        "no_worse": float(after - before >= -ALLOWED),
        "to_input": _psnr(picture, given, face),
    }
    if vectors is not None:
        scores |= {
            "input_identity": float(vectors[1] @ vectors[0]),
            "identity": float(vectors[2] @ vectors[0]),
        }
    if seen.any():
        scores["between"] = _psnr(picture, truth, seen)
    return scores | {"failures": face_scores(picture, None, judges)["failures"]}


def _psnr(picture: Pixels, truth: Pixels, where: NDArray[np.bool_]) -> float:
    """In dB over RGB, of the places ``where`` is true; 100 where they are equal."""
    error = float(np.square(picture[where].astype(np.float64) - truth[where]).mean())
    return float(-10 * np.log10(max(error / 255**2, 1e-10)))
