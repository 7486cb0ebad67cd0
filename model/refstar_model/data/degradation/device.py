"""Recipes carried out in torch on whole batches, on the device that trains.

What ``opencv.py`` does to one picture happens here in the same order to all that need it: up to rounding and the
noise's numbers the results are the same (tests hold the two together). Nothing waits for the device, and no loop goes
over the pictures of a batch; the only lists are those of the recipes' numbers.
"""

from collections.abc import Callable, Iterable, Sequence
from typing import TypeVar

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from refstar_model.data.degradation import formulas
from refstar_model.data.degradation.jpeg import MARGIN, quantization_tables, through_jpeg
from refstar_model.data.degradation.marks import (
    MIRRORED,
    TRANSPOSED,
    UPSIDE_DOWN,
    Mark,
    MarkBank,
    MarkKind,
)
from refstar_model.data.degradation.recipe import FULL, Aging, Chain, Jpeg, Recipe
from refstar_model.data.degradation.resampling import (
    apply_matrices,
    blur_matrix,
    repeat_border,
    resize_matrix,
)
from refstar_model.data.upload import upload
from refstar_model.layers.color import luminance

Part = TypeVar("Part")


class Degrader:
    """Holds the marks on ``device``."""

    def __init__(self, bank: MarkBank, device: torch.device) -> None:
        self.device = device
        self._marks = {side: torch.from_numpy(bank.at(side)).to(device) for side in (FULL, FULL // 2)}

    @torch.no_grad()
    def degrade(self, truth: Tensor, recipes: Sequence[Recipe], generator: torch.Generator) -> Tensor:
        """Truths [B, 3, T, T] in 0..1, T 256 or 512, degraded: [B, 3, 512, 512] in 0..1, rounded to 256 levels.

        The noise comes from ``generator``, which lives on the device. Raises ValueError for faces of another size, and
        unless there are as many recipes as faces.
        """
        if truth.shape[-1] not in self._marks:
            raise ValueError(
                f"faces of {' or '.join(map(str, self._marks))} pixels, not of {truth.shape[-1]}"
            )
        if len(recipes) != len(truth):
            raise ValueError(f"{len(recipes)} recipes for {len(truth)} faces; each needs its own")
        with torch.autocast(truth.device.type, enabled=False):
            x = (truth.float() * 255).round()
            earlier = [(row, r.earlier) for row, r in enumerate(recipes) if r.earlier is not None]
            x = self._some(
                x, earlier, lambda some, how: self._pass_through(some, how, x.shape[-1], generator)
            )
            aged = [(row, r.aging) for row, r in enumerate(recipes) if r.aging is not None]
            x = self._some(x, aged, lambda some, how: self._age(some, how, generator))
            x = self._pass_through(x, [r.last for r in recipes], FULL, generator)
            gray = [(row, r) for row, r in enumerate(recipes) if r.gray]
            x = self._some(x, gray, lambda some, _: luminance(some).round().expand_as(some))
            return x / 255

    def _some(
        self,
        x: Tensor,
        chosen: Sequence[tuple[int, Part]],
        change: Callable[[Tensor, list[Part]], Tensor],
    ) -> Tensor:
        """``x`` with only the chosen rows changed, each by its own numbers."""
        if not chosen:
            return x
        how = [part for _, part in chosen]
        if len(chosen) == len(x):
            return change(x, how)
        rows = self._whole(row for row, _ in chosen)
        return x.index_copy(0, rows, change(x.index_select(0, rows), how))

    def _pass_through(
        self, x: Tensor, chains: Sequence[Chain], size: int, generator: torch.Generator
    ) -> Tensor:
        """Blur to JPEG and up to ``size``. Small pictures go on small canvases, which saves most of the work."""
        side = x.shape[-1]
        out = x.new_empty(len(x), 3, size, size)
        smaller = 0
        for canvas in (side // 4, side // 2, side):
            rows = [row for row, c in enumerate(chains) if smaller < c.small_side(side) <= canvas]
            smaller = canvas
            if rows:
                index = self._whole(rows)
                some = self._shrink_and_grow(
                    x.index_select(0, index), [chains[row] for row in rows], canvas, size, generator
                )
                out.index_copy_(0, index, some)
        return out

    def _shrink_and_grow(
        self, x: Tensor, chains: list[Chain], canvas: int, size: int, generator: torch.Generator
    ) -> Tensor:
        side = x.shape[-1]
        small = self._whole(c.small_side(side) for c in chains)
        full = torch.full_like(small, side)
        shrink = resize_matrix(self._whole(c.shrink for c in chains), full, small, canvas, side)
        sigma = [c.blur * side / FULL for c in chains]
        down, across = (
            shrink
            @ self._blur(
                [s * c.stretch if upright else s for s, c in zip(sigma, chains, strict=True)], full, side
            )
            for upright in (True, False)
        )
        x = _levels(apply_matrices(x, down, across))
        noisy = [(row, c) for row, c in enumerate(chains) if c.noise]
        x = self._some(x, noisy, lambda some, how: self._add_noise(some, how, generator))
        none = torch.zeros_like(small)
        x = repeat_border(x, small, canvas, none, none)
        smeared = [(row, c.smear) for row, c in enumerate(chains) if c.smear]
        x = self._some(x, smeared, lambda some, how: _smear(some, self._numbers(how)))
        sharpened = [(row, c) for row, c in enumerate(chains) if c.halo]
        x = self._some(x, sharpened, lambda some, how: self._sharpen(some, how, side))
        for pick in (_first_jpeg, _second_jpeg):
            for full_chroma in (False, True):
                coded = [
                    (row, (jpeg, c.small_side(side)))
                    for row, c in enumerate(chains)
                    if (jpeg := pick(c)) is not None and jpeg.full_chroma == full_chroma
                ]
                x = self._some(x, coded, self._code)
        grow = resize_matrix(
            self._whole(c.grow for c in chains), small, torch.full_like(small, size), size, canvas
        )
        return _levels(apply_matrices(x, grow, grow))

    def _blur(self, sigma: list[float], side: Tensor, canvas: int) -> Tensor:
        """OpenCV's Gaussian: none up to a sigma of 0.2, cut off at three sigma."""
        real = [s if s > 0.2 else 0.0 for s in sigma]
        reach = [round(6 * s + 1) // 2 for s in real]
        return blur_matrix(self._numbers(real), self._numbers(reach), side, canvas)

    def _add_noise(self, x: Tensor, chains: list[Chain], generator: torch.Generator) -> Tensor:
        noise = torch.randn(x.shape, generator=generator, device=x.device)
        gray = self._numbers(c.gray_noise for c in chains)[:, None, None, None]
        noise = torch.lerp(noise, noise[:, :1].expand_as(noise), gray)
        return _levels(x + noise * self._numbers(c.noise for c in chains)[:, None, None, None])

    def _sharpen(self, x: Tensor, chains: list[Chain], side: int) -> Tensor:
        small = self._whole(c.small_side(side) for c in chains)
        blur = self._blur([c.halo_width for c in chains], small, x.shape[-1])
        smooth = _levels(apply_matrices(x, blur, blur))
        halo = self._numbers(c.halo for c in chains)[:, None, None, None]
        return _levels(x + halo * (x - smooth))

    def _code(self, x: Tensor, coded: list[tuple[Jpeg, int]]) -> Tensor:
        """Through JPEG, red for blue as in OpenCV's executor."""
        canvas = x.shape[-1]
        small = self._whole(side for _, side in coded)
        left, above = (self._whole(jpeg.offset[axis] for jpeg, _ in coded) for axis in (0, 1))
        moved = any(any(jpeg.offset) for jpeg, _ in coded)
        x = repeat_border(x, small, canvas + MARGIN if moved else canvas, above, left)
        tables = upload(quantization_tables([jpeg.quality for jpeg, _ in coded]), self.device)
        x = through_jpeg(x.flip(1), tables, coded[0][0].full_chroma).flip(1)
        return repeat_border(x, small + above.maximum(left), canvas, -above, -left) if moved else x

    def _age(self, x: Tensor, agings: list[Aging], generator: torch.Generator) -> Tensor:
        moved = [(row, a) for row, a in enumerate(agings) if a.focus or a.motion]
        x = self._some(x, moved, self._through_lens)
        grained = [(row, a) for row, a in enumerate(agings) if a.grain]
        x = self._some(x, grained, lambda some, how: self._add_grain(some, how, generator))
        for ruled in (False, True):
            screened = [
                (row, a) for row, a in enumerate(agings) if a.halftone.amount and a.halftone.ruled == ruled
            ]
            x = self._some(x, screened, self._print_screen)
        return self._add_marks(x, agings)

    def _through_lens(self, x: Tensor, agings: list[Aging]) -> Tensor:
        """Focus and motion, as a product of spectra; the border is mirrored far enough for both."""
        side = x.shape[-1]
        scale, margin = side / FULL, side // 16
        wide = F.pad(x, (margin,) * 4, mode="reflect")
        length = np.array([a.motion * scale for a in agings], np.float32)
        kernels = formulas.motion_kernels(length, np.array([a.heading for a in agings], np.float32))
        spectrum = torch.fft.rfft2(upload(kernels, self.device), s=wide.shape[-2:])
        focus = [a.focus * scale if a.focus * scale > 0.2 else 0.0 for a in agings]
        down, across = self._spectra(focus, wide.shape[-1])
        spectrum = spectrum * down[:, :, None] * across[:, None, :]
        out = torch.fft.irfft2(torch.fft.rfft2(wide) * spectrum[:, None], s=wide.shape[-2:])
        first = margin + formulas.MOTION_REACH
        out = out.roll((-first, -first), (2, 3))[..., :side, :side]
        return _levels(out)

    def _add_grain(self, x: Tensor, agings: list[Aging], generator: torch.Generator) -> Tensor:
        side = x.shape[-1]
        noise = torch.randn(x.shape, generator=generator, device=x.device)
        size = [a.grain_size * side / FULL for a in agings]
        down, across = self._spectra([s if s > 0.2 else 0.0 for s in size], side)
        spectrum = torch.fft.rfft2(noise) * (down[:, :, None] * across[:, None, :])[:, None]
        grain = torch.fft.irfft2(spectrum, s=x.shape[-2:])
        colored = self._numbers(a.colored_grain for a in agings)[:, None, None, None]
        grain = torch.lerp(grain[:, :1].expand_as(grain), grain, colored)
        # The power that the filter leaves, from its spectrum (Parseval): the same along both axes.
        amount = self._numbers(a.grain for a in agings) / down.square().mean(1)
        weight = formulas.grain_weight(luminance(x).round() / 255) * amount[:, None, None, None]
        return _levels(x + grain * weight)

    def _spectra(self, sigma: list[float], side: int) -> tuple[Tensor, Tensor]:
        """Of sampled Gaussians, [N, side] and its first half [N, side / 2 + 1]."""
        reach = 4 * round(max(sigma, default=0.0) + 1)
        distance = torch.arange(-reach, reach + 1, device=self.device)
        sigmas = self._numbers(sigma)[:, None].clamp(min=1e-3)
        kernel = torch.exp(-0.5 * (distance / sigmas) ** 2)
        kernel = kernel / kernel.sum(1, keepdim=True)
        waves = torch.cos(2 * torch.pi * torch.fft.fftfreq(side, device=self.device)[:, None] * distance)
        spectrum = kernel @ waves.T
        return spectrum, spectrum[:, : side // 2 + 1]

    def _print_screen(self, x: Tensor, agings: list[Aging]) -> Tensor:
        side, how = x.shape[-1], [a.halftone for a in agings]
        axis = torch.arange(side, device=x.device, dtype=x.dtype)
        step = axis / self._numbers(h.period * side / FULL for h in how)[:, None]
        across, down = step[:, None, None, :], step[:, None, :, None]
        cos, sin = (self._numbers(f(h.angle) for h in how)[:, None, None, None] for f in (np.cos, np.sin))
        threshold = formulas.screen_threshold(
            across * cos + down * sin, down * cos - across * sin, how[0].ruled
        )
        ink = formulas.print_screen(x / 255, threshold) * 255
        return _levels(torch.lerp(x, ink, self._numbers(h.amount for h in how)[:, None, None, None]))

    def _add_marks(self, x: Tensor, agings: list[Aging]) -> Tensor:
        side = x.shape[-1]

        def place(kind: MarkKind, marks: list[Mark]) -> Tensor:
            return self._place(kind, marks, side)

        drawn = zip(*(a.drawn_marks for a in agings), strict=True)  # kind by kind
        marks = [place(kind[0][0], [mark for _, mark in kind]) for kind in drawn]
        coat = formulas.compose_coat(
            place(MarkKind.FIELD, [a.exposure for a in agings]),
            place(MarkKind.FIELD, [a.fading for a in agings]),
            upload(np.array([a.paper for a in agings], np.float32), self.device)[:, :, None, None],
            place(MarkKind.STAIN, [a.stain for a in agings]),
            upload(np.array([a.stain_tint for a in agings], np.float32), self.device)[:, :, None, None],
            torch.stack(marks).sum(0),
        )
        assert coat is not None  # only without any map
        gain, offset = coat
        return _levels(x * gain + 255 * offset)

    def _place(self, kind: MarkKind, marks: list[Mark], side: int) -> Tensor:
        """As ``MarkBank.place``, [N, 1, side, side]."""
        overlays = self._marks[side][kind]

        def numbers(values: Iterable[int]) -> Tensor:
            return self._whole(values)[:, None, None]

        axis = torch.arange(side, device=self.device)
        down, across = axis[None, :, None], axis[None, None, :]
        turn = numbers(mark.turn for mark in marks)
        y = torch.where(turn & UPSIDE_DOWN != 0, side - 1 - down, down)
        x = torch.where(turn & MIRRORED != 0, side - 1 - across, across)
        transposed = turn & TRANSPOSED != 0
        y, x = torch.where(transposed, x, y), torch.where(transposed, y, x)
        right, low = (numbers(mark.shift[i] * side // FULL for mark in marks) for i in (0, 1))
        index = numbers(mark.index for mark in marks) * side * side
        index = index + (y - low) % side * side + (x - right) % side
        map_ = (overlays.flatten()[index].float() - 128) / 127
        return (map_ * self._numbers(mark.strength for mark in marks)[:, None, None])[:, None]

    def _numbers(self, values: Iterable[float]) -> Tensor:
        return upload(np.array(list(values), np.float32), self.device)

    def _whole(self, values: Iterable[int]) -> Tensor:
        return upload(np.array(list(values), np.int64), self.device)


def _first_jpeg(chain: Chain) -> Jpeg | None:
    return chain.jpeg


def _second_jpeg(chain: Chain) -> Jpeg | None:
    return chain.second_jpeg


def _smear(x: Tensor, color: Tensor) -> Tensor:
    """OpenCV's bilateral filter over five pixels, distances in color summed over the channels."""
    reach = formulas.SMEAR_REACH
    wide = F.pad(x, (reach,) * 4, mode="replicate")
    side = x.shape[-1]
    total, weights = torch.zeros_like(x), torch.zeros_like(x[:, :1])
    for dy in range(-reach, reach + 1):
        for dx in range(-reach, reach + 1):
            if dy * dy + dx * dx > reach * reach:
                continue
            other = wide[:, :, reach + dy : reach + dy + side, reach + dx : reach + dx + side]
            far = (other - x).abs().sum(1, keepdim=True) / color[:, None, None, None]
            near = (dy * dy + dx * dx) / formulas.SMEAR_SIGMA**2
            weight = torch.exp(-0.5 * (far.square() + near))
            total, weights = total + weight * other, weights + weight
    return _levels(total / weights)


def _levels(x: Tensor) -> Tensor:
    return x.round().clamp(0, 255)
