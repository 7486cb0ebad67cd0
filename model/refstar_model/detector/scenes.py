"""Scenes: faces of known photographs on face-free pictures, at known places, made bad.

A scene is what the detector learns from and what it is judged on; its labels are those of the clean photographs
(``labels.py``), moved with the faces.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.detector.labels import MIRRORED, SIDE

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class Actor:
    """An aligned photograph [256, 256, 3] and its label, in its pixels."""

    picture: Pixels
    points: NDArray[np.float32]  # [5, 2]
    box: NDArray[np.float32]  # x, y, width, height

    @property
    def size(self) -> float:
        return float(np.sqrt(self.box[2] * self.box[3]))


@dataclass(frozen=True, eq=False)
class PlacedFace:
    """A face in a scene: ``points`` [5, 2] and ``box`` (x, y, width, height) in the scene's pixels."""

    points: NDArray[np.float32]
    box: NDArray[np.float32]

    @property
    def size(self) -> float:
        return float(np.sqrt(self.box[2] * self.box[3]))

    @property
    def iod(self) -> float:
        return float(np.linalg.norm(self.points[1] - self.points[0]))

    def move(self, matrix: NDArray[np.float64]) -> "PlacedFace":
        """The same face after an affine map [2, 3] that scales x and y alike (turns keep the box's size)."""
        scale = np.sqrt(abs(np.linalg.det(matrix[:, :2])))
        center = matrix[:, :2] @ (self.box[:2] + self.box[2:] / 2) + matrix[:, 2]
        size = self.box[2:] * scale
        return PlacedFace(
            (self.points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32),
            np.concatenate([center - size / 2, size]).astype(np.float32),
        )


def vary_actor(actor: Actor, rng: np.random.Generator) -> Actor:
    """The face mirrored, narrowed on one side as when the head turns, in other light and color, or covered."""
    picture, points, box = actor.picture, actor.points, actor.box
    if rng.random() < 0.5:
        picture = picture[:, ::-1]
        points = np.stack([SIDE - 1 - points[:, 0], points[:, 1]], -1)[list(MIRRORED)]
        box = np.array([SIDE - box[0] - box[2], *box[1:]], np.float32)
    if rng.random() < 0.5:
        picture, points, box = _turn_head(picture, points, box, rng)
    picture = np.ascontiguousarray(picture)
    if rng.random() < 0.2:
        picture = _draw_beard(picture, points, rng)
    picture = _relight(picture, rng)
    if rng.random() < 0.25:
        _cover(picture, points, rng)
    return Actor(picture, points.astype(np.float32), box.astype(np.float32))


def place(
    scene: Pixels,
    actor: Actor,
    center: tuple[float, float],
    size: float,
    angle: float,
    rng: np.random.Generator,
) -> PlacedFace:
    """Paint ``actor`` into ``scene`` in place: box center, side of the box and rotation (degrees) are given.

    The photograph's edge is soft, or an oval around the head, or as it is, so that no kind of edge means a face.
    """
    height, width = scene.shape[:2]
    scale = size / actor.size
    source, shrunk = actor.picture, 1.0
    while scale / shrunk < 0.5:  # bilinear sampling takes every pixel into account down to one half
        source = cv2.resize(source, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA)
        shrunk *= 0.5
    middle = actor.box[:2] + actor.box[2:] / 2
    turn, radians = scale / shrunk, np.deg2rad(angle)
    linear = turn * np.array([[np.cos(radians), np.sin(radians)], [-np.sin(radians), np.cos(radians)]])
    # In the shrunk source, pixel centers move by (shrunk - 1) / 2.
    offset = np.array(center) - linear @ ((middle + 0.5) * shrunk - 0.5)
    matrix = np.column_stack([linear, offset])
    reach = size * rng.choice([0.9, 1.1, 1.4, 2.0], p=[0.25, 0.25, 0.25, 0.25])
    left, top = max(0, int(center[0] - reach)), max(0, int(center[1] - reach))
    right, bottom = min(width, int(center[0] + reach) + 1), min(height, int(center[1] + reach) + 1)
    if right > left and bottom > top:
        local = matrix.copy()
        local[:, 2] -= (left, top)
        area = (right - left, bottom - top)
        border = cv2.BORDER_REFLECT_101 if rng.random() < 0.5 else cv2.BORDER_REPLICATE
        face = cv2.warpAffine(source, local, area, flags=cv2.INTER_LINEAR, borderMode=border)
        cover = cv2.warpAffine(
            _opacity(source.shape[0], actor, shrunk, rng), local, area, flags=cv2.INTER_LINEAR
        )
        part = scene[top:bottom, left:right]
        part[:] = np.rint(part + (face.astype(np.float32) - part) * cover[..., None]).astype(np.uint8)
    whole = np.column_stack([linear * shrunk, offset + linear @ np.full(2, (shrunk - 1) / 2)])
    return _rotate_box(PlacedFace(actor.points, actor.box).move(whole), actor, scale, radians)


