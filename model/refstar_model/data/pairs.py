"""Training samples: a degraded face, its references, the truth, and which references are right.

A right reference is another photograph of the person where there is one, else a *pseudo reference*: the truth
mirrored, moved, bent, relit (``pseudo.py``). A wrong reference is another person, half of the time a look-alike.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from refstar_model.data.degradation import TABLE, Table, degrade, draw_recipe
from refstar_model.data.face_parts import GRID
from refstar_model.data.photos import PhotoSet
from refstar_model.data.pseudo import mirror_order, pseudo_view, relight
from refstar_model.data.selection_masks import BANDS, SelectionLabel, SelectionLabels
from refstar_model.landmarks import Points

Pixels = NDArray[np.uint8]
FULL, HALF = 512, 256  # the working size of the nets, and that of photographs that are sharp only there


@dataclass(frozen=True)
class SampleMix:
    """How often what is drawn; shares of 1."""

    real_pair: float = 0.5  # else a pseudo reference
    absent: float = 0.15
    wrong: float = 0.25
    two_references: float = 0.15  # batches in which every face gets two
    full_size: float = 0.25  # batches at full size, from pictures that are sharp there
    default_fidelity: float = 0.5  # else uniform in 0..1
    lookalike: float = 0.5  # of the wrong ones: a person whom the recognizer finds alike
    expression: float = 0.0  # of the pseudo references: with another expression
    degradations: Table = TABLE
    alone: float = 0.75  # batches without any reference: cheap steps for the self stream


@dataclass(frozen=True)
class Curriculum:
    """Half size first, then full size: pictures that are sharp at full size are few, and are learned by heart.

    ``start`` is the share of the run before which every batch is at half size; ``full_batch`` the faces of a batch at
    full size (0: as many as at half size), whose losses are four times as large in memory.
    """

    start: float = 0.0
    full_batch: int = 0


@dataclass(frozen=True)
class Batch:
    """truth [B, 3, T, T] with T = size or size / 2; low_quality and references at full size; all uint8.

    ``present`` and ``right`` are bool [B, R]; fidelity float [B]. Where the stream has labels: ``labels`` (0 or 1) and
    ``confidence`` (0..1, 0 = no label) [B, R, bands, 64, 64], dense points in picture widths ``truth_points`` [B, K, 2]
    and ``reference_points`` [B, R, K, 2], known where ``points_known`` [B, R].
    """

    truth: Tensor
    low_quality: Tensor
    references: Tensor
    present: Tensor
    right: Tensor
    fidelity: Tensor
    labels: Tensor | None = None
    confidence: Tensor | None = None
    truth_points: Tensor | None = None
    reference_points: Tensor | None = None
    points_known: Tensor | None = None

    @property
    def alone(self) -> bool:
        """Whether no face has a reference."""
        return not bool(self.present.any())

    def to(self, device: torch.device) -> "Batch":
        return self._each(lambda tensor: tensor.to(device, non_blocking=True))

    def pin_memory(self) -> "Batch":
        """Called by the loader's thread, so that ``to`` a GPU does not wait."""
        return self._each(Tensor.pin_memory)

    def _each(self, change: Callable[[Tensor], Tensor]) -> "Batch":
        values = {f.name: getattr(self, f.name) for f in fields(self)}
        changed: dict[str, Any] = {name: change(v) for name, v in values.items() if v is not None}
        return replace(self, **changed)


@dataclass(frozen=True, eq=False)
class _Reference:
    picture: Pixels
    present: bool
    right: bool
    label: SelectionLabel | None = None
    points: Points | None = None


@dataclass(frozen=True, eq=False)
class _Sample:
    truth: Pixels
    low_quality: Pixels
    references: list[_Reference]
    fidelity: float
    points: Points | None = None


