"""The test levels: what evaluation does to pictures. They stay as they are, whatever training degrades by."""

import numpy as np

from refstar_model.data.degradation.marks import MarkKind, draw_mark
from refstar_model.data.degradation.recipe import (
    FULL,
    Aging,
    Chain,
    Family,
    Interpolation,
    Jpeg,
    Recipe,
    draw_paper,
)
from refstar_model.data.degradation.table import MODERATE, NOISY, OLD, SEVERE, SMALL, ChainLevel


def moderate(rng: np.random.Generator) -> Recipe:
    """The moderate test level."""
    return _draw_level(rng, MODERATE)


def severe(rng: np.random.Generator) -> Recipe:
    """The severe test level: the face keeps 32 to 51 pixels."""
    return _draw_level(rng, SEVERE)


def _draw_level(rng: np.random.Generator, level: ChainLevel) -> Recipe:
    blur, down, noise = level.blur.draw(rng), level.down.draw(rng), level.noise.draw(rng)
    jpeg = Jpeg(level.jpeg.draw_whole(rng))
    return Recipe(Family.PRESENT, Chain(blur=blur, down=down, noise=noise, jpeg=jpeg))


def old(rng: np.random.Generator) -> Recipe:
    """The old test level: a soft, grainy, unevenly faded print with scratches and dust, scanned small."""
    aging = Aging(
        focus=OLD.focus.draw(rng),
        grain=OLD.grain.draw(rng),
        grain_size=OLD.grain_size.draw(rng),
        exposure=draw_mark(MarkKind.FIELD, OLD.exposure.draw(rng), rng),
        fading=draw_mark(MarkKind.FIELD, OLD.fading.draw(rng), rng),
        paper=draw_paper(rng, OLD.paper, OLD.yellow),
        scratches=draw_mark(MarkKind.SCRATCHES, OLD.scratches.draw(rng), rng),
        dust=draw_mark(MarkKind.DUST, OLD.dust.draw(rng), rng),
    )
    down = FULL / OLD.side.draw(rng)
    blur = down * OLD.blur_per_down.draw(rng)
    jpeg = Jpeg(OLD.jpeg.draw_whole(rng))
    return Recipe(Family.OLD, Chain(blur=blur, down=down, noise=OLD.noise.draw(rng), jpeg=jpeg), aging)


def small(rng: np.random.Generator) -> Recipe:
    """The small test level: a crisp thumbnail of 64 to 128 pixels, enlarged."""
    down, jpeg = SMALL.down.draw(rng), Jpeg(SMALL.jpeg.draw_whole(rng))
    thumbnail = Chain(down=down, shrink=Interpolation.AREA, jpeg=jpeg, grow=Interpolation.CUBIC)
    return Recipe(Family.INDEPENDENT, thumbnail)


def noisy(rng: np.random.Generator) -> Recipe:
    """The noisy test level: a sharp photograph taken with too little light."""
    noise, jpeg = NOISY.noise.draw(rng), Jpeg(NOISY.jpeg.draw_whole(rng))
    return Recipe(Family.INDEPENDENT, Chain(noise=noise, jpeg=jpeg))


LEVELS = {"moderate": moderate, "severe": severe}
#: Of photographs without references.
LONE_LEVELS = {**LEVELS, "old": old, "small": small, "noisy": noisy}