def _rotate_box(face: PlacedFace, actor: Actor, scale: float, radians: float) -> PlacedFace:
    """The box of an oval that turned: the bounding box of the turned ellipse."""
    half_w, half_h = actor.box[2:] * scale / 2
    sine, cosine = np.sin(radians), np.cos(radians)
    half = np.array([np.hypot(half_w * cosine, half_h * sine), np.hypot(half_w * sine, half_h * cosine)])
    center = face.box[:2] + face.box[2:] / 2
    return PlacedFace(face.points, np.concatenate([center - half, 2 * half]).astype(np.float32))


def _opacity(side: int, actor: Actor, shrunk: float, rng: np.random.Generator) -> NDArray[np.float32]:
    """How much of the photograph is seen, [side, side], 0..1."""
    kind = rng.random()
    if kind < 0.35:
        return np.ones((side, side), np.float32)
    out = np.zeros((side, side), np.float32)
    if kind < 0.6:
        margin = max(1, int(side * rng.uniform(0.01, 0.06)))
        out[margin : side - margin, margin : side - margin] = 1
        return np.asarray(cv2.GaussianBlur(out, (0, 0), max(0.5, margin / 2)), np.float32)
    middle = (actor.box[:2] + actor.box[2:] / 2) * shrunk
    axes = actor.box[2:] / 2 * shrunk * rng.uniform(1.0, 1.5, 2)
    middle[1] -= axes[1] * 0.08
    cv2.ellipse(out, tuple(map(int, middle)), tuple(map(int, axes + 1)), 0, 0, 360, 1.0, -1, cv2.LINE_AA)
    return np.asarray(cv2.GaussianBlur(out, (0, 0), max(0.5, side * rng.uniform(0.004, 0.03))), np.float32)


def _turn_head(
    picture: Pixels, points: NDArray[np.float32], box: NDArray[np.float32], rng: np.random.Generator
) -> tuple[Pixels, NDArray[np.float32], NDArray[np.float32]]:
    """As if the head turned a little: one side narrower, the whole narrower; x' = x + bend x (1 - x^2)."""
    bend, narrow = rng.uniform(-0.45, 0.45), rng.uniform(0.75, 1.1)
    axis = np.linspace(-1, 1, SIDE, dtype=np.float32)
    forward = (axis + bend * axis * (1 - axis**2) * np.sign(axis)) * narrow  # where a column goes
    forward = np.maximum.accumulate(forward)
    back = np.interp(axis, forward, axis).astype(np.float32)  # where a column comes from
    columns = (back + 1) / 2 * (SIDE - 1)
    map_x = np.repeat(columns[None], SIDE, 0).astype(np.float32)
    map_y = np.repeat(np.arange(SIDE, dtype=np.float32)[:, None], SIDE, 1)
    out = cv2.remap(picture, map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101)

    def move(x: NDArray[np.float32]) -> NDArray[np.float32]:
        unit = x / (SIDE - 1) * 2 - 1
        return np.asarray((np.interp(unit, axis, forward) + 1) / 2 * (SIDE - 1), np.float32)

    edges = move(np.array([box[0], box[0] + box[2]], np.float32))
    return (
        np.asarray(out, np.uint8),
        np.stack([move(points[:, 0]), points[:, 1]], -1),
        np.array([edges[0], box[1], edges[1] - edges[0], box[3]], np.float32),
    )


