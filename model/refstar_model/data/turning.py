"""A photograph of a face made into one of a head that is turned a little further, by the depth of its mesh.

The mesh gives 468 points with depth. Spread over the whole picture they are a relief z(x, y): the face as the mesh has
it, beyond its outline as far back as the outline. Turned by R, and with the five points brought back onto the template
by a similarity S, a place p moves by

    u(p) = w(p) (S(R (p, z(p))) - p)

where w falls to nothing at the border of the picture. Hidden surface cannot come to light, so angles are small; where
the picture would fold (det(1 + du/dp) below ``LEAST_AREA``), the angle is made smaller until it does not.

Lengths are in pixels of the picture at 256; pixel centers are whole numbers.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.data.face_parts import OUTLINE
from refstar_model.judges.landmarks import EYES, SIDE, Pixels, Points
from refstar_model.judges.recognition import fit_similarity

Field = NDArray[np.float32]

GRID = 32  # cells of a relief and of a field, SIDE / GRID pixels each
#: Degrees of a turn. Beyond 20 the far cheek is cut off and the head behind it gets corners.
MOST_YAW, MOST_PITCH = 20.0, 8.0
MOST_TURNED = 40.0  # degrees of yaw, that of the photograph with it
LEAST_AREA = 0.35  # what a place may shrink to
_AWAY = 0.75  # share of turns that lead away from the front

_NOSE, _MOUTH = 1, (61, 291)  # tip; corners
_EARS = (234, 454)  # where the mesh ends, left and right in the picture
_BEYOND = 1.45  # so many times as far from the middle as the outline, the head is still there
_SOFTNESS = 7.0  # pixels over which a point's depth is spread
_SMOOTH = 10.0  # pixels, sigma of a blur: the nose as steep as it is would fold from 12 degrees on
_FADE = 64.0  # pixels from the border within which everything comes to rest
_ROUNDS = 24  # of the inversion, whose error falls to 0.7 of itself in each at the worst
_SMALLER = 0.85  # by which an angle shrinks while the picture folds


@dataclass(frozen=True)
class Turn:
    """Degrees. ``yaw`` is positive away from the front, to the side that the face looks to already."""

    yaw: float
    pitch: float  # positive: down


@dataclass(frozen=True, eq=False)
class Relief:
    """How far back each place of a photograph is, with what a turn needs to know of the face."""

    depth: Field  # [GRID, GRID]
    anchors: Field  # [5, 3], the five points of the template as the mesh has them
    yaw: float  # degrees, positive where the face looks to the right of the picture


def draw_turn(rng: np.random.Generator) -> Turn:
    """Away from the front three times as often as towards it."""
    yaw = rng.uniform(0, MOST_YAW) * (1 if rng.random() < _AWAY else -1)
    return Turn(float(yaw), float(rng.uniform(-MOST_PITCH, MOST_PITCH)))


def make_relief(points: Points) -> Relief:
    """Of mesh points [468, 3] (`FaceMesh.look_in_depth`)."""
    eyes = [points[list(eye)].mean(0) for eye in EYES]
    anchors = np.stack([*eyes, points[_NOSE], points[_MOUTH[0]], points[_MOUTH[1]]])
    across = points[_EARS[1]] - points[_EARS[0]]
    outline = points[list(OUTLINE)]
    middle = outline[:, :2].mean(0)
    ring = np.column_stack([middle + _BEYOND * (outline[:, :2] - middle), outline[:, 2]])
    known = np.concatenate([points, ring])
    places = _places().reshape(-1, 2)
    squared = ((places[:, None] - known[None, :, :2]) ** 2).sum(2) + _SOFTNESS**2
    weight = squared**-2
    depth = (weight @ known[:, 2] / weight.sum(1)).reshape(GRID, GRID).astype(np.float32)
    return Relief(
        np.asarray(cv2.GaussianBlur(depth, (0, 0), _SMOOTH * GRID / SIDE), np.float32),
        anchors.astype(np.float32),
        float(np.degrees(np.arctan2(across[2], across[0]))),
    )


def turn_field(relief: Relief, turn: Turn) -> Field:
    """Where each place of the turned picture comes from, as an offset [GRID, GRID, 2] (x, y).

    The turn is as far as asked, unless the face would look further away than ``MOST_TURNED`` or the picture fold.
    """
    side = 1 if relief.yaw >= 0 else -1
    most = max(0.0, MOST_TURNED - abs(relief.yaw))
    yaw, pitch = side * min(turn.yaw, most), turn.pitch
    while True:
        moved = _displacement(relief, yaw, pitch)
        if least_area(moved) >= LEAST_AREA:
            return _invert_field(moved)
        yaw, pitch = yaw * _SMALLER, pitch * _SMALLER


def turn_picture(picture: Pixels, field: Field) -> Pixels:
    """The photograph [s, s, 3] turned by a `turn_field`; bicubic, so that it stays sharp."""
    side = picture.shape[0]
    offset = cv2.resize(field * np.float32(side / SIDE), (side, side), interpolation=cv2.INTER_CUBIC)
    axis = np.arange(side, dtype=np.float32)
    x, y = offset[..., 0] + axis, offset[..., 1] + axis[:, None]
    return np.asarray(cv2.remap(picture, x, y, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101), np.uint8)


def least_area(moved: Field) -> float:
    """What the place that shrinks most is left with, as a share; below 0 the picture folds. ``moved`` [g, g, 2]."""
    cell = SIDE / moved.shape[0]
    (xy, xx), (yy, yx) = (np.gradient(moved[..., k], cell) for k in (0, 1))
    return float(((1 + xx) * (1 + yy) - xy * yx).min())


def _displacement(relief: Relief, yaw: float, pitch: float) -> Field:
    """u(p) of the module's docstring, [GRID, GRID, 2]."""
    rotation = _rotation(yaw, pitch)[:2]
    anchors = relief.anchors
    # Back to where the photograph has them, which is on the template: a turn by nothing moves nothing.
    scale, turned, shift = fit_similarity(anchors @ rotation.T, anchors[:, :2])
    places = _places()
    solid = np.concatenate([places, relief.depth[..., None]], 2)
    moved = solid @ (scale * turned @ rotation).T + shift - places
    return np.asarray(moved * _window()[..., None], np.float32)


