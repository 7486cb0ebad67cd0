"""Training samples: a degraded face, its references, the truth, and which references are right.

A right reference is another photograph of the person where there is one, else a *pseudo reference*: the truth
mirrored, moved, bent, relit. A wrong reference is another person, half of the time a look-alike.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset

from refstar_model.data.degradation import degrade
from refstar_model.data.degradation import training as draw_degradation
from refstar_model.data.photos import PhotoSet

Pixels = NDArray[np.uint8]
FULL, HALF = 512, 256  # the working size of the nets, and that of photographs that are sharp only there


@dataclass(frozen=True)
class SampleMix:
    """How often what is drawn; shares of 1."""

    real_pair: float = 0.5  # else a pseudo reference
    absent: float = 0.15
    wrong: float = 0.2
    two_references: float = 0.2  # batches in which every face gets two
    full_size: float = 0.25  # batches at full size, from pictures that are sharp there
    default_fidelity: float = 0.5  # else uniform in 0..1


@dataclass(frozen=True)
class Batch:
    """truth [B, 3, T, T] with T = size or size / 2; low_quality and references at full size; all uint8.

    ``present`` and ``right`` are bool [B, R]; fidelity float [B].
    """

    truth: torch.Tensor
    low_quality: torch.Tensor
    references: torch.Tensor
    present: torch.Tensor
    right: torch.Tensor
    fidelity: torch.Tensor


def pseudo_reference(picture: Pixels, rng: np.random.Generator) -> Pixels:
    """The same photograph made different: mirror, small affine move, elastic bend, light, sometimes blur."""
    side = picture.shape[0]
    scale = side / 256
    out = picture[:, ::-1] if rng.random() < 0.7 else picture
    angle, zoom = rng.uniform(-6, 6), rng.uniform(0.94, 1.06)
    matrix = cv2.getRotationMatrix2D((side / 2, side / 2), angle, zoom)
    matrix[:, 2] += rng.uniform(-6, 6, 2) * scale
    bend = rng.normal(0, 5 * scale / 2.5, (5, 5, 2)).astype(np.float32)
    flow = cv2.resize(bend, (side, side), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:side, :side].astype(np.float32)
    inverse = cv2.invertAffineTransform(matrix).astype(np.float32)
    map_x = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2] + flow[..., 0]
    map_y = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2] + flow[..., 1]
    out = cv2.remap(
        np.ascontiguousarray(out), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    out = relight(out, rng, 0.2)
    if rng.random() < 0.3:
        out = cv2.GaussianBlur(out, (0, 0), rng.uniform(0.3, 1.2) * scale)
    return np.asarray(out, np.uint8)


def relight(picture: Pixels, rng: np.random.Generator, amount: float) -> Pixels:
    """Gain per channel, gamma and offset, each within ``amount``."""
    gain = rng.uniform(1 - amount, 1 + amount) * rng.uniform(1 - amount / 3, 1 + amount / 3, 3)
    gamma = rng.uniform(1 - amount, 1 + amount)
    table = np.clip(255 * (np.arange(256)[:, None] / 255) ** gamma * gain + rng.uniform(-10, 10), 0, 255)
    return np.stack([table[:, c].astype(np.uint8)[picture[..., c]] for c in range(3)], -1)


class Samples(IterableDataset[Batch]):
    """An endless stream of batches, the same for the same seed.

    Full-size batches take photographs that are sharp at 512, the others those at 256, with truths at half size.
    ``lookalikes`` maps a file to files of other people who resemble them. The pictures are read when the first batch
    is drawn, that is, in the loader's process.
    """

    def __init__(
        self,
        photos: PhotoSet,
        mix: SampleMix,
        batch: int,
        seed: int,
        lookalikes: Mapping[str, list[str]] | None = None,
    ) -> None:
        self.photos, self.mix, self.batch, self.seed = photos, mix, batch, seed
        self.lookalikes = lookalikes or {}
        self.person = {p.file: p.person for p in photos.photos}
        self.others: dict[str, list[str]] = {}
        for pair in photos.pairs:
            self.others.setdefault(pair.first, []).append(pair.second)
            self.others.setdefault(pair.second, []).append(pair.first)

    @cached_property
    def half(self) -> dict[str, Pixels]:
        """All photographs at half size."""
        return {p.file: self.photos.read(p.file, HALF) for p in self.photos.photos}

    @cached_property
    def full(self) -> dict[str, Pixels]:
        """Those that are sharp at full size."""
        return {p.file: self.photos.read(p.file, FULL) for p in self.photos.photos if p.sharp_at_512}

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        rng = np.random.default_rng([self.seed, worker.id if worker else 0])
        cv2.setNumThreads(1)
        while True:
            yield self.draw(rng)

    def draw(self, rng: np.random.Generator) -> Batch:
        pool = self.full if self.full and rng.random() < self.mix.full_size else self.half
        count = 2 if rng.random() < self.mix.two_references else 1
        files = list(pool)
        # Photographs with a second one of the person are few: they are drawn more often than their share.
        paired = [f for f in files if any(o in pool for o in self.others.get(f, []))]
        rows = [self._sample(pool, files, paired, count, rng) for _ in range(self.batch)]
        truth, low_quality, references, present, right, fidelity = zip(*rows, strict=True)
        return Batch(
            _stack(truth),
            _stack(low_quality),
            torch.stack([_stack(r) for r in references]),
            torch.tensor(np.array(present)),
            torch.tensor(np.array(right)),
            torch.tensor(fidelity, dtype=torch.float32),
        )

    def _sample(
        self,
        pool: Mapping[str, Pixels],
        files: list[str],
        paired: list[str],
        count: int,
        rng: np.random.Generator,
    ) -> tuple[Pixels, Pixels, list[Pixels], list[bool], list[bool], float]:
        use_pair = bool(paired) and rng.random() < self.mix.real_pair
        file = str(rng.choice(paired if use_pair else files))
        truth = pool[file]
        references, present, right = [], [], []
        for _ in range(count):
            kind = rng.random()
            if kind < self.mix.absent:
                references.append(np.zeros_like(truth))
            elif kind < self.mix.absent + self.mix.wrong:
                references.append(relight(pool[self._stranger(file, pool, files, rng)], rng, 0.08))
            elif use_pair:
                other = str(rng.choice([o for o in self.others[file] if o in pool]))
                references.append(relight(pool[other], rng, 0.08))
            else:
                references.append(pseudo_reference(truth, rng))
            present.append(kind >= self.mix.absent)
            right.append(kind >= self.mix.absent + self.mix.wrong)
        low_quality = degrade(truth, draw_degradation(rng), rng)
        if rng.random() < 0.5:
            truth, low_quality = truth[:, ::-1], low_quality[:, ::-1]
            references = [r[:, ::-1] for r in references]
        references = [_at_full_size(r) for r in references]
        fidelity = 0.5 if rng.random() < self.mix.default_fidelity else float(rng.random())
        return truth, low_quality, references, present, right, fidelity

    def _stranger(
        self, file: str, pool: Mapping[str, Pixels], files: list[str], rng: np.random.Generator
    ) -> str:
        alike = [f for f in self.lookalikes.get(file, []) if f in pool]
        if alike and rng.random() < 0.5:
            return str(rng.choice(alike))
        while True:
            other = str(rng.choice(files))
            if self.person[other] != self.person[file]:
                return other


def _at_full_size(picture: Pixels) -> Pixels:
    if picture.shape[0] == FULL:
        return picture
    return np.asarray(cv2.resize(picture, (FULL, FULL), interpolation=cv2.INTER_CUBIC), np.uint8)


def _stack(pictures: tuple[Pixels, ...] | list[Pixels]) -> torch.Tensor:
    """HWC pictures to uint8 [N, 3, h, w]."""
    return torch.from_numpy(np.stack(pictures).transpose(0, 3, 1, 2).copy())
