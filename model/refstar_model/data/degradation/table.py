"""What may happen to a photograph: how often, and how much of it.

Sizes are in pixels of the 512 template unless a row says otherwise, noise and grain in gray levels of 255. A row is a
``Range``, or a ``Fault``: a range and the share of its family's pictures that have it. The ranges of the present chain
lie among those of published blind face restoration, those of the second order are Ada-RefSR's settings of Real-ESRGAN
(arXiv 2107.10833). The other families were set by eye beside real old portraits and real small ones.

Only what can be told from the picture itself is a fault: uneven light, not light; stains, not sepia. An even tone
belongs to the photograph and is kept; ``ToneTable`` says how often input and truth have which.
"""

from dataclasses import dataclass
from enum import Enum, auto

import numpy as np


class Spread(Enum):
    UNIFORM = auto()
    LOG = auto()  # uniform in the logarithm


@dataclass(frozen=True)
class Range:
    """low <= value <= high."""

    low: float
    high: float
    spread: Spread = Spread.UNIFORM

    def draw(self, rng: np.random.Generator) -> float:
        if self.spread is Spread.LOG:
            return float(np.exp(rng.uniform(np.log(self.low), np.log(self.high))))
        return float(rng.uniform(self.low, self.high))

    def draw_whole(self, rng: np.random.Generator) -> int:
        """A whole number, both ends included."""
        return int(rng.integers(round(self.low), round(self.high) + 1))

    def at(self, part: float) -> float:
        """The value below which ``part`` (0..1) of the draws are."""
        if self.spread is Spread.LOG:
            return float(self.low * (self.high / self.low) ** part)
        return self.low + (self.high - self.low) * part


@dataclass(frozen=True)
class Fault:
    share: float
    amount: Range


@dataclass(frozen=True)
class FamilyShares:
    """Of all pictures, in the order of ``recipe.Family``; they need not sum to 1."""

    light: float = 0.22
    present: float = 0.22
    second_order: float = 0.1
    old: float = 0.18
    phone: float = 0.1
    independent: float = 0.18


@dataclass(frozen=True)
class LightTable:
    """Nothing, or next to nothing: what must come back as it went in."""

    unchanged: float = 0.3
    second: float = 0.4  # of those that are changed: by two of the four
    blur: Range = Range(0.3, 1.0)
    down: Range = Range(1.0, 1 / 0.7)
    noise: Range = Range(1, 4)
    jpeg: Range = Range(85, 98)


@dataclass(frozen=True)
class PresentTable:
    """Blur, down, noise, JPEG, up. Half with blur and size correlated as in real small pictures, half free."""

    correlated: float = 0.5
    down: Range = Range(3, 18, Spread.LOG)
    blur_per_down: Range = Range(0.45, 1.05)
    free_down: Range = Range(1.5, 20, Spread.LOG)
    free_blur: Range = Range(0, 12)
    noise: Range = Range(0, 18)
    jpeg: Range = Range(35, 95)


@dataclass(frozen=True)
class EarlierTable:
    """The first of two orders; the second is an ordinary draw, since ours must reach faces of 30 pixels."""

    blur: Range = Range(0.2, 1.5)
    round: float = 0.5  # share of blurs that are the same along x and y
    size: Range = Range(0.3, 1.5)  # the side after it, as a share
    noise: Range = Range(1, 15)
    gray_noise: float = 0.4
    jpeg: Range = Range(60, 95)


@dataclass(frozen=True)
class OldTable:
    """Old photographs and prints, most of them scanned small. Strengths of marks are shares of black or white."""

    focus: Fault = Fault(0.5, Range(0.6, 3.0))  # sigma of a soft lens
    motion: Fault = Fault(0.12, Range(4, 22, Spread.LOG))  # length
    grain: Fault = Fault(0.8, Range(2, 20, Spread.LOG))
    grain_size: Range = Range(0.5, 2.4)  # sigma of its correlation
    colored_grain: float = 0.15
    halftone: Fault = Fault(0.16, Range(0.25, 0.9))  # share of the screened picture in the result
    halftone_period: Range = Range(3.5, 9, Spread.LOG)
    ruled: float = 0.2  # of the screens: lines, not dots
    exposure: Fault = Fault(0.45, Range(0.1, 0.6))  # natural logarithm of the gain at the extremes
    fading: Fault = Fault(0.45, Range(0.15, 0.65))  # share of the picture that is gone at the extreme
    paper: Range = Range(0.55, 0.95)  # lightness of what is left where it faded
    yellow: Range = Range(0, 0.4)  # blue that this lacks
    texture: Fault = Fault(0.45, Range(0.03, 0.22, Spread.LOG))
    stains: Fault = Fault(0.14, Range(0.12, 0.5))
    brown: Range = Range(0.2, 0.7)  # red that a stain lets through more than blue
    scratches: Fault = Fault(0.35, Range(0.25, 1.0))
    dust: Fault = Fault(0.5, Range(0.3, 1.0))
    fold: Fault = Fault(0.1, Range(0.4, 1.0))
    lines: Fault = Fault(0.12, Range(0.1, 0.5))
    dark_marks: float = (
        0.35  # of scratches and dust: dark (they were on the negative when it was printed: light)
    )
    scanned: float = 0.8  # share with a chain after all this; else at most a light JPEG
    down: Range = Range(1.0, 7, Spread.LOG)
    blur_per_down: Range = Range(0.2, 0.8)
    noise: Range = Range(0, 7)
    jpeg: Range = Range(50, 95)


