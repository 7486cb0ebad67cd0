"""Pseudo references: one photograph made into another one of the same person.

Mirrored, moved, bent, relit, and, as an option, with another expression: smooth warps around eyes, nose and mouth,
placed by the five points of the 512 template. They teach what a real second photograph also asks for: to leave the
reference's smile and gaze alone where the input shows another one.
"""

from dataclasses import dataclass
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.judges.recognition import TEMPLATE_512

Pixels = NDArray[np.uint8]
Field = NDArray[np.float32]

MIRRORED = 0.7  # of the pseudo references
PAIR_LIGHT, PSEUDO_LIGHT = 0.08, 0.2  # how far the light of a reference may differ (`draw_light`)


@dataclass(frozen=True, eq=False)
class Move:
    """Another view of a photograph. Lengths are in pixels at 256."""

    mirrored: bool  # before it is moved
    angle: float  # degrees
    zoom: float
    shift: NDArray[np.float64]  # x, y
    bend: Field  # [5, 5, 2], offsets at the points of a grid

    def affine(self, side: int) -> Field:
        """Where a pixel (x, y, 1) of the view comes from in the (mirrored) photograph of ``side`` pixels; [2, 3]."""
        matrix = cv2.getRotationMatrix2D((side / 2, side / 2), self.angle, self.zoom)
        matrix[:, 2] += self.shift * (side / 256)
        return np.asarray(cv2.invertAffineTransform(matrix), np.float32)


@dataclass(frozen=True, eq=False)
class Light:
    """x -> gain x^gamma + offset, of pictures in 0..1."""

    gain: NDArray[np.float64]  # [3]
    gamma: float
    offset: float


def draw_move(rng: np.random.Generator, mirrored: float = MIRRORED, moved: float = 1.0) -> Move:
    """Mirrored with that probability, and a little of everything else, as much as ``moved`` says (0..1)."""
    flipped = bool(rng.random() < mirrored)
    angle, zoom = moved * rng.uniform(-6, 6), 1 + moved * rng.uniform(-0.06, 0.06)
    shift = moved * rng.uniform(-6, 6, 2)
    bend = moved * rng.normal(0, 2, (5, 5, 2))
    return Move(flipped, angle, zoom, shift, bend.astype(np.float32))


def draw_light(rng: np.random.Generator, amount: float) -> Light:
    """Gain per channel and gamma, each within ``amount``, and an offset of up to 10 of 255."""
    gain = rng.uniform(1 - amount, 1 + amount) * rng.uniform(1 - amount / 3, 1 + amount / 3, 3)
    gamma = rng.uniform(1 - amount, 1 + amount)
    return Light(gain, gamma, rng.uniform(-10, 10) / 255)


@dataclass(frozen=True, eq=False)
class PseudoView:
    """A pseudo reference and how it came about."""

    picture: Pixels  # [s, s, 3]
    mirrored: bool  # before it was moved
    places: Field  # [s, s, 2], where in the (mirrored) photograph each pixel lies; x, y in pixels

    def carry(self, points: Field) -> Field:
        """Where the view shows points of the (mirrored) photograph; [K, 2] (x, y) in picture widths, in and out.

        Solves places(q) = p by eight rounds of q = p - offset(q); good to a tenth of a pixel for such smooth bends.
        """
        side = self.picture.shape[0]
        axis = np.arange(side, dtype=np.float32)
        offset = self.places - np.stack(np.meshgrid(axis, axis), -1)
        wanted = np.asarray(points * side - 0.5, np.float32)
        found = wanted
        for _ in range(8):
            there = cv2.remap(
                offset, found[:, :1], found[:, 1:], cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
            )
            found = wanted - there[:, 0]
        return np.asarray((found + 0.5) / side, np.float32)


def pseudo_reference(picture: Pixels, rng: np.random.Generator, expression: float = 0.0) -> Pixels:
    """The picture of `pseudo_view`."""
    return pseudo_view(picture, rng, expression).picture