class Samples(IterableDataset[Batch]):
    """An endless stream of batches; batch number i depends on the seed and i alone.

    So the stream is the same whichever number of loaders draws it, a resumed run goes on with ``start`` where it was,
    and of several processes each takes every ``stride``-th batch. ``total`` batches are the whole run, for the
    curriculum.

    Full-size batches take photographs that are sharp at 512, the others those at 256, with truths at half size.
    ``lookalikes`` maps a file to files of other people who resemble them. The pictures are read when the first batch
    is drawn, that is, in the loader's process. ``labels`` are those of the photos' pairs, with everybody's points; a
    net that can move a reference by ``reach`` pixels (at 512) is asked for what comes into place by that.
    """

    def __init__(
        self,
        photos: PhotoSet,
        mix: SampleMix,
        batch: int,
        seed: int,
        lookalikes: Mapping[str, list[str]] | None = None,
        start: int = 0,
        stride: int = 1,
        curriculum: Curriculum | None = None,
        total: int = 1,
        labels: SelectionLabels | None = None,
        reach: float = 0.0,
    ) -> None:
        self.photos, self.mix, self.batch, self.seed = photos, mix, batch, seed
        self.lookalikes = lookalikes or {}
        self.start, self.stride = start, stride
        self.curriculum, self.total = curriculum or Curriculum(), total
        self.labels, self.reach = labels, reach
        points = labels.points if labels else {}
        self.points = {file: np.asarray((p + 0.5) / 256, np.float32) for file, p in points.items()}
        self.mirrored = mirror_order(np.mean(list(self.points.values()), 0)) if self.points else None
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
        loader, loaders = (worker.id, worker.num_workers) if worker else (0, 1)
        cv2.setNumThreads(1)
        index = self.start + loader * self.stride
        while True:
            yield self.draw(np.random.default_rng([self.seed, index]), index / self.total)
            index += loaders * self.stride

    def draw(self, rng: np.random.Generator, progress: float = 1.0) -> Batch:
        """A batch at a ``progress`` of the run in 0..1."""
        full = bool(self.full) and rng.random() < self.mix.full_size and progress >= self.curriculum.start
        pool = self.full if full else self.half
        batch = (self.curriculum.full_batch if full else 0) or self.batch
        count = 2 if rng.random() < self.mix.two_references else 1
        alone = self.mix.alone > 0 and rng.random() < self.mix.alone
        if alone:
            count = 1
        files = list(pool)
        # Photographs with a second one of the person are few: they are drawn more often than their share.
        paired = [f for f in files if any(o in pool for o in self.others.get(f, []))]
        rows = [self._sample(pool, files, [] if alone else paired, count, rng, alone) for _ in range(batch)]
        references = [r for row in rows for r in row.references]

        def per_reference(values: Iterable[bool | NDArray[np.generic]]) -> Tensor:
            return torch.from_numpy(np.array(list(values))).unflatten(0, (batch, count))

        drawn = Batch(
            _stack([row.truth for row in rows]),
            _stack([row.low_quality for row in rows]),
            _stack([_at_full_size(r.picture) for r in references]).unflatten(0, (batch, count)),
            per_reference(r.present for r in references),
            per_reference(r.right for r in references),
            torch.tensor([row.fidelity for row in rows], dtype=torch.float32),
        )
        if self.labels is None:
            return drawn
        empty = np.zeros((BANDS, GRID, GRID), np.float32)
        nowhere = np.zeros_like(next(iter(self.points.values()), np.zeros((1, 2), np.float32)))
        return replace(
            drawn,
            labels=per_reference(empty if r.label is None else r.label.take for r in references),
            confidence=per_reference(empty if r.label is None else r.label.confidence for r in references),
            truth_points=torch.from_numpy(
                np.stack([nowhere if row.points is None else row.points for row in rows])
            ),
            reference_points=per_reference(nowhere if r.points is None else r.points for r in references),
            points_known=per_reference(
                r.points is not None and row.points is not None for row in rows for r in row.references
            ),
        )

    def _sample(
        self,
        pool: Mapping[str, Pixels],
        files: list[str],
        paired: list[str],
        count: int,
        rng: np.random.Generator,
        alone: bool,
    ) -> _Sample:
        use_pair = bool(paired) and rng.random() < self.mix.real_pair
        file = str(rng.choice(paired if use_pair else files))
        truth = pool[file]
        references = []
        for _ in range(count):
            kind = rng.random()
            if alone or kind < self.mix.absent:
                references.append(_Reference(np.zeros_like(truth), False, False))
            elif kind < self.mix.absent + self.mix.wrong:
                stranger = self._stranger(file, pool, files, rng)
                references.append(_Reference(relight(pool[stranger], rng, 0.08), True, False))
            elif use_pair:
                other = str(rng.choice([o for o in self.others[file] if o in pool]))
                label = self.labels.get(file, other) if self.labels else None
                references.append(
                    _Reference(
                        relight(pool[other], rng, 0.08),
                        True,
                        True,
                        label.within(self.reach) if label else None,
                        self.points.get(other),
                    )
                )
            else:
                references.append(self._pseudo(file, truth, rng))
        low_quality = degrade(truth, draw_recipe(rng, self.mix.degradations), rng, quick=True)
        mirror = rng.random() < 0.5
        fidelity = 0.5 if rng.random() < self.mix.default_fidelity else float(rng.random())
        sample = _Sample(truth, low_quality, references, fidelity, self.points.get(file))
        return _mirrored(sample) if mirror else sample

    def _pseudo(self, file: str, truth: Pixels, rng: np.random.Generator) -> _Reference:
        # No label: comparing the two pictures would take four times as long as all the rest of a sample.
        view = pseudo_view(truth, rng, self.mix.expression)
        points = self.points.get(file)
        if points is not None and self.mirrored is not None:
            if view.mirrored:
                points = _flip(points)[self.mirrored]
            points = view.carry(points)
        return _Reference(view.picture, True, True, None, points)

    def _stranger(
        self, file: str, pool: Mapping[str, Pixels], files: list[str], rng: np.random.Generator
    ) -> str:
        alike = [f for f in self.lookalikes.get(file, []) if f in pool]
        if alike and rng.random() < self.mix.lookalike:
            return str(rng.choice(alike))
        while True:
            other = str(rng.choice(files))
            if self.person[other] != self.person[file]:
                return other


def _mirrored(sample: _Sample) -> _Sample:
    references = [
        replace(
            r,
            picture=r.picture[:, ::-1],
            label=r.label.mirrored() if r.label else None,
            points=None if r.points is None else _flip(r.points),
        )
        for r in sample.references
    ]
    points = None if sample.points is None else _flip(sample.points)
    return replace(
        sample,
        truth=sample.truth[:, ::-1],
        low_quality=sample.low_quality[:, ::-1],
        references=references,
        points=points,
    )


def _flip(points: Points) -> Points:
    """The same points, under the same numbers, in the mirrored picture."""
    return np.asarray(points * np.array([-1, 1]) + np.array([1, 0]), np.float32)


def _at_full_size(picture: Pixels) -> Pixels:
    if picture.shape[0] == FULL:
        return picture
    return np.asarray(cv2.resize(picture, (FULL, FULL), interpolation=cv2.INTER_CUBIC), np.uint8)


def _stack(pictures: Sequence[Pixels]) -> Tensor:
    """HWC pictures to uint8 [N, 3, h, w], laid out as they are: a copy into planes cost more than the blur."""
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
