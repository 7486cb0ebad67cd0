"""What happens to one picture, as plain numbers; neutral where nothing does, so that a batch can go in lock step.

The order is fixed: ``earlier`` (the first of two orders), ``aging`` (lens, grain, screen, light, marks), ``last``
(the chain that brings it to us), ``gray``.
"""

from dataclasses import astuple, dataclass, replace
from enum import Enum, IntEnum, auto

import cv2
import numpy as np

from refstar_model.data.degradation.marks import NO_MARK, Mark, MarkKind, draw_mark
from refstar_model.data.degradation.table import (
    TABLE,
    EarlierTable,
    Fault,
    IndependentTable,
    LightTable,
    OldTable,
    PhoneTable,
    PresentTable,
    Range,
    Table,
)

FULL = 512  # sizes are in pixels of this


class Family(Enum):
    LIGHT = auto()  # nothing or next to nothing
    PRESENT = auto()  # blur, down, noise, JPEG, up
    SECOND_ORDER = auto()  # the same twice
    OLD = auto()
    PHONE = auto()
    INDEPENDENT = auto()  # faults of the chain, each with or without the others


class Interpolation(IntEnum):
    """cv2's numbers."""

    NEAREST = cv2.INTER_NEAREST
    LINEAR = cv2.INTER_LINEAR
    CUBIC = cv2.INTER_CUBIC
    AREA = cv2.INTER_AREA


@dataclass(frozen=True)
class Jpeg:
    quality: int  # 1..100
    full_chroma: bool = False  # 4:4:4, else 4:2:0
    offset: tuple[int, int] = (0, 0)  # by which the grid of 8 begins outside, pixels left and above, 0..7


@dataclass(frozen=True)
class Chain:
    """Blur, down, noise, smear, sharpen, JPEG once or twice, up; sharpening in pixels of the small picture."""

    blur: float = 0.0  # sigma
    stretch: float = 1.0  # sigma along y is that times the one along x
    down: float = 1.0  # the picture shrinks to 512 / down, never grows
    shrink: Interpolation = Interpolation.LINEAR
    noise: float = 0.0  # sigma, gray levels of 255
    gray_noise: bool = False  # the same in all channels
    smear: float = 0.0  # sigma in color of a bilateral filter over 5 pixels, gray levels
    halo: float = 0.0  # share of the finer detail that is added once more
    halo_width: float = 1.0  # sigma that parts the finer detail
    jpeg: Jpeg | None = None
    second_jpeg: Jpeg | None = None
    grow: Interpolation = Interpolation.LINEAR

    def small_side(self, side: int) -> int:
        """Of a picture of ``side`` pixels."""
        return int(np.clip(round(FULL / self.down), 8, side))


@dataclass(frozen=True)
class Halftone:
    amount: float = 0.0  # share of the screened picture in the result
    period: float = 6.0
    angle: float = 0.0  # radians
    ruled: bool = False  # lines, not dots


@dataclass(frozen=True)
class Aging:
    focus: float = 0.0  # sigma of a soft lens
    motion: float = 0.0  # length
    heading: float = 0.0  # of the motion, radians
    grain: float = 0.0  # standard deviation in the mid-tones, gray levels of 255
    grain_size: float = 1.0  # sigma
    colored_grain: bool = False
    halftone: Halftone = Halftone()
    exposure: Mark = NO_MARK  # strength: logarithm of the gain at the extreme
    fading: Mark = NO_MARK  # strength: share that is gone at the extreme
    paper: tuple[float, float, float] = (1.0, 1.0, 1.0)  # what is left where it faded, 0..1
    stain: Mark = NO_MARK
    stain_tint: tuple[float, float, float] = (1.0, 1.0, 1.0)  # how much of the stain each channel sees
    texture: Mark = NO_MARK
    scratches: Mark = NO_MARK
    dust: Mark = NO_MARK
    fold: Mark = NO_MARK
    lines: Mark = NO_MARK

    @property
    def drawn_marks(self) -> tuple[tuple[MarkKind, Mark], ...]:
        """Those without a tint: they are summed before they are put on."""
        return (
            (MarkKind.TEXTURE, self.texture),
            (MarkKind.SCRATCHES, self.scratches),
            (MarkKind.DUST, self.dust),
            (MarkKind.FOLD, self.fold),
            (MarkKind.LINES, self.lines),
        )