def pseudo_view(
    picture: Pixels,
    rng: np.random.Generator,
    expression: float = 0.0,
    mirrored: float = MIRRORED,
    moved: float = 1.0,
) -> PseudoView:
    """The same photograph [s, s, 3] made different: mirror, small affine move, elastic bend, light, sometimes blur.

    ``expression``: probability of another expression and a little turn of the head; ``mirrored`` and ``moved``:
    as for `draw_move`.
    """
    side = picture.shape[0]
    scale = side / 256
    move = draw_move(rng, mirrored, moved)
    out = picture[:, ::-1] if move.mirrored else picture
    flow = cv2.resize(move.bend * np.float32(scale), (side, side), interpolation=cv2.INTER_CUBIC)
    inverse = move.affine(side)
    if expression and rng.random() < expression:
        flow = flow + expression_field(rng, side)
    x, y = _places(side)
    map_x = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2] + flow[..., 0]
    map_y = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2] + flow[..., 1]
    out = cv2.remap(
        np.ascontiguousarray(out), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    out = relight(out, rng, PSEUDO_LIGHT)
    if rng.random() < 0.3:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.3, 1.2) * scale)
    return PseudoView(
        np.asarray(out, np.uint8), move.mirrored, np.stack([map_x, map_y], -1).astype(np.float32)
    )


def mirror_order(mean: Field) -> NDArray[np.intp]:
    """Which point of a mirrored face is which: the nearest in the mirrored mean face [K, 2], in widths; [K]."""
    mirrored = mean * np.array([-1, 1]) + np.array([1, 0])
    return np.asarray(((mirrored[:, None] - mean[None]) ** 2).sum(2).argmin(0), np.intp)


def expression_field(rng: np.random.Generator, side: int) -> Field:
    """Where each pixel of a face with another expression comes from, as an offset [side, side, 2] (x, y) in pixels.

    Sums of Gaussian bumps exp(-|p - c|^2 / 2 s^2) at the five points (offsets below in pixels at 512): eyes opened or
    narrowed by up to 35 % and looking elsewhere, mouth corners raised, lowered or spread by up to 12, lower lip and
    chin dropped by up to 16, nose moved against the rest by up to 10, as when the head turns.
    """
    x, y = (axis * 8 + 3.5 for axis in _places(64))  # the bumps are wide: a grid of 64 is enough
    left_eye, right_eye, nose, left_mouth, right_mouth = TEMPLATE_512
    offset = np.zeros((64, 64, 2), np.float32)

    def bump(center: tuple[float, float], sigma_x: float, sigma_y: float) -> Field:
        return np.exp(-0.5 * (((x - center[0]) / sigma_x) ** 2 + ((y - center[1]) / sigma_y) ** 2)).astype(
            np.float32
        )

    lids, gaze = rng.uniform(-0.35, 0.35), rng.normal(0, 2.5, 2)
    for eye in (left_eye, right_eye):
        weight = bump(eye, 26, 18)
        offset[..., 1] += weight * (lids * (y - eye[1]) + gaze[1])
        offset[..., 0] += weight * gaze[0]
    raised, spread = rng.uniform(-12, 12), rng.uniform(-12, 12)
    for corner, sign in ((left_mouth, -1), (right_mouth, 1)):
        weight = bump(corner, 30, 26)
        offset[..., 1] += weight * raised
        offset[..., 0] += weight * sign * spread
    middle = ((left_mouth[0] + right_mouth[0]) / 2, (left_mouth[1] + right_mouth[1]) / 2)
    offset[..., 1] += bump((middle[0], middle[1] + 34), 48, 30) * rng.uniform(-16, 8)
    turn = rng.normal(0, 4, 2).clip(-10, 10)
    offset += bump(nose, 48, 60)[..., None] * turn.astype(np.float32)
    wide = cv2.resize(offset, (side, side), interpolation=cv2.INTER_CUBIC)
    return np.asarray(wide * (side / 512), np.float32)


def relight(picture: Pixels, rng: np.random.Generator, amount: float) -> Pixels:
    """Gain per channel, gamma and offset, each within ``amount``."""
    light = draw_light(rng, amount)
    table = (np.arange(256)[:, None] / 255) ** light.gamma * light.gain + light.offset
    table = np.clip(255 * table, 0, 255)
    return np.asarray(cv2.LUT(picture, table.astype(np.uint8)[None]), np.uint8)


@cache
def _places(side: int) -> tuple[Field, Field]:
    """x and y of every pixel; [side, side] each."""
    y, x = np.mgrid[:side, :side].astype(np.float32)
    return x, y
