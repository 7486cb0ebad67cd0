"""Faces that nobody has, for teaching who is who.

560 people are few to learn identity from: a network knows them by heart before it knows what tells people apart. Two
aligned photographs blended, or put together patch by patch, and bent a little, are another face; what a recognizer
says of it is as good a target as what it says of a photograph. Both show the head from the same side: a profile within
a face from the front is nobody's.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.utils.data import IterableDataset

from refstar_model.data.batch import TensorBatch
from refstar_model.data.degradation import CHAINS, Table, degrade, draw_recipe
from refstar_model.data.photos import Kind, PhotoSet
from refstar_model.data.pseudo import relight

Pixels = NDArray[np.uint8]
SIDE = 256  # of the faces


@dataclass(frozen=True)
class FaceMix:
    """Shares of 1."""

    mixed: float = 0.6  # of two photographs; else one
    ghost: float = 0.4  # of the mixed ones: blended evenly, else patch by patch
    clean: float = 0.3  # seen as they are; else degraded
    degradations: Table = CHAINS
    grey: float = 0.15


@dataclass(frozen=True)
class SeenFaces(TensorBatch):
    """sharp [N, 3, 256, 256] and the same seen badly [N, 3, side, side], uint8."""

    sharp: Tensor
    seen: Tensor


class MixedFaces(IterableDataset[SeenFaces]):
    """An endless stream of faces.

    Batch number i depends on the seed and i alone.
    """

    def __init__(
        self,
        photos: PhotoSet,
        batch: int,
        seed: int,
        side: int = 128,
        start: int = 0,
        mix: FaceMix | None = None,
    ) -> None:
        self.photos, self.batch, self.seed, self.side, self.start = photos, batch, seed, side, start
        self.mix = mix or FaceMix()

    def __iter__(self) -> Iterator[SeenFaces]:
        worker = torch.utils.data.get_worker_info()
        loader, loaders = (worker.id, worker.num_workers) if worker else (0, 1)
        cv2.setNumThreads(1)
        alike: dict[Kind, list[Pixels]] = {}
        for photo in self.photos.photos:
            alike.setdefault(photo.kind, []).append(self.photos.read(photo.file, SIDE))
        groups, counts = list(alike.values()), np.array([len(group) for group in alike.values()])
        index = self.start + loader
        while True:
            rng = np.random.default_rng([self.seed, index])
            drawn = rng.choice(len(groups), self.batch, p=counts / counts.sum())
            faces = [mixed_face(groups[group], rng, self.mix) for group in drawn]
            seen = [self._look_badly(face, rng) for face in faces]
            yield SeenFaces(_stack(faces), _stack(seen))
            index += loaders

    def _look_badly(self, face: Pixels, rng: np.random.Generator) -> Pixels:
        if rng.random() >= self.mix.clean:
            face = degrade(face, draw_recipe(rng, self.mix.degradations), rng, size=SIDE, quick=True)
        return np.asarray(cv2.resize(face, (self.side, self.side), interpolation=cv2.INTER_AREA), np.uint8)


def mixed_face(pictures: Sequence[Pixels], rng: np.random.Generator, mix: FaceMix) -> Pixels:
    """A face [256, 256, 3] of one or two photographs on the template, mirrored, moved, bent, relit."""
    face = _draw_photo(pictures, rng)
    if rng.random() < mix.mixed:
        other = _draw_photo(pictures, rng)
        share: NDArray[np.float32] | float = rng.uniform(0.25, 0.75)
        if rng.random() >= mix.ghost:
            patches = rng.normal(0, 1.2, (4, 4)).astype(np.float32)
            wide = cv2.resize(patches, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)[..., None]
            share = np.asarray(1 / (1 + np.exp(-4 * wide)), np.float32)
        face = np.asarray(np.clip(face * share + other * (1 - share), 0, 255), np.uint8)
    face = relight(_bend(face, rng), rng, 0.25)
    if rng.random() < mix.grey:
        face = np.asarray(np.repeat(cv2.cvtColor(face, cv2.COLOR_RGB2GRAY)[..., None], 3, 2), np.uint8)
    return face


def _draw_photo(pictures: Sequence[Pixels], rng: np.random.Generator) -> Pixels:
    picture = pictures[int(rng.integers(len(pictures)))]
    return picture[:, ::-1] if rng.random() < 0.5 else picture


def _bend(face: Pixels, rng: np.random.Generator) -> Pixels:
    """Turned by up to 4 degrees, moved by up to 5 pixels, and bent by a smooth field of up to some 10 pixels."""
    matrix = cv2.getRotationMatrix2D((SIDE / 2, SIDE / 2), rng.uniform(-4, 4), rng.uniform(0.95, 1.05))
    matrix[:, 2] += rng.uniform(-5, 5, 2)
    inverse = cv2.invertAffineTransform(matrix).astype(np.float32)
    points = int(rng.integers(3, 7))
    bend = rng.normal(0, rng.uniform(0, 5), (points, points, 2)).astype(np.float32)
    flow = cv2.resize(bend, (SIDE, SIDE), interpolation=cv2.INTER_CUBIC)
    y, x = np.mgrid[:SIDE, :SIDE].astype(np.float32)
    map_x = inverse[0, 0] * x + inverse[0, 1] * y + inverse[0, 2] + flow[..., 0]
    map_y = inverse[1, 0] * x + inverse[1, 1] * y + inverse[1, 2] + flow[..., 1]
    bent = cv2.remap(
        np.ascontiguousarray(face), map_x, map_y, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(bent, np.uint8)


def _stack(pictures: list[Pixels]) -> Tensor:
    return torch.from_numpy(np.stack(pictures)).permute(0, 3, 1, 2)
