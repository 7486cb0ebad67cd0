"""Something regular before a face, drawn: bars, a net, the dots of a print, the stripes of a blind.

A network that takes such for damage, or for a face, makes confetti of it. What is drawn is given by period, angle and
strength: with the phase t = (x cos a + y sin a) / period along the angle a,

    bars      dark where t mod 1 is below a fifth
    net       the same, a tenth wide, along a and across it
    halftone  dots of 0.5 + 0.25 (cos 2 pi t + cos 2 pi t') above the picture's own lightness, t' across
    stripes   dark by 0.5 + 0.5 cos 2 pi t, softly
"""

from dataclasses import dataclass
from enum import StrEnum

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Map = NDArray[np.float64]

INK = 18.0  # of 255
BAR, THREAD = 0.2, 0.1  # widths, shares of the period


class OccluderKind(StrEnum):
    BARS = "bars"
    NET = "net"
    HALFTONE = "halftone"
    STRIPES = "stripes"


#: Low and high of period (pixels at 512), angle (degrees) and strength, by kind.
RANGES = {
    OccluderKind.BARS: ((20, 48), (-12, 12), (0.9, 1.0)),
    OccluderKind.NET: ((16, 36), (30, 60), (0.7, 1.0)),
    OccluderKind.HALFTONE: ((4, 8), (20, 70), (0.4, 0.8)),
    OccluderKind.STRIPES: ((12, 40), (60, 120), (0.4, 0.8)),
}


@dataclass(frozen=True)
class Occluder:
    kind: OccluderKind
    period: float  # pixels of the picture
    angle: float  # degrees from the x axis, of the way across the bars
    strength: float  # 0..1, how dark it is

    def draw(self, picture: Pixels) -> Pixels:
        """The picture [h, w, 3] behind it."""
        cover = (self.strength * self._cover(picture))[..., None]
        return np.asarray(np.rint(picture * (1 - cover) + INK * cover), np.uint8)

    def _cover(self, picture: Pixels) -> Map:
        """Where it is, 0..1, [h, w]."""
        along, across = self._phases(picture.shape[:2])
        match self.kind:
            case OccluderKind.BARS:
                return self._line(along, BAR)
            case OccluderKind.NET:
                return np.maximum(self._line(along, THREAD), self._line(across, THREAD))
            case OccluderKind.STRIPES:
                return 0.5 + 0.5 * np.cos(2 * np.pi * along)
            case OccluderKind.HALFTONE:
                screen = 0.5 + 0.25 * (np.cos(2 * np.pi * along) + np.cos(2 * np.pi * across))
                light = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY) / 255
                return np.clip((screen - light) * self.period / 2 + 0.5, 0, 1)

    def _phases(self, shape: tuple[int, ...]) -> tuple[Map, Map]:
        y, x = np.mgrid[: shape[0], : shape[1]]
        c, s = np.cos(np.radians(self.angle)), np.sin(np.radians(self.angle))
        return (x * c + y * s) / self.period, (y * c - x * s) / self.period

    def _line(self, phase: Map, width: float) -> Map:
        """1 in lines of ``width`` periods, with edges of one pixel."""
        from_middle = np.abs((phase + 0.5) % 1 - 0.5) * self.period
        return np.clip(width * self.period / 2 + 0.5 - from_middle, 0, 1)


def draw_occluder(kind: OccluderKind, rng: np.random.Generator) -> Occluder:
    """One of its kind within ``RANGES``."""
    return Occluder(kind, *(float(rng.uniform(low, high)) for low, high in RANGES[kind]))