@dataclass(frozen=True)
class Recipe:
    family: Family
    last: Chain = Chain()
    aging: Aging | None = None
    earlier: Chain | None = None
    gray: bool = False  # the copy has no color, whatever the noise


def draw_recipe(rng: np.random.Generator, table: Table = TABLE, colorless: bool = False) -> Recipe:
    """What happens to one picture. Copies of a ``colorless`` photograph are gray as often as the table says."""
    shares = table.shares
    weights = np.array(astuple(shares))  # in the order of Family
    recipe = draw_family(rng, list(Family)[int(rng.choice(len(weights), p=weights / weights.sum()))], table)
    return replace(recipe, gray=True) if colorless and rng.random() < table.gray_scan else recipe


def draw_family(rng: np.random.Generator, family: Family, table: Table = TABLE) -> Recipe:
    """What happens to one picture of a ``family``."""
    match family:
        case Family.LIGHT:
            return Recipe(family, _draw_light(rng, table.light))
        case Family.PRESENT:
            return Recipe(family, _draw_present(rng, table.present))
        case Family.SECOND_ORDER:
            return Recipe(
                family, _draw_present(rng, table.present), earlier=_draw_earlier(rng, table.earlier)
            )
        case Family.OLD:
            return _draw_old(rng, table)
        case Family.PHONE:
            return Recipe(family, _draw_phone(rng, table.phone))
        case Family.INDEPENDENT:
            return Recipe(family, _draw_independent(rng, table.independent))


def _draw_light(rng: np.random.Generator, table: LightTable) -> Chain:
    """Unchanged, or one or two slight faults."""
    if rng.random() < table.unchanged:
        return Chain()
    chosen = rng.permutation(4)[: 2 if rng.random() < table.second else 1]
    return Chain(
        blur=table.blur.draw(rng) if 0 in chosen else 0.0,
        down=table.down.draw(rng) if 1 in chosen else 1.0,
        noise=table.noise.draw(rng) if 2 in chosen else 0.0,
        jpeg=Jpeg(table.jpeg.draw_whole(rng)) if 3 in chosen else None,
    )


def _draw_present(rng: np.random.Generator, table: PresentTable) -> Chain:
    if rng.random() < table.correlated:
        down = table.down.draw(rng)
        blur = down * table.blur_per_down.draw(rng)
    else:
        down = table.free_down.draw(rng)
        blur = table.free_blur.draw(rng)
    return Chain(blur=blur, down=down, noise=table.noise.draw(rng), jpeg=Jpeg(table.jpeg.draw_whole(rng)))


def _draw_earlier(rng: np.random.Generator, table: EarlierTable) -> Chain:
    blur = table.blur.draw(rng)
    return Chain(
        blur=blur,
        stretch=1.0 if rng.random() < table.round else table.blur.draw(rng) / blur,
        down=1 / table.size.draw(rng),
        shrink=(Interpolation.AREA, Interpolation.LINEAR, Interpolation.CUBIC)[int(rng.integers(3))],
        noise=table.noise.draw(rng),
        gray_noise=bool(rng.random() < table.gray_noise),
        jpeg=Jpeg(table.jpeg.draw_whole(rng)),
    )