@dataclass(frozen=True)
class PhoneTable:
    """Thumbnails and pictures from phones and screens. Halos and smear in pixels of the small picture."""

    down: Range = Range(1.6, 10, Spread.LOG)
    blur: Fault = Fault(0.3, Range(0.3, 3))
    noise: Fault = Fault(0.6, Range(1, 8))
    smear: Fault = Fault(0.3, Range(12, 50))  # sigma of the bilateral filter in color, gray levels
    halo: Fault = Fault(
        0.65, Range(0.3, 2.0, Spread.LOG)
    )  # share of the finer detail that is added once more
    halo_width: Range = Range(0.6, 1.6)  # sigma
    full_chroma: float = 0.35
    jpeg: Range = Range(40, 93)
    again: Fault = Fault(0.45, Range(50, 95))  # a second JPEG, its grid elsewhere
    nearest: float = 0.15  # of the enlargements
    cubic: float = 0.5


@dataclass(frozen=True)
class IndependentTable:
    """Faults of the chain, each with or without the others: a crisp small picture, noise on a sharp one, a coarse JPEG.

    In the other families a small picture is mostly blurred too, and a noisy one small. A network that saw no others
    took whatever is crisp for whole, and gave real thumbnails back as they were.
    """

    down: Fault = Fault(0.65, Range(1.5, 14, Spread.LOG))
    blur: Fault = Fault(0.25, Range(0.5, 6, Spread.LOG))
    noise: Fault = Fault(0.4, Range(2, 30, Spread.LOG))
    gray_noise: float = 0.4
    halo: Fault = Fault(0.35, Range(0.2, 1.5, Spread.LOG))
    halo_width: Range = Range(0.6, 1.6)
    full_chroma: float = 0.35
    jpeg: Fault = Fault(0.6, Range(10, 95))
    nearest: float = 0.05  # of the enlargements
    cubic: float = 0.7


@dataclass(frozen=True)
class ToneTable:
    """What input and truth alike are given."""

    gray: float = 0.12  # of color photographs
    toned: float = 0.05
    toned_gray: float = 0.3  # of gray photographs: toned
    faded: float = 0.06
    warmth: Range = Range(0.15, 1.0)  # of a toned paper; 1 is deep sepia
    cold: float = 0.15  # of the toned: bluish or greenish
    black: Range = Range(0.05, 0.3)  # of the faded: what black has become
    white: Range = Range(0.75, 0.98)
    saturation: Range = Range(0.35, 0.8)


@dataclass(frozen=True)
class Table:
    shares: FamilyShares = FamilyShares()
    light: LightTable = LightTable()
    present: PresentTable = PresentTable()
    earlier: EarlierTable = EarlierTable()
    old: OldTable = OldTable()
    phone: PhoneTable = PhoneTable()
    independent: IndependentTable = IndependentTable()
    tone: ToneTable = ToneTable()
    gray_scan: float = 0.7  # of the copies of colorless photographs: gray too


TABLE = Table()
#: Only the chain of published blind face restoration and its second order: for nets that tell faces, not mend them.
CHAINS = Table(FamilyShares(light=0, present=0.85, second_order=0.15, old=0, phone=0, independent=0))


#: The test levels. They never change: figures of different versions would not compare.
@dataclass(frozen=True)
class ChainLevel:
    blur: Range
    down: Range
    noise: Range
    jpeg: Range


MODERATE = ChainLevel(Range(2, 5), Range(4, 7), Range(4, 12), Range(65, 90))
SEVERE = ChainLevel(
    Range(8, 11), Range(10, 16), Range(5, 15), Range(40, 80)
)  # the face keeps 32 to 51 pixels


@dataclass(frozen=True)
class OldLevel:
    """An old print scanned small: every fault of the row, in every picture."""

    focus: Range = Range(1.0, 2.2)
    grain: Range = Range(6, 11)
    grain_size: Range = Range(0.8, 1.6)
    exposure: Range = Range(0.15, 0.35)
    fading: Range = Range(0.25, 0.5)
    paper: Range = Range(0.65, 0.9)
    yellow: Range = Range(0.05, 0.3)
    scratches: Range = Range(0.4, 0.8)
    dust: Range = Range(0.4, 0.8)
    blur_per_down: Range = Range(0.3, 0.6)
    side: Range = Range(150, 250)  # of the small picture, pixels
    noise: Range = Range(1, 4)
    jpeg: Range = Range(70, 90)


OLD = OldLevel()


@dataclass(frozen=True)
class SmallLevel:
    """A thumbnail: reduced by the mean over areas, coded, enlarged. Crisp at its own size."""

    down: Range = Range(4, 8)
    jpeg: Range = Range(80, 95)


SMALL = SmallLevel()


@dataclass(frozen=True)
class NoisyLevel:
    """A sharp photograph taken with too little light."""

    noise: Range = Range(10, 25)
    jpeg: Range = Range(60, 90)


NOISY = NoisyLevel()
