"""One restored picture in numbers."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refstar_model.evaluation.expression import compare_expression, mouth_openness
from refstar_model.evaluation.eye_pair import compare_eyes
from refstar_model.evaluation.pattern import Mask, peak_to_trough, smooth_skin, sum_tiles
from refstar_model.evaluation.perceptual import Inception, PerceptualDistance
from refstar_model.evaluation.second_recognizer import SAME_PERSON, SecondRecognizer, Vector
from refstar_model.export.restorers import fit
from refstar_model.judges import metrics
from refstar_model.judges.landmarks import FaceFinder, FaceMesh, landmark_distance
from refstar_model.judges.recognition import Recognizer
from refstar_model.layers.pyramid import down

Pixels = NDArray[np.uint8]
Scores = dict[str, float]


@dataclass(frozen=True)
class Judges:
    """Who judges. What is None is reported as off."""

    identity: Recognizer | None = None  # one that training has not used
    mesh: FaceMesh | None = None
    finder: FaceFinder | None = None
    perceptual: PerceptualDistance | None = None
    inception: Inception | None = None
    second: SecondRecognizer | None = None  # one that training has no relative of


@dataclass(frozen=True, eq=False)
class Known:
    """What a restored face is compared with, looked at once per case."""

    truth: Pixels  # at the size of the comparison
    truth_vector: Tensor | None  # [1, D]
    reference_vector: Tensor | None  # [1, D]
    truth_points: NDArray[np.float32] | None
    truth_second: Vector | None
    skin: Mask  # where the truth's skin is smooth


def know(truth: Pixels, reference: Pixels | None, judges: Judges) -> Known:
    """``truth`` at the size where it is sharp; ``reference`` is the photograph of the right person, if there is one."""
    vectors = embed([truth] if reference is None else [truth, reference], judges.identity)
    points = judges.mesh.points(truth) if judges.mesh is not None else None
    second = judges.second.embed(truth) if judges.second is not None else None
    return Known(
        truth,
        None if vectors is None else vectors[:1],
        None if vectors is None or reference is None else vectors[1:],
        points,
        second,
        smooth_skin(truth),
    )


def judge(pictures: Sequence[Pixels], known: Known, judges: Judges) -> list[Scores]:
    """Scores of several restored faces [512, 512, 3] of one case.

    Pixel measures are taken at the truth's size; ``psnr_at_256`` and ``sharpness_at_256`` at 256, where all truths can
    be compared with each other. ``second`` is the second recognizer's distance to the truth, ``second_same`` 1 where
    it takes both for one person. ``failures`` is 1 where mesh or YuNet sees no face.
    """
    vectors = embed(pictures, judges.identity)
    seen, wanted = tensor([fit(p, len(known.truth)) for p in pictures]), tensor([known.truth])
    seen_256, wanted_256 = down(tensor(pictures)), tensor([fit(known.truth, 256)])
    inside, outside = metrics.sharpness(seen, wanted)
    measured = {
        "psnr": metrics.psnr(seen, wanted),
        "ssim": metrics.ssim(seen, wanted),
        "sharpness": inside,
        "sharpness_outside": outside,
        "psnr_at_256": metrics.psnr(seen_256, wanted_256),
        "sharpness_at_256": metrics.sharpness(seen_256, wanted_256)[0],
    }
    if vectors is not None and known.truth_vector is not None:
        measured["identity"] = vectors @ known.truth_vector[0]
    if vectors is not None and known.reference_vector is not None:
        measured["identity_to_reference"] = vectors @ known.reference_vector[0]
    scored = []
    for index, picture in enumerate(pictures):
        scores = {name: float(values[index]) for name, values in measured.items()}
        scores |= face_scores(picture, known.truth_points, judges) | skin_scores(picture, known.skin)
        if judges.second is not None and known.truth_second is not None:
            scores["second"] = float(np.linalg.norm(judges.second.embed(picture) - known.truth_second))
            scores["second_same"] = float(scores["second"] < SAME_PERSON)
        if judges.perceptual is not None:
            scores["lpips"] = judges.perceptual(fit(picture, 256), fit(known.truth, 256))
        scored.append(scores)
    return scored


def truth_scores(known: Known) -> Scores:
    """What the truth has of the measures that mean something only beside the truth's own value."""
    scores = skin_scores(known.truth, known.skin)
    if known.truth_points is not None:
        scores |= compare_eyes(known.truth, known.truth_points)
        scores["mouth_open"] = mouth_openness(known.truth_points)
    return scores


def face_scores(picture: Pixels, truth_points: NDArray[np.float32] | None, judges: Judges) -> Scores:
    """Distances of the mesh (where the truth's is known), how far the two eyes differ, and whether a face is found."""
    scores: Scores = {}
    found = judges.finder is None or judges.finder.finds(picture)
    if judges.mesh is not None:
        face = judges.mesh.look(picture)
        found = found and face.presence > 0
        scores |= compare_eyes(picture, face.points) | {"mouth_open": mouth_openness(face.points)}
        if truth_points is not None:
            scores["landmarks"] = landmark_distance(face.points, truth_points)
            scores |= compare_expression(face.points, truth_points)
    return scores | {"failures": float(not found)}


def skin_scores(picture: Pixels, skin: Mask) -> Scores:
    """``pattern``, where there is enough smooth skin."""
    pattern = peak_to_trough(sum_tiles(picture, skin))
    return {} if pattern is None else {"pattern": pattern}


def embed(pictures: Sequence[Pixels], recognizer: Recognizer | None) -> Tensor | None:
    """Unit vectors [N, D] of square pictures, all looked at in 256; None without a recognizer."""
    if recognizer is None:
        return None
    halves = [down(tensor([p])) if len(p) == 512 else tensor([fit(p, 256)]) for p in pictures]
    with torch.no_grad():
        return recognizer.embed(torch.cat(halves))


def tensor(pictures: Sequence[Pixels]) -> Tensor:
    """Pictures [h, w, 3] as [N, 3, h, w] in 0..1."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2).float() / 255