def _draw_old(rng: np.random.Generator, table: Table) -> Recipe:
    """An old photograph or print, mostly scanned small."""
    old = table.old
    halftone = Halftone(
        _amount(rng, old.halftone),
        old.halftone_period.draw(rng),
        float(rng.uniform(0, np.pi / 2)),
        bool(rng.random() < old.ruled),
    )

    def mark(kind: MarkKind, fault: Fault, sign: float = 1.0) -> Mark:
        amount = _amount(rng, fault)
        return draw_mark(kind, sign * amount, rng) if amount else NO_MARK

    sign = -1.0 if rng.random() < old.dark_marks else 1.0
    aging = Aging(
        focus=_amount(rng, old.focus),
        motion=_amount(rng, old.motion),
        heading=float(rng.uniform(0, np.pi)),
        grain=_amount(rng, old.grain),
        grain_size=old.grain_size.draw(rng),
        colored_grain=bool(rng.random() < old.colored_grain),
        halftone=halftone,
        exposure=mark(MarkKind.FIELD, old.exposure),
        fading=mark(MarkKind.FIELD, old.fading),
        paper=draw_paper(rng, old.paper, old.yellow),
        stain=mark(MarkKind.STAIN, old.stains),
        stain_tint=_draw_tint(rng, old.brown),
        texture=mark(MarkKind.TEXTURE, old.texture),
        scratches=mark(MarkKind.SCRATCHES, old.scratches, sign),
        dust=mark(MarkKind.DUST, old.dust, sign),
        fold=mark(MarkKind.FOLD, old.fold),
        lines=mark(MarkKind.LINES, old.lines),
    )
    return Recipe(Family.OLD, _draw_scan(rng, old, table.light), aging)


def _draw_scan(rng: np.random.Generator, old: OldTable, light: LightTable) -> Chain:
    if rng.random() >= old.scanned:
        return Chain(jpeg=Jpeg(light.jpeg.draw_whole(rng)) if rng.random() < 0.5 else None)
    down = old.down.draw(rng)
    return Chain(
        blur=down * old.blur_per_down.draw(rng),
        down=down,
        noise=old.noise.draw(rng),
        jpeg=Jpeg(old.jpeg.draw_whole(rng)),
    )


def _draw_phone(rng: np.random.Generator, table: PhoneTable) -> Chain:
    """A thumbnail, sharpened and coded, perhaps twice."""
    grown = _draw_enlargement(rng, table.nearest, table.cubic)
    full_chroma = bool(rng.random() < table.full_chroma)
    again = _amount(rng, table.again)
    offset = (int(rng.integers(8)), int(rng.integers(8)))
    return Chain(
        blur=_amount(rng, table.blur),
        down=table.down.draw(rng),
        shrink=Interpolation.AREA,
        noise=_amount(rng, table.noise),
        smear=_amount(rng, table.smear),
        halo=_amount(rng, table.halo),
        halo_width=table.halo_width.draw(rng),
        jpeg=Jpeg(table.jpeg.draw_whole(rng), full_chroma),
        second_jpeg=Jpeg(round(again), full_chroma, offset) if again else None,
        grow=grown,
    )


def _draw_independent(rng: np.random.Generator, table: IndependentTable) -> Chain:
    """Any of the faults; none in one picture of thirty."""
    quality = _amount(rng, table.jpeg)
    return Chain(
        blur=_amount(rng, table.blur),
        down=_amount(rng, table.down) or 1.0,
        shrink=(Interpolation.AREA, Interpolation.LINEAR, Interpolation.CUBIC)[int(rng.integers(3))],
        noise=_amount(rng, table.noise),
        gray_noise=bool(rng.random() < table.gray_noise),
        halo=_amount(rng, table.halo),
        halo_width=table.halo_width.draw(rng),
        jpeg=Jpeg(round(quality), bool(rng.random() < table.full_chroma)) if quality else None,
        grow=_draw_enlargement(rng, table.nearest, table.cubic),
    )


def _draw_enlargement(rng: np.random.Generator, nearest: float, cubic: float) -> Interpolation:
    """``nearest`` and ``cubic``: their shares; the others are linear."""
    part = rng.random()
    if part < nearest:
        return Interpolation.NEAREST
    return Interpolation.CUBIC if part < nearest + cubic else Interpolation.LINEAR


def _amount(rng: np.random.Generator, fault: Fault) -> float:
    return fault.amount.draw(rng) if rng.random() < fault.share else 0.0


def draw_paper(rng: np.random.Generator, light: Range, yellow: Range) -> tuple[float, float, float]:
    """What faded or yellowed paper multiplies red, green and blue by."""
    value, lack = light.draw(rng), yellow.draw(rng)
    return value, value * (1 - 0.35 * lack), value * (1 - lack)


def _draw_tint(rng: np.random.Generator, brown: Range) -> tuple[float, float, float]:
    lack = brown.draw(rng)
    return 1 - lack, 1 - 0.5 * lack, 1.0
