"""Contact sheets of what is done to photographs, to be laid beside real old and real small ones."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.data.degradation.levels import LONE_LEVELS
from refstar_model.data.degradation.marks import Mark, MarkKind, draw_mark
from refstar_model.data.degradation.opencv import degrade
from refstar_model.data.degradation.recipe import (
    Aging,
    Chain,
    Family,
    Halftone,
    Interpolation,
    Jpeg,
    Recipe,
    draw_family,
)
from refstar_model.data.degradation.table import TABLE, Range, Table
from refstar_model.data.degradation.tone import apply_tone, draw_tone

Pixels = NDArray[np.uint8]
DRAWS = 5
WHOLE, CLOSE = 256, 320  # sides of the cells: the whole picture, and a part of it at 100 %
CLOSE_UP = slice(110, 110 + CLOSE), slice(96, 96 + CLOSE)  # the eyes to the mouth of the template
CAPTION = 20


@dataclass(frozen=True)
class SingleFault:
    """One row of the table and nothing else."""

    name: str
    amounts: Range
    recipe: Callable[[float], Recipe]
    wide: bool = False  # seen on the whole picture only


def draw_sheet(photos: Sequence[Pixels], folder: Path, table: Table = TABLE, seed: int = 0) -> list[Path]:
    """Write families.png, families-close.png and faults.png to ``folder``; returns their paths.

    ``photos`` [512, 512, 3] in RGB are taken in turn, one for each row. A row of the first two shows a photograph and
    five draws of a family, of a test level or of tones; one of the third a single fault at the low, the middle and the
    high end of its range. Close-ups are at 100 %. Raises ValueError without photographs or for one of another size.
    """
    if not photos:
        raise ValueError("a sheet needs at least one photograph")
    for photo in photos:
        if photo.shape != (512, 512, 3):
            raise ValueError(f"a sheet is drawn from photographs of 512 x 512 x 3, not of {photo.shape}")
    rng = np.random.default_rng(seed)
    folder.mkdir(parents=True, exist_ok=True)
    whole, close, faults = [], [], []
    for number, (name, row) in enumerate(_families(table)):
        photo = photos[number % len(photos)]
        pictures = [photo, *(row(photo, rng) for _ in range(DRAWS))]
        captions = [name] + [""] * DRAWS
        whole.append(stack_cells([_shrink(p, WHOLE) for p in pictures], captions))
        close.append(stack_cells([p[CLOSE_UP] for p in pictures], captions))
    for number, fault in enumerate(_single_faults(table, rng)):
        photo = photos[number % len(photos)]
        amounts = [fault.amounts.at(part) for part in (0.0, 0.5, 1.0)]
        pictures = [photo, *(degrade(photo, fault.recipe(amount), rng) for amount in amounts)]
        cells = [_shrink(p, CLOSE) if fault.wide else p[CLOSE_UP] for p in pictures]
        faults.append(stack_cells(cells, [fault.name, *(f"{amount:.3g}" for amount in amounts)]))
    paths = [folder / f"{name}.png" for name in ("families", "families-close", "faults")]
    for path, rows in zip(paths, (whole, close, faults), strict=True):
        if not cv2.imwrite(str(path), np.vstack(rows)[..., ::-1]):
            raise OSError(f"{path} could not be written")
    return paths


def _families(table: Table) -> Iterator[tuple[str, Callable[[Pixels, np.random.Generator], Pixels]]]:
    def ruin(
        draw: Callable[[np.random.Generator], Recipe], photo: Pixels, rng: np.random.Generator
    ) -> Pixels:
        return degrade(photo, draw(rng), rng)

    # Most tones change nothing: shown are those that do.
    tones = replace(table.tone, gray=0.3, toned=0.6, faded=0.4)

    def draw_toned(photo: Pixels, rng: np.random.Generator) -> Pixels:
        return apply_tone(photo, draw_tone(rng, False, tones))

    for family in Family:
        draw = partial(draw_family, family=family, table=table)
        yield family.name.lower().replace("_", " "), partial(ruin, draw)
    for level, draw_level in LONE_LEVELS.items():
        yield f"level {level}", partial(ruin, draw_level)
    yield "tones", draw_toned
    aged = partial(draw_family, family=Family.OLD, table=table)
    yield "old and toned", lambda photo, rng: ruin(aged, draw_toned(photo, rng), rng)


def _single_faults(table: Table, rng: np.random.Generator) -> Iterator[SingleFault]:
    light, present, aged, phone = table.light, table.present, table.old, table.phone

    def chain(family: Family, name: str, amounts: Range, make: Callable[[float], Chain]) -> SingleFault:
        return SingleFault(f"{family.name.lower()}: {name}", amounts, lambda v: Recipe(family, make(v)))

    def aging(name: str, amounts: Range, make: Callable[[float], Aging], wide: bool = False) -> SingleFault:
        return SingleFault(f"old: {name}", amounts, lambda v: Recipe(Family.OLD, Chain(), make(v)), wide)

    def mark(kind: MarkKind, strength: float, chosen: dict[MarkKind, Mark]) -> Mark:
        """The same mark at every strength."""
        if kind not in chosen:
            chosen[kind] = draw_mark(kind, 1.0, rng)
        return replace(chosen[kind], strength=strength)

    marks: dict[MarkKind, Mark] = {}
    for family, blur, down, noise, jpeg in (
        (Family.LIGHT, light.blur, light.down, light.noise, light.jpeg),
        (Family.PRESENT, present.free_blur, present.free_down, present.noise, present.jpeg),
    ):
        yield chain(family, "blur", blur, lambda v: Chain(blur=v))
        yield chain(family, "down", down, lambda v: Chain(down=v))
        yield chain(family, "noise", noise, lambda v: Chain(noise=v))
        yield chain(family, "JPEG", jpeg, lambda v: Chain(jpeg=Jpeg(round(v))))

    yield aging("focus", aged.focus.amount, lambda v: Aging(focus=v))
    yield aging("motion", aged.motion.amount, lambda v: Aging(motion=v, heading=0.4))
    yield aging("grain", aged.grain.amount, lambda v: Aging(grain=v, grain_size=1.0))
    yield aging("size of grain", aged.grain_size, lambda v: Aging(grain=10, grain_size=v))
    yield aging("halftone", aged.halftone.amount, lambda v: Aging(halftone=Halftone(v, 5.5, 0.6)))
    yield aging("period of the screen", aged.halftone_period, lambda v: Aging(halftone=Halftone(0.6, v, 0.6)))
    yield aging("ruled screen", aged.halftone_period, lambda v: Aging(halftone=Halftone(0.6, v, 0.6, True)))
    field, paper = MarkKind.FIELD, (0.8, 0.74, 0.62)
    yield aging("exposure", aged.exposure.amount, lambda v: Aging(exposure=mark(field, v, marks)), True)
    yield aging(
        "fading", aged.fading.amount, lambda v: Aging(fading=mark(field, v, marks), paper=paper), True
    )
    yield aging("texture", aged.texture.amount, lambda v: Aging(texture=mark(MarkKind.TEXTURE, v, marks)))
    yield aging(
        "stains",
        aged.stains.amount,
        lambda v: Aging(stain=mark(MarkKind.STAIN, v, marks), stain_tint=(0.5, 0.75, 1.0)),
        True,
    )
    yield aging(
        "scratches",
        aged.scratches.amount,
        lambda v: Aging(scratches=mark(MarkKind.SCRATCHES, v, marks)),
        True,
    )
    yield aging("dust", aged.dust.amount, lambda v: Aging(dust=mark(MarkKind.DUST, v, marks)), True)
    yield aging("fold", aged.fold.amount, lambda v: Aging(fold=mark(MarkKind.FOLD, v, marks)))
    yield aging("lines", aged.lines.amount, lambda v: Aging(lines=mark(MarkKind.LINES, v, marks)))

    area = Interpolation.AREA
    small = Chain(down=4, shrink=area)
    for grow in (Interpolation.NEAREST, Interpolation.LINEAR, Interpolation.CUBIC):
        upscaled = Chain(shrink=area, grow=grow)
        yield chain(
            Family.PHONE, f"down, up {grow.name.lower()}", phone.down, partial(_shrink_chain, upscaled)
        )
    yield chain(Family.PHONE, "noise", phone.noise.amount, lambda v: replace(small, noise=v))
    yield chain(Family.PHONE, "smear", phone.smear.amount, lambda v: replace(small, noise=8, smear=v))
    yield chain(Family.PHONE, "halo", phone.halo.amount, lambda v: replace(small, halo=v))
    yield chain(Family.PHONE, "JPEG 4:2:0", phone.jpeg, lambda v: replace(small, jpeg=Jpeg(round(v))))
    yield chain(Family.PHONE, "JPEG 4:4:4", phone.jpeg, lambda v: replace(small, jpeg=Jpeg(round(v), True)))
    yield chain(
        Family.PHONE,
        "JPEG of 60 again",
        phone.again.amount,
        lambda v: replace(small, jpeg=Jpeg(60), second_jpeg=Jpeg(round(v), False, (3, 5))),
    )


def _shrink_chain(chain: Chain, down: float) -> Chain:
    return replace(chain, down=down)


def stack_cells(cells: Sequence[Pixels], captions: Sequence[str]) -> Pixels:
    """Cells side by side, each under its caption."""
    captioned = []
    for cell, caption in zip(cells, captions, strict=True):
        head = np.full((CAPTION, cell.shape[1], 3), 255, np.uint8)
        cv2.putText(head, caption, (4, 15), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA)
        captioned.append(np.vstack([head, cell]))
    return np.hstack(captioned)


def _shrink(picture: Pixels, side: int) -> Pixels:
    return np.asarray(cv2.resize(picture, (side, side), interpolation=cv2.INTER_AREA), np.uint8)
