"""Skin tone as an angle: the individual typology angle (ITA) of the cheeks.

ITA = arctan((L* - 50) / b*), in degrees, and its six classes after Del Bino and Bernerd (2013). Measured in a
photograph it holds the light and the exposure too: good for forming groups of pictures, not for saying who somebody is.
"""

from enum import StrEnum

import cv2
import numpy as np

from refstar_model.data.face_parts import CHEEKS
from refstar_model.judges.landmarks import SIDE, Pixels, Points, at_256


class SkinTone(StrEnum):
    """Light to dark; each from its limit in degrees up."""

    VERY_LIGHT = "very light"
    LIGHT = "light"
    INTERMEDIATE = "intermediate"
    TAN = "tan"
    BROWN = "brown"
    DARK = "dark"


LIMITS = {
    SkinTone.VERY_LIGHT: 55.0,
    SkinTone.LIGHT: 41.0,
    SkinTone.INTERMEDIATE: 28.0,
    SkinTone.TAN: 10.0,
    SkinTone.BROWN: -30.0,
}


def measure_ita(picture: Pixels, points: Points) -> float:
    """The angle in degrees of the median color of both cheeks of an aligned sRGB face; ``points`` are its mesh."""
    canvas = np.zeros((SIDE, SIDE), np.uint8)
    for cheek in CHEEKS:
        cv2.fillConvexPoly(canvas, cv2.convexHull(np.rint(points[list(cheek)]).astype(np.int32)), 1)
    # A face at the rim of the picture may leave a polygon empty: then the middle of the picture speaks.
    inside = canvas > 0 if canvas.any() else np.ones_like(canvas, bool)
    color = np.median(at_256(picture)[inside], 0).astype(np.float32) / 255
    lightness, _, yellow = cv2.cvtColor(color.reshape(1, 1, 3), cv2.COLOR_RGB2LAB).ravel()
    return float(np.degrees(np.arctan2(lightness - 50, yellow)))


def classify_tone(ita: float) -> SkinTone:
    return next((tone for tone, limit in LIMITS.items() if ita > limit), SkinTone.DARK)
