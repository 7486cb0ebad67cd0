"""Where a restored face may replace the picture: a soft shape from brow to chin, drawn from the five points.

It keeps to the skin: hair, ears and background stay the picture's own. Near its edge it gives way where something lies
over the face that the restored picture does not know of.
"""

import cv2
import numpy as np
from numpy.typing import ArrayLike, NDArray

from refstar_service.faces.align import TEMPLATE, TEMPLATE_SIZE

Map = NDArray[np.float32]  # [n, n], 0..1

#: Right half of the outline, from the forehead to the chin. Across in distances of the eyes, from the middle between
#: them; down in distances from the eyes to the mouth. Laid over the photographs: inside the hairline and the jaw.
_OUTLINE = (
    (0.0, -0.88), (0.48, -0.80), (0.83, -0.42), (0.95, 0.0), (0.94, 0.40),
    (0.85, 0.85), (0.66, 1.24), (0.34, 1.53), (0.0, 1.61),
)  # fmt: skip

#: All in pixels of the template: softness of the edge (sigma), rim of the crop that stays free, and how far a point
#: may move the shape (a point found wrong must not).
_FEATHER, _RIM, _FREEDOM = 11.0, 20.0, 30.0

#: Gray levels by which input and restored face, both blurred, may differ beyond a change of color before the mask
#: gives way, and at which it has given way. Faces without anything before them stay below the first.
_TOLERATED, _FOREIGN = 20.0, 45.0
#: Depth of the zone inside the edge that gives way, template pixels: wholly, and not at all.
_EDGE, _CORE = 25.0, 70.0


def face_mask(points: ArrayLike, size: int) -> Map:
    """The mask [size, size] of a face with ``points`` [5, 2] in crop coordinates of a ``size`` crop.

    A smooth closed curve (Catmull-Rom) through an outline that follows the eyes and the mouth, and the nose sideways:
    of a turned head the far cheek is narrower. Exactly 0 at the crop's border and wherever the face does not reach.
    """
    zoom = size / TEMPLATE_SIZE
    usual = (TEMPLATE + 0.5) * zoom - 0.5
    placed = usual + np.clip(np.asarray(points, np.float64) - usual, -_FREEDOM * zoom, _FREEDOM * zoom)
    curve = _curve(_outline(placed))
    # 4 fractional bits: the outline moves smoothly with the points.
    shape = np.zeros((size, size), np.uint8)
    cv2.fillPoly(shape, [np.rint(curve * 16).astype(np.int32)], 255, lineType=cv2.LINE_AA, shift=4)
    soft = cv2.GaussianBlur(shape.astype(np.float32) / 255, (0, 0), _FEATHER * zoom)
    # The Gaussian's faint tail is cut off, so that the mask ends.
    soft = np.clip((soft - 0.01) / 0.98, 0, 1)
    axis = np.minimum(np.arange(size), np.arange(size)[::-1]) / (_RIM * zoom)
    ramp = smooth_step(axis.astype(np.float32), 0.2, 1)
    return np.asarray(soft * ramp[:, None] * ramp[None], np.float32)


def foreign(difference: NDArray[np.float32], color: NDArray[np.float32]) -> Map:
    """Where something lies over the face [n, n]: a hand, a microphone, a strand of hair, a cap.

    ``difference`` [n, n, 3]: input minus restored, gray levels; ``color`` [n, n, 3]: the part of it that is a mere
    change of color.
    """
    # As blurred as this, a sharp face and its blurred copy look the same: blur alone makes no foreign thing.
    left = cv2.GaussianBlur(difference - color, (0, 0), 20 * difference.shape[0] / TEMPLATE_SIZE)
    return smooth_step(np.abs(left).max(-1), _TOLERATED, _FOREIGN)


def give_way(mask: Map, things: Map) -> Map:
    """The mask [n, n] without the foreign ``things`` at its edge.

    Only a zone inside the edge gives way: eyes, nose and mouth are the model's to judge.
    """
    pixel = mask.shape[0] / TEMPLATE_SIZE
    depth = cv2.distanceTransform((mask > 0.5).astype(np.uint8), cv2.DIST_L2, 5) / pixel
    zone = 1 - smooth_step(depth, _EDGE, _CORE)
    yielded = cv2.GaussianBlur(things * zone, (0, 0), 6 * pixel)
    return np.asarray(mask * (1 - yielded), np.float32)


def smooth_step(values: NDArray[np.float32], low: float, high: float) -> NDArray[np.float32]:
    """0 up to ``low``, 1 from ``high`` on, with level ends."""
    t = np.clip((values - low) / (high - low), 0, 1)
    return np.asarray(t * t * (3 - 2 * t), np.float32)


def _outline(points: NDArray[np.float64]) -> NDArray[np.float64]:
    """Control points [16, 2] of the face's outline, clockwise from the forehead."""
    eyes, mouth = points[:2].mean(0), points[3:].mean(0)
    down = mouth - eyes
    across = points[1] - points[0]
    # A turned head's eyes stand close together, its face is hardly narrower: the upright distance keeps the width.
    width = max(float(np.hypot(*across)), 0.85 * float(np.hypot(*down)))
    right = across / max(float(np.hypot(*across)), 1e-6)
    turn = float(np.clip((points[2] - (eyes + mouth) / 2) @ right / width, -0.3, 0.3))
    half = np.array(_OUTLINE)
    sides = [
        (half[:, 0] * (1 - 0.8 * turn), half[:, 1]),
        (-half[-2:0:-1, 0] * (1 + 0.5 * turn), half[-2:0:-1, 1]),
    ]
    return np.concatenate([eyes + u[:, None] * width * right + v[:, None] * down for u, v in sides])


def _curve(controls: NDArray[np.float64], steps: int = 8) -> NDArray[np.float64]:
    """Closed Catmull-Rom curve through the control points."""
    before, after, next_after = (np.roll(controls, shift, 0) for shift in (1, -1, -2))
    t = (np.arange(steps) / steps)[None, :, None]
    a, b, c, d = (p[:, None] for p in (before, controls, after, next_after))
    curve = 0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * (b - c) + d - a) * t**3)
    joined: NDArray[np.float64] = curve.reshape(-1, 2)
    return joined
