"""Color spaces that files tell in numbers instead of a profile: by the codes of ITU-T H.273, or by chromaticities and a
power.

Their pixels are brought to the tone curve of sRGB, which viewers and models expect where nothing else is said. Their
primaries stay, and a profile is made that says so. What is brighter than white (PQ, HLG) is rolled off smoothly.
"""

from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

import numpy as np
import numpy.typing as npt

Signal = npt.NDArray[np.float64]

#: x and y of white, red, green, blue (CIE 1931).
Primaries = tuple[tuple[float, float], tuple[float, float], tuple[float, float], tuple[float, float]]

_D65, _C = (0.3127, 0.3290), (0.310, 0.316)
SRGB: Primaries = (_D65, (0.64, 0.33), (0.30, 0.60), (0.15, 0.06))
#: By the code of H.273, table 2. Others mean sRGB's: its own (1), and those that say nothing (0, 2).
_PRIMARIES: dict[int, Primaries] = {
    4: (_C, (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: (_D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: (_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    7: (_D65, (0.630, 0.340), (0.310, 0.595), (0.155, 0.070)),
    8: (_C, (0.681, 0.319), (0.243, 0.692), (0.145, 0.049)),
    9: (_D65, (0.708, 0.292), (0.170, 0.797), (0.131, 0.046)),
    11: ((0.314, 0.351), (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    12: (_D65, (0.680, 0.320), (0.265, 0.690), (0.150, 0.060)),
    22: (_D65, (0.630, 0.340), (0.295, 0.605), (0.155, 0.077)),
}
_SAME = 0.003  # chromaticities this near are one; PNG writers round them
_ALIKE = 0.15  # powers this near to 2.2 show the same picture as sRGB's curve
_WHITE = 203.0  # cd/m2 of a white page in PQ and HLG (ITU-R BT.2408)
_KNEE = 0.75  # of that white: up to here, and skin lies below, light stays as it is


class Curve(Enum):
    """From signal to light. Those of television are shown as sRGB is, and so are those that nobody names."""

    SRGB = "sRGB"
    POWER = "power"
    PQ = "PQ"  # SMPTE ST 2084
    HLG = "HLG"  # ITU-R BT.2100


_CURVES = {4: (Curve.POWER, 2.2), 5: (Curve.POWER, 2.8), 8: (Curve.POWER, 1.0), 16: (Curve.PQ, 1.0)}
_CURVES |= {17: (Curve.POWER, 2.6), 18: (Curve.HLG, 1.0)}


@dataclass(frozen=True)
class Colorimetry:
    """A color space other than sRGB. ``power`` is that of Curve.POWER; ``narrow``: black is 16 and white 235 of 255."""

    primaries: Primaries
    curve: Curve = Curve.SRGB
    power: float = 1.0
    narrow: bool = False

    @property
    def wide(self) -> bool:
        """Whether the primaries are others than sRGB's."""
        pairs = zip(self.primaries, SRGB, strict=True)
        return any(abs(a - b) > _SAME for one, other in pairs for a, b in zip(one, other, strict=True))

    @property
    def curved(self) -> bool:
        """Whether the pixels have to change to be seen through sRGB's curve."""
        alike = self.curve is Curve.SRGB or (self.curve is Curve.POWER and abs(self.power - 2.2) < _ALIKE)
        return self.narrow or not alike

    def levels(self, count: int) -> npt.NDArray[np.uint8]:
        """[count]: what each of the stored levels 0..count-1 is on sRGB's curve, in 0..255."""
        signal = np.arange(count) / (count - 1)
        if self.narrow:
            signal = np.clip((signal * 255 - 16) / 219, 0, 1)
        if self.curved and not (self.narrow and self.curve is Curve.SRGB):
            signal = _srgb(_LIGHT[self.curve](signal, self.power))
        return np.rint(255 * np.clip(signal, 0, 1)).astype(np.uint8)


def read_numbers(codes: tuple[int, int] | None, *, narrow: bool = False) -> Colorimetry | None:
    """From the codes of the primaries and of the transfer function; None where that is sRGB or nothing is told."""
    if codes is None:
        return None
    primaries, transfer = codes
    curve, power = _CURVES.get(transfer, (Curve.SRGB, 1.0))
    return _other(Colorimetry(_PRIMARIES.get(primaries, SRGB), curve, power, narrow))


def read_measures(power: float | None, primaries: Primaries | None) -> Colorimetry | None:
    """From the power that turns signal into light, and from chromaticities; each may be missing, and is sRGB's then.

    None where that is sRGB, or no color space at all.
    """
    if power is not None and not 0.2 <= power <= 10:
        power = None
    if primaries is not None and not _possible(primaries):
        primaries = None
    curve, power = (Curve.SRGB, 1.0) if power is None else (Curve.POWER, power)
    return _other(Colorimetry(primaries or SRGB, curve, power))


def xyz_of(primaries: Primaries) -> npt.NDArray[np.float64]:
    """[3, 3]: linear RGB to XYZ, with Y of white 1."""
    white, rgb = _columns(primaries[:1])[:, 0], _columns(primaries[1:])
    return np.asarray(rgb * np.linalg.solve(rgb, white))


def _other(found: Colorimetry) -> Colorimetry | None:
    return found if found.wide or found.curved else None


def _possible(primaries: Primaries) -> bool:
    if any(not (0 <= x <= 1 and 0 < y <= 1) for x, y in primaries):
        return False
    (_, red, green, blue) = primaries
    area = (green[0] - red[0]) * (blue[1] - red[1]) - (blue[0] - red[0]) * (green[1] - red[1])
    # White lies between the three where each gives some light to it.
    return abs(area) > 1e-3 and bool((xyz_of(primaries)[1] > 0).all())


def _columns(points: tuple[tuple[float, float], ...]) -> npt.NDArray[np.float64]:
    """[3, n]: X, Y and Z of chromaticities, with Y = 1."""
    return np.array([(x / y, 1.0, (1 - x - y) / y) for x, y in points]).T


def _srgb(light: Signal) -> Signal:
    """IEC 61966-2-1."""
    return np.where(light <= 0.0031308, 12.92 * light, 1.055 * np.maximum(light, 1e-9) ** (1 / 2.4) - 0.055)


def _from_srgb(signal: Signal, power: float) -> Signal:
    return np.where(signal <= 0.04045, signal / 12.92, ((signal + 0.055) / 1.055) ** 2.4)


def _from_power(signal: Signal, power: float) -> Signal:
    return np.asarray(signal**power)


def _from_pq(signal: Signal, power: float) -> Signal:
    """ITU-R BT.2100, table 4."""
    m1, m2, c1, c2, c3 = 0.1593017578125, 78.84375, 0.8359375, 18.8515625, 18.6875
    root = signal ** (1 / m2)
    return _rolled_off(10_000 / _WHITE * (np.maximum(root - c1, 0) / (c2 - c3 * root)) ** (1 / m1))


def _from_hlg(signal: Signal, power: float) -> Signal:
    """ITU-R BT.2100, table 5, on a display of 1000 cd/m2, whose system gamma 1.2 is taken channel by channel."""
    a, b, c = 0.17883277, 0.28466892, 0.55991073
    scene = np.where(signal <= 0.5, signal**2 / 3, (np.exp((signal - c) / a) + b) / 12)
    return _rolled_off(1000 / _WHITE * scene**1.2)


def _rolled_off(light: Signal) -> Signal:
    above = 1 - _KNEE
    return np.where(light <= _KNEE, light, 1 - above * np.exp(-(np.maximum(light, _KNEE) - _KNEE) / above))


_LIGHT: dict[Curve, Callable[[Signal, float], Signal]] = {
    Curve.SRGB: _from_srgb,
    Curve.POWER: _from_power,
    Curve.PQ: _from_pq,
    Curve.HLG: _from_hlg,
}
