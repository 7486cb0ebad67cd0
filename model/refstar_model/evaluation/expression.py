"""Is it the same mouth and are they the same eyes? A reference's open mouth must not come along."""

import numpy as np

from refstar_model.data.face_parts import EYE_ONE, EYE_TWO
from refstar_model.judges.landmarks import Points, eye_distance

#: Corner, lower lip, corner, upper lip: the inner edges.
INNER_LIPS = (78, 95, 88, 178, 87, 14, 317, 402, 318, 324, 308, 415, 310, 311, 312, 13, 82, 81, 80, 191)
LIP_CORNERS = (78, 308)
LIP_GAPS = ((82, 87), (13, 14), (312, 317))  # upper, lower
LID_GAPS = (((160, 144), (158, 153)), ((385, 380), (387, 373)))
EYE_CORNERS = ((33, 133), (263, 362))
#: From here on a reference's mouth is wider open than the truth's: a smile with teeth against closed lips.
MOUTHS_APART = 0.1


def compare_expression(points: Points, truth: Points) -> dict[str, float]:
    """How far mouth and eyes of a mesh [468, 2] are from the truth's.

    ``lips`` and ``lids``: mean distance of the points of the lips' inner edges and of the lids, as a share of the
    truth's eye distance. ``mouth_openness`` and ``eye_openness``: by how much the gap over the width differs.
    """
    unit = eye_distance(truth)
    apart = np.linalg.norm(points - truth, axis=1) / unit
    return {
        "lips": float(apart[list(INNER_LIPS)].mean()),
        "lids": float(apart[[*EYE_ONE, *EYE_TWO]].mean()),
        "mouth_openness": abs(mouth_openness(points) - mouth_openness(truth)),
        "eye_openness": float(np.abs(eye_openness(points) - eye_openness(truth)).mean()),
    }


def copied_share(openness: float, truth: float, reference: float) -> float | None:
    """How far a mouth went from the truth's openness (0) to that of a reference with a wider open one (1).

    None for any other reference. The other way round the mesh is no witness: blurred teeth look like closed lips to it.
    """
    if reference - truth < MOUTHS_APART:
        return None
    return (openness - truth) / (reference - truth)


def mouth_openness(points: Points) -> float:
    """Gap between the lips over the width of the mouth; 0 when it is closed."""
    return _gap(points, LIP_GAPS) / _gap(points, (LIP_CORNERS,))


def eye_openness(points: Points) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Gap between the lids over the width of the eye, [2]: that on the left of the picture, and the other."""
    return np.array(
        [
            _gap(points, gaps) / _gap(points, (corners,))
            for gaps, corners in zip(LID_GAPS, EYE_CORNERS, strict=True)
        ]
    )


def _gap(points: Points, pairs: tuple[tuple[int, int], ...]) -> float:
    one, two = (points[[pair[i] for pair in pairs]] for i in (0, 1))
    return float(np.linalg.norm(one - two, axis=1).mean())
