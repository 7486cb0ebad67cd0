"""A bank of marks that age leaves on a photograph, made once per process, so that every executor uses the same ones.

A mark is a signed map: +1 all light, -1 all dark, 0 nothing. A recipe names it by kind and number, turns it by one of
eight turns, rolls it where that leaves no seam, and says how strong it is.
"""

from dataclasses import dataclass
from enum import IntEnum
from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.data.degradation.mark_drawing import (
    FULL,
    draw_dust,
    draw_field,
    draw_fold,
    draw_lines,
    draw_scratches,
    draw_stain,
    draw_texture,
)

Overlay = NDArray[np.uint8]
Signed = NDArray[np.float32]

PER_KIND = 24
HALF = FULL // 2
TURNS = 8
MIRRORED, UPSIDE_DOWN, TRANSPOSED = 1, 2, 4  # the bits of a turn, done from the last to the first


class MarkKind(IntEnum):
    FIELD = 0  # smooth, of mean 0: uneven light and fading
    TEXTURE = 1  # of paper and canvas
    STAIN = 2  # dark
    SCRATCHES = 3  # light
    DUST = 4  # light
    FOLD = 5
    LINES = 6  # of a scanner

    @property
    def rolls(self) -> bool:
        """Whether no seam shows where the map is rolled over the edge."""
        return self in (MarkKind.SCRATCHES, MarkKind.DUST, MarkKind.LINES)


@dataclass(frozen=True)
class Mark:
    """One mark of a known kind. A negative ``strength`` makes dark what is light; 0 is none."""

    strength: float = 0.0
    index: int = 0  # 0 .. PER_KIND - 1
    turn: int = 0  # 0 .. 7
    shift: tuple[int, int] = (0, 0)  # rolled right and down before it is turned, pixels at 512


NO_MARK = Mark()


def draw_mark(kind: MarkKind, strength: float, rng: np.random.Generator) -> Mark:
    index, turn = int(rng.integers(PER_KIND)), int(rng.integers(TURNS))
    shift = (int(rng.integers(FULL)), int(rng.integers(FULL))) if kind.rolls else (0, 0)
    return Mark(strength, index, turn, shift)


class MarkBank:
    """``overlays`` uint8 [kinds, PER_KIND, 512, 512] with 128 for nothing, ``halves`` the same at 256."""

    def __init__(self, seed: int = 0) -> None:
        rng = np.random.default_rng(seed)
        drawn = [
            [draw(rng, number) for number in range(PER_KIND)]
            for draw in (
                draw_field,
                draw_texture,
                draw_stain,
                draw_scratches,
                draw_dust,
                draw_fold,
                draw_lines,
            )
        ]
        self.overlays = np.stack([np.stack(kind) for kind in drawn])
        self.halves = np.stack([np.stack([_halve(one) for one in kind]) for kind in drawn])

    def at(self, side: int) -> Overlay:
        """All maps at 512 or 256. Raises ValueError for another side."""
        if side == FULL:
            return self.overlays
        if side == HALF:
            return self.halves
        raise ValueError(f"marks are drawn for faces of {HALF} or {FULL} pixels, not of {side}")

    def place(self, kind: MarkKind, mark: Mark, side: int) -> Signed:
        """The mark as a map [side, side] in -1..1, ``strength`` applied."""
        placed = self.at(side)[kind, mark.index]
        if mark.shift != (0, 0):
            right, down = (offset * side // FULL for offset in mark.shift)
            placed = np.roll(placed, (down, right), (0, 1))
        if mark.turn & TRANSPOSED:
            placed = placed.T
        if mark.turn & UPSIDE_DOWN:
            placed = placed[::-1]
        if mark.turn & MIRRORED:
            placed = placed[:, ::-1]
        return center_overlay(placed) * np.float32(mark.strength)


def center_overlay(overlay: Overlay) -> Signed:
    return np.asarray((overlay.astype(np.float32) - np.float32(128)) * np.float32(1 / 127), np.float32)


@cache
def mark_bank() -> MarkBank:
    """The process's bank."""
    return MarkBank()


def _halve(overlay: Overlay) -> Overlay:
    return np.asarray(cv2.resize(overlay, (HALF, HALF), interpolation=cv2.INTER_AREA), np.uint8)