def _rotation(yaw: float, pitch: float) -> NDArray[np.float64]:
    """[3, 3]; the nose goes to the right by ``yaw`` and down by ``pitch`` degrees."""
    (c, s), (d, t) = ((np.cos(a), np.sin(a)) for a in np.radians((yaw, pitch)))
    across = np.array([[c, 0, -s], [0, 1, 0], [s, 0, c]])
    along = np.array([[1, 0, 0], [0, d, -t], [0, t, d]])
    return np.asarray(along @ across, np.float64)


def _invert_field(moved: Field) -> Field:
    """The offset v with q + v(q) = p wherever p + u(p) = q, by rounds of v(q) = -u(q + v(q))."""
    cell = SIDE / GRID
    places = _places()
    found = -moved
    for _ in range(_ROUNDS):
        at = ((places + found + 0.5) / cell - 0.5).astype(np.float32)
        found = -cv2.remap(moved, at[..., 0], at[..., 1], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    return np.asarray(found, np.float32)


@cache
def _places() -> Field:
    """Where the centers of the grid's cells lie, [GRID, GRID, 2] (x, y)."""
    axis = (np.arange(GRID, dtype=np.float32) + 0.5) * (SIDE / GRID) - 0.5
    return np.stack(np.meshgrid(axis, axis), -1)


@cache
def _window() -> Field:
    """1 inside, falling smoothly to 0 at the border, [GRID, GRID]."""
    near = np.minimum((np.arange(GRID) + 0.5), GRID - 0.5 - np.arange(GRID)) * (SIDE / GRID) / _FADE
    line = np.clip(near, 0, 1)
    line = line * line * (3 - 2 * line)
    return np.asarray(line[:, None] * line, np.float32)