def _draw_beard(picture: Pixels, points: NDArray[np.float32], rng: np.random.Generator) -> Pixels:
    """A beard or a moustache, as old portraits have them and our photographs hardly: streaks over mouth and chin."""
    iod = float(np.linalg.norm(points[1] - points[0]))
    mouth, nose = points[3:].mean(0), points[2]
    cover = np.zeros((SIDE, SIDE), np.float32)
    lip = nose + (mouth - nose) * rng.uniform(0.5, 0.8)
    half = (int(iod * rng.uniform(0.35, 0.6)), int(iod * rng.uniform(0.1, 0.25)))
    cv2.ellipse(cover, (int(lip[0]), int(lip[1])), half, 0, 0, 360, 1.0, -1, cv2.LINE_AA)
    if rng.random() < 0.65:
        low = mouth + np.array([0, iod * rng.uniform(0.4, 0.9)])
        half = (int(iod * rng.uniform(0.5, 1.0)), int(iod * rng.uniform(0.5, 1.1)))
        cv2.ellipse(cover, (int(low[0]), int(low[1])), half, 0, 0, 360, 1.0, -1, cv2.LINE_AA)
        if rng.random() < 0.5:  # the mouth is seen
            gap = (int(iod * rng.uniform(0.2, 0.4)), max(1, int(iod * rng.uniform(0.03, 0.12))))
            cv2.ellipse(cover, (int(mouth[0]), int(mouth[1])), gap, 0, 0, 360, 0.0, -1, cv2.LINE_AA)
    cover = cv2.GaussianBlur(cover, (0, 0), iod * rng.uniform(0.02, 0.08))
    streaks = rng.normal(0, 1, (SIDE // 4, SIDE)).astype(np.float32)
    streaks = cv2.GaussianBlur(cv2.resize(streaks, (SIDE, SIDE)), (0, 0), rng.uniform(0.5, 2))
    shade = rng.uniform(15, 235) + rng.uniform(20, 60) * streaks
    tint = np.array([1.0, rng.uniform(0.85, 1.0), rng.uniform(0.7, 1.0)], np.float32)
    hair = np.clip(shade[..., None] * tint, 0, 255)
    share = (cover * np.float32(rng.uniform(0.75, 1.0)))[..., None]
    return np.asarray(picture + (hair - picture) * share, np.uint8)


def _relight(picture: Pixels, rng: np.random.Generator) -> Pixels:
    out = picture.astype(np.float32)
    if rng.random() < 0.3:  # light from one side
        ramp = np.linspace(-1, 1, SIDE, dtype=np.float32) * np.float32(rng.uniform(-0.5, 0.5))
        out *= 1 + (ramp[None, :, None] if rng.random() < 0.7 else ramp[:, None, None])
    gain = rng.uniform(0.5, 1.3) * (rng.uniform(0.8, 1.2, 3) if rng.random() < 0.5 else np.ones(3))
    curved = 255 * np.clip(out / 255, 0, 1) ** rng.uniform(0.6, 1.6) * gain
    contrast = rng.uniform(0.5, 1.1)
    flat = np.clip(curved.mean() * (1 - contrast) + curved * contrast + rng.uniform(-20, 20), 0, 255)
    if rng.random() < 0.2:
        flat = np.repeat(flat.mean(-1, keepdims=True), 3, -1)
    return np.asarray(flat, np.uint8)


def _cover(picture: Pixels, points: NDArray[np.float32], rng: np.random.Generator) -> None:
    """Sunglasses, a mask, a hand-like blob or a hat brim over the face, in place."""
    iod = float(np.linalg.norm(points[1] - points[0]))
    color = tuple(int(v) for v in rng.uniform(0, 90, 3))
    kind = rng.random()
    if kind < 0.45:
        for eye in points[:2]:
            axes = (int(iod * rng.uniform(0.3, 0.45)), int(iod * rng.uniform(0.22, 0.35)))
            cv2.ellipse(picture, tuple(map(int, eye)), axes, 0, 0, 360, color, -1, cv2.LINE_AA)
        cv2.line(
            picture, tuple(map(int, points[0])), tuple(map(int, points[1])), color, max(1, int(iod / 12))
        )
    elif kind < 0.6:
        bright = tuple(int(v) for v in rng.uniform(60, 255, 3))
        low, high = points[3:, 1].mean() + 0.6 * iod, points[2, 1] + rng.uniform(-0.1, 0.2) * iod
        left, right = points[0, 0] - 0.4 * iod, points[1, 0] + 0.4 * iod
        cv2.rectangle(picture, (int(left), int(high)), (int(right), int(low)), bright, -1)
    elif kind < 0.8:
        at = points[int(rng.integers(5))] + rng.normal(0, 0.5 * iod, 2)
        axes = (int(iod * rng.uniform(0.15, 0.5)), int(iod * rng.uniform(0.3, 1.2)))
        skin = tuple(int(v) for v in picture[SIDE // 2, SIDE // 2])
        cv2.ellipse(picture, tuple(map(int, at)), axes, rng.uniform(0, 180), 0, 360, skin, -1, cv2.LINE_AA)
    else:
        brow = int(points[:2, 1].mean() - rng.uniform(0.3, 0.8) * iod)
        cv2.rectangle(
            picture, (0, 0), (SIDE, max(1, brow)), tuple(int(v) for v in rng.uniform(0, 255, 3)), -1
        )


def spoil(picture: Pixels, rng: np.random.Generator, detail: float) -> Pixels:
    """Blur, shrink, noise, JPEG, enlarge; ``detail``: least size in pixels that an important thing in it has.

    The blur stays below 0.09 of ``detail`` and the picture shrinks at most so far that the thing keeps 10 pixels.
    """
    out = picture
    height, width = out.shape[:2]
    if rng.random() < 0.7:
        sigma = rng.uniform(0, 0.065) * detail
        if sigma > 0.25:
            out = cv2.GaussianBlur(out, (0, 0), sigma)
    if rng.random() < 0.5 and detail > 12:
        scale = max(10 / detail, rng.uniform(0.2, 1.0))
        small = (max(8, round(width * scale)), max(8, round(height * scale)))
        out = cv2.resize(out, small, interpolation=cv2.INTER_AREA if rng.random() < 0.5 else cv2.INTER_LINEAR)
    if rng.random() < 0.6:
        noise = rng.standard_normal(out.shape if rng.random() < 0.7 else (*out.shape[:2], 1), np.float32)
        out = np.clip(out + noise * rng.uniform(0, 16), 0, 255).astype(np.uint8)
    if rng.random() < 0.6:
        quality = int(rng.integers(30, 96))
        coded = cv2.imencode(".jpg", out, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        out = np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)
    if out.shape[:2] != (height, width):
        out = cv2.resize(out, (width, height), interpolation=cv2.INTER_LINEAR)
    if rng.random() < 0.12:
        out = np.repeat(out.mean(-1, keepdims=True), 3, -1).astype(np.uint8)
        if rng.random() < 0.4:  # sepia
            out = np.clip(out * np.array([1.0, 0.87, 0.68]), 0, 255).astype(np.uint8)
    return np.ascontiguousarray(out, np.uint8)
