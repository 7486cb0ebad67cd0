"""A recipe carried out with OpenCV, on one picture."""

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.data.degradation import formulas
from refstar_model.data.degradation.marks import Mark, MarkBank, MarkKind, mark_bank
from refstar_model.data.degradation.recipe import FULL, Aging, Chain, Jpeg, Recipe

Pixels = NDArray[np.uint8]
Float = NDArray[np.float32]
WHITE = np.float32(255)


def degrade(
    picture: Pixels,
    recipe: Recipe,
    rng: np.random.Generator,
    size: int = FULL,
    quick: bool = False,
    bank: MarkBank | None = None,
) -> Pixels:
    """A degraded copy of an aligned face [h, h, 3], brought to ``size``.

    ``quick`` blurs widely on a smaller copy: up to a level or two of another result, in a third of the time. For
    training; the test levels stay as they are. ``bank``: the process's own unless given. Marks are there for faces of
    256 and 512 pixels; ValueError for another size, if the recipe has any.
    """
    out = picture
    if recipe.earlier is not None:
        out = _pass_through(out, recipe.earlier, rng, picture.shape[0], quick)
    if recipe.aging is not None:
        out = _age(out, recipe.aging, rng, bank or mark_bank())
    out = _pass_through(out, recipe.last, rng, size, quick)
    if recipe.gray:
        out = np.asarray(cv2.cvtColor(cv2.cvtColor(out, cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB), np.uint8)
    return out


def _pass_through(picture: Pixels, chain: Chain, rng: np.random.Generator, size: int, quick: bool) -> Pixels:
    side = picture.shape[0]
    small = chain.small_side(side)
    out = _blur(picture, chain, quick)
    out = np.asarray(cv2.resize(out, (small, small), interpolation=chain.shrink), np.uint8)
    if chain.noise:
        shape = (small, small, 1 if chain.gray_noise else 3)
        out = _round(out.astype(np.float32) + rng.standard_normal(shape, dtype=np.float32) * chain.noise)
    if chain.smear:
        out = cv2.bilateralFilter(out, 2 * formulas.SMEAR_REACH + 1, chain.smear, formulas.SMEAR_SIGMA)
    if chain.halo:
        smooth = cv2.GaussianBlur(out, (0, 0), chain.halo_width)
        out = cv2.addWeighted(out, 1 + chain.halo, smooth, -chain.halo, 0)
    for jpeg in (chain.jpeg, chain.second_jpeg):
        if jpeg is not None:
            out = _code_jpeg(out, jpeg)
    return np.asarray(cv2.resize(out, (size, size), interpolation=chain.grow), np.uint8)


def _blur(picture: Pixels, chain: Chain, quick: bool) -> Pixels:
    out = picture
    sigma = chain.blur * picture.shape[0] / FULL
    if chain.stretch == 1:
        # The mean of 2x2 adds a variance of 1/4 pixel; below 3 pixels that would show.
        while quick and sigma > 3 and out.shape[0] % 2 == 0 and out.shape[0] // 2 >= FULL / chain.down:
            out = np.asarray(cv2.resize(out, None, fx=0.5, fy=0.5, interpolation=cv2.INTER_AREA), np.uint8)
            sigma = float(np.sqrt(sigma**2 - 0.25)) / 2
    if max(sigma, sigma * chain.stretch) > 0.2:
        out = np.asarray(cv2.GaussianBlur(out, (0, 0), sigma, sigmaY=sigma * chain.stretch), np.uint8)
    return out


def _code_jpeg(picture: Pixels, jpeg: Jpeg) -> Pixels:
    """Through libjpeg. The channels go in as they are, so it takes red for blue: so were the test levels made."""
    left, above = jpeg.offset
    if left or above:
        picture = cv2.copyMakeBorder(picture, above, 0, left, 0, cv2.BORDER_REPLICATE)
    chroma = (
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444 if jpeg.full_chroma else cv2.IMWRITE_JPEG_SAMPLING_FACTOR_420
    )
    how = [cv2.IMWRITE_JPEG_QUALITY, jpeg.quality, cv2.IMWRITE_JPEG_SAMPLING_FACTOR, chroma]
    _, coded = cv2.imencode(".jpg", picture, how)
    return np.asarray(cv2.imdecode(coded, cv2.IMREAD_COLOR), np.uint8)[above:, left:]


def _age(picture: Pixels, aging: Aging, rng: np.random.Generator, bank: MarkBank) -> Pixels:
    side = picture.shape[0]
    scale = side / FULL
    out = picture
    if aging.focus * scale > 0.2:
        out = cv2.GaussianBlur(out, (0, 0), aging.focus * scale)
    if aging.motion:
        kernel = formulas.motion_kernels(
            np.array([aging.motion * scale], np.float32), np.array([aging.heading], np.float32)
        )[0]
        out = cv2.filter2D(out, -1, kernel)
    if aging.grain:
        out = _add_grain(out, aging, rng)
    if aging.halftone.amount:
        out = _print_screen(out, aging)
    return _add_marks(out, aging, bank)


def _add_grain(picture: Pixels, aging: Aging, rng: np.random.Generator) -> Pixels:
    side = picture.shape[0]
    noise = rng.standard_normal((side, side, 3 if aging.colored_grain else 1), dtype=np.float32)
    sigma = aging.grain_size * side / FULL
    amount = aging.grain
    if sigma > 0.2:
        reach = round(4 * sigma)
        kernel = cv2.getGaussianKernel(2 * reach + 1, sigma, cv2.CV_32F)
        noise = cv2.sepFilter2D(noise, cv2.CV_32F, kernel, kernel)
        amount /= float((kernel**2).sum())
    levels = np.arange(256, dtype=np.float32) / WHITE
    weights = cv2.LUT(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY), formulas.grain_weight(levels) * amount)
    if aging.colored_grain:
        weights = cv2.merge([weights] * 3)
    grain = cv2.multiply(noise, weights)
    if not aging.colored_grain:
        grain = cv2.merge([grain] * 3)
    return np.asarray(cv2.add(picture, grain, dtype=cv2.CV_8U), np.uint8)


