"""The tone of a whole photograph: gray, toned paper, faded. Input and truth alike have it: an archive keeps it."""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.data.degradation.table import TABLE, ToneTable

Pixels = NDArray[np.uint8]
Color = tuple[float, float, float]

#: Deep sepia and the coldest of toned papers (selenium and cyanotype lie between it and gray): what black and white
#: became, and the exponent of the curve between them.
SEPIA = np.array([[0.17, 0.09, 0.04], [0.96, 0.87, 0.68], [0.80, 0.98, 1.22]])
COLD = np.array([[0.07, 0.09, 0.15], [0.90, 0.94, 0.93], [1.15, 1.00, 0.88]])
STRAIGHT = np.array([[0.0] * 3, [1.0] * 3, [1.0] * 3])


@dataclass(frozen=True)
class Tone:
    """x -> black + (white - black) (y + saturation (x - y))^curve per channel; y the luminance (ITU-R BT.601)."""

    saturation: float = 1.0
    black: Color = (0.0, 0.0, 0.0)
    white: Color = (1.0, 1.0, 1.0)
    curve: Color = (1.0, 1.0, 1.0)
    colorless: bool = False  # the result is gray: only its luminance can be asked for

    @property
    def neutral(self) -> bool:
        """Whether nothing changes."""
        straight = tuple(_color(row) for row in STRAIGHT)
        return self.saturation == 1 and (self.black, self.white, self.curve) == straight


def draw_tone(rng: np.random.Generator, gray: bool, table: ToneTable = TABLE.tone) -> Tone:
    """A tone for a photograph that is ``gray`` already, or in color."""
    kind = rng.random()
    toned = kind < (table.toned_gray if gray else table.toned)
    saturation = 0.0 if gray or kind < table.toned + table.gray else 1.0
    black, white, curve = STRAIGHT
    if toned:
        deep = COLD if rng.random() < table.cold else SEPIA
        black, white, curve = STRAIGHT + (deep - STRAIGHT) * table.warmth.draw(rng)
    if rng.random() < table.faded:
        low, high = table.black.draw(rng), table.white.draw(rng)
        black, white = low + (high - low) * black, low + (high - low) * white
        saturation *= table.saturation.draw(rng)
    colorless = saturation == 0 and not toned
    return Tone(saturation, _color(black), _color(white), _color(curve), colorless)


def apply_tone(picture: Pixels, tone: Tone) -> Pixels:
    """The picture [h, w, 3] in that tone."""
    if tone.neutral:
        return picture
    out = picture
    if tone.saturation != 1:
        gray = cv2.cvtColor(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
        out = cv2.addWeighted(picture, tone.saturation, gray, 1 - tone.saturation, 0)
    light = np.arange(256)[:, None] / 255
    black, white, curve = (np.array(row) for row in (tone.black, tone.white, tone.curve))
    table = np.rint(255 * (black + (white - black) * light**curve)).clip(0, 255).astype(np.uint8)
    return np.asarray(cv2.LUT(out, table[None]), np.uint8)


def _color(row: NDArray[np.float64]) -> Color:
    red, green, blue = row.tolist()
    return red, green, blue
