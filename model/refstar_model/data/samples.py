"""Training samples made with OpenCV in loader processes: a degraded face, its references, the truth.

A right reference is another photograph of the person where there is one, else a *pseudo reference*: the truth
mirrored, moved, bent, relit (``pseudo.py``). A wrong reference is another person, half of the time a look-alike.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from refstar_model.data.batch import Batch
from refstar_model.data.degradation import apply_tone, degrade
from refstar_model.data.face_parts import GRID
from refstar_model.data.photos import PhotoSet
from refstar_model.data.plan import (
    FULL,
    HALF,
    BatchPlan,
    Curriculum,
    FacePlan,
    Planner,
    ReferencePlan,
    SampleMix,
    Source,
)
from refstar_model.data.pseudo import PAIR_LIGHT, PSEUDO_LIGHT, mirror_order, pseudo_view, relight
from refstar_model.data.selection_masks import BANDS, SelectionLabel, SelectionLabels
from refstar_model.data.turning import Relief, turn_field, turn_picture
from refstar_model.judges.landmarks import Points
from refstar_model.training.processes import WHOLE, Course

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class _Reference:
    picture: Pixels
    label: SelectionLabel | None = None
    points: Points | None = None


@dataclass(frozen=True, eq=False)
class _Sample:
    truth: Pixels
    low_quality: Pixels
    references: list[_Reference]
    points: Points | None = None


class Samples(IterableDataset[Batch]):
    """An endless stream of batches; batch number i depends on the seed and i alone (by the clock also on the time).

    So the stream is the same whichever number of loaders draws it, a resumed run goes on where it was, and of several
    processes each takes its own batches: those of its ``course``.

    The pictures are read when the first batch is drawn, that is, in the loader's process. ``labels`` are those of the
    photos' pairs, with everybody's points, or the points alone; a net that can move a reference by ``reach`` pixels (at
    512) is asked for what comes into place by that. ``reliefs`` are those of the photographs that may be turned; a
    turned face has neither labels nor points.
    """

    def __init__(
        self,
        photos: PhotoSet,
        mix: SampleMix,
        batch: int,
        seed: int,
        lookalikes: Mapping[str, Sequence[str]] | None = None,
        course: Course = WHOLE,
        curriculum: Curriculum | None = None,
        labels: SelectionLabels | None = None,
        reach: float = 0.0,
        reliefs: Mapping[str, Relief] | None = None,
    ) -> None:
        self.photos, self.mix, self.seed = photos, mix, seed
        self.course = course
        self.reliefs = reliefs or {}
        self.planner = Planner(photos, mix, batch, lookalikes, curriculum, frozenset(self.reliefs))
        self.labels, self.reach = labels, reach
        points = labels.points if labels is not None else {}
        self.points = {file: np.asarray((p + 0.5) / 256, np.float32) for file, p in points.items()}
        self.mirrored = mirror_order(np.mean(list(self.points.values()), 0)) if self.points else None

    @cached_property
    def half(self) -> dict[str, Pixels]:
        """All photographs at half size."""
        return {file: self.photos.read(file, HALF) for file in self.planner.half.files}

    @cached_property
    def full(self) -> dict[str, Pixels]:
        """Those that are sharp at full size."""
        files = self.planner.full.files if self.planner.full is not None else ()
        return {file: self.photos.read(file, FULL) for file in files}

    def __iter__(self) -> Iterator[Batch]:
        worker = torch.utils.data.get_worker_info()
        loader, loaders = (worker.id, worker.num_workers) if worker else (0, 1)
        cv2.setNumThreads(1)
        index = self.course.start + loader * self.course.stride
        while True:
            yield self.make(self.planner.draw_number(self.seed, index, self.course.progress(index)))
            index += loaders * self.course.stride

    def draw(self, rng: np.random.Generator, progress: float = 1.0) -> Batch:
        """A batch at a ``progress`` of the run in 0..1."""
        return self.make(self.planner.draw(rng, progress))

    def make(self, plan: BatchPlan) -> Batch:
        pool = self.full if plan.size == FULL else self.half
        rows = [self._make(pool, face) for face in plan.faces]
        references = [r for row in rows for r in row.references]
        shape = len(rows), len(rows[0].references)

        def per_reference(values: Iterable[bool | NDArray[np.generic]]) -> Tensor:
            return torch.from_numpy(np.array(list(values))).unflatten(0, shape)

        drawn = Batch(
            _stack([row.truth for row in rows]),
            _stack([row.low_quality for row in rows]),
            _stack([_at_full_size(r.picture) for r in references]).unflatten(0, shape),
            per_reference(r.present for face in plan.faces for r in face.references),
            per_reference(r.right for face in plan.faces for r in face.references),
            torch.tensor([face.fidelity for face in plan.faces], dtype=torch.float32),
            torch.tensor([face.colorless for face in plan.faces]),
            plan.alone,
            plan.twins,
        )
        if self.labels is None:
            return drawn
        nowhere = np.zeros_like(next(iter(self.points.values()), np.zeros((1, 2), np.float32)))
        drawn = replace(
            drawn,
            truth_points=torch.from_numpy(
                np.stack([nowhere if row.points is None else row.points for row in rows])
            ),
            reference_points=per_reference(nowhere if r.points is None else r.points for r in references),
            points_known=per_reference(
                r.points is not None and row.points is not None for row in rows for r in row.references
            ),
        )
        if not len(self.labels):
            return drawn
        empty = np.zeros((BANDS, GRID, GRID), np.float32)
        return replace(
            drawn,
            labels=per_reference(empty if r.label is None else r.label.take for r in references),
            confidence=per_reference(empty if r.label is None else r.label.confidence for r in references),
        )

    def _make(self, pool: Mapping[str, Pixels], plan: FacePlan) -> _Sample:
        rng = np.random.default_rng(plan.seed)
        truth, points = pool[plan.file], self.points.get(plan.file)
        references = [self._make_reference(pool, plan.file, reference, rng) for reference in plan.references]
        if plan.turn is not None:
            truth = turn_picture(truth, turn_field(self.reliefs[plan.file], plan.turn))
            references, points = [replace(r, label=None, points=None) for r in references], None
        truth = apply_tone(truth, plan.tone)
        low_quality = degrade(truth, plan.recipe, rng, quick=True)
        sample = _Sample(truth, low_quality, references, points)
        return _mirror_sample(sample) if plan.mirrored else sample

    def _make_reference(
        self, pool: Mapping[str, Pixels], file: str, plan: ReferencePlan, rng: np.random.Generator
    ) -> _Reference:
        """The reference of a photograph ``file``."""
        picture = pool[plan.file]
        match plan.source:
            case Source.ABSENT:
                return _Reference(np.zeros_like(picture))
            case Source.STRANGER:
                return _Reference(apply_tone(relight(picture, rng, PAIR_LIGHT), plan.tone))
            case Source.PAIR:
                label = self.labels.get(file, plan.file) if self.labels is not None else None
                return _Reference(
                    apply_tone(relight(picture, rng, PAIR_LIGHT), plan.tone),
                    label.within(self.reach) if label else None,
                    self.points.get(plan.file),
                )
            case Source.PSEUDO:
                return self._make_pseudo(picture, plan, rng)
            case Source.ITSELF:
                lit = apply_tone(relight(picture, rng, PSEUDO_LIGHT), plan.tone)
                return _Reference(lit, None, self.points.get(plan.file))

    def _make_pseudo(self, picture: Pixels, plan: ReferencePlan, rng: np.random.Generator) -> _Reference:
        # No label: comparing the two pictures would take four times as long as all the rest of a sample.
        mix = self.mix
        view = pseudo_view(picture, rng, mix.expression, mix.mirrored, mix.moved)
        points = self.points.get(plan.file)
        if points is not None and self.mirrored is not None:
            if view.mirrored:
                points = _flip(points)[self.mirrored]
            points = view.carry(points)
        return _Reference(apply_tone(view.picture, plan.tone), None, points)


def _mirror_sample(sample: _Sample) -> _Sample:
    references = [
        replace(
            r,
            picture=r.picture[:, ::-1],
            label=r.label.mirror() if r.label else None,
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