def _print_screen(picture: Pixels, aging: Aging) -> Pixels:
    how, side = aging.halftone, picture.shape[0]
    turn = np.float32(np.cos(how.angle)), np.float32(np.sin(how.angle))
    step = np.arange(side, dtype=np.float32) / np.float32(how.period * side / FULL)
    x, y = step[None], step[:, None]
    threshold = formulas.screen_threshold(x * turn[0] + y * turn[1], y * turn[0] - x * turn[1], how.ruled)
    ink = formulas.print_screen(picture.astype(np.float32) / WHITE, threshold[..., None])
    return np.asarray(
        cv2.addWeighted(picture, 1 - how.amount, ink * WHITE, how.amount, 0, dtype=cv2.CV_8U), np.uint8
    )


def _add_marks(picture: Pixels, aging: Aging, bank: MarkBank) -> Pixels:
    side = picture.shape[0]

    def place(kind: MarkKind, mark: Mark) -> Float | None:
        return bank.place(kind, mark, side)[None] if mark.strength else None

    drawn = [m for m in (place(kind, mark) for kind, mark in aging.drawn_marks) if m is not None]
    coat = formulas.compose_coat(
        place(MarkKind.FIELD, aging.exposure),
        place(MarkKind.FIELD, aging.fading),
        _per_channel(aging.paper),
        place(MarkKind.STAIN, aging.stain),
        _per_channel(aging.stain_tint),
        np.asarray(sum(drawn), np.float32) if drawn else None,
    )
    if coat is None:
        return picture
    gain, offset = (_interleave(plane, picture.shape) for plane in coat)
    out = cv2.multiply(picture, gain, dtype=cv2.CV_32F)
    return np.asarray(cv2.scaleAdd(offset, 255.0, out).clip(0, 255).round(), np.uint8)


def _per_channel(values: tuple[float, float, float]) -> Float:
    return np.array(values, np.float32)[:, None, None]


def _interleave(planes: Float, shape: tuple[int, ...]) -> Float:
    """[1 or 3, h or 1, w or 1] to [h, w, 3]."""
    full = np.broadcast_to(planes, (len(planes), *shape[:2]))
    return np.asarray(cv2.merge([np.ascontiguousarray(p) for p in full] * (3 // len(full))), np.float32)


def _round(picture: Float) -> Pixels:
    return np.clip(np.rint(picture), 0, 255).astype(np.uint8)
