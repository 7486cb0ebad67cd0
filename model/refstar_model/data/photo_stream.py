"""Photographs as they are, batch after batch: what a generator of faces is to draw."""

from collections.abc import Iterator

import cv2
import numpy as np
import torch
from torch import Tensor

from refstar_model.data.photos import DataError, Photo, PhotoSet, PhotoWeights, Pixels
from refstar_model.training.processes import Course


class PhotoStream:
    """Endless batches [N, 3, size, size] uint8 on ``device``, mirrored half of the time.

    Only photographs that are sharp at ``size``: enlarged ones would teach blur. Batch number i depends on the seed and
    i alone. ``held``: all of them lie in the device's memory (0.8 MB each at 512); else each is read when it is drawn.
    """

    def __init__(
        self,
        photos: PhotoSet,
        weights: PhotoWeights,
        size: int,
        batch: int,
        seed: int,
        course: Course,
        device: torch.device,
        held: bool = False,
    ) -> None:
        """Raises DataError where no photograph that has a weight is sharp at ``size``."""
        sharp = [p for p in photos.photos if p.sharp_size >= size]
        if not sharp:
            raise DataError(
                f"none of {len(photos.photos)} photographs is sharp at {size}: take a smaller net"
            )
        chances = weights.draw_chances(sharp)
        self.chosen = [p for p, chance in zip(sharp, chances, strict=True) if chance > 0]
        self.chances = chances[chances > 0]
        self.photos, self.size, self.batch, self.seed = photos, size, batch, seed
        self.course, self.device = course, device
        self.held = torch.stack([self._read(p) for p in self.chosen]) if held else None

    def __iter__(self) -> Iterator[Tensor]:
        index = self.course.start
        while True:
            yield self.draw(index)
            index += self.course.stride

    def draw(self, index: int) -> Tensor:
        """Batch number ``index``."""
        rng = np.random.default_rng([self.seed, index])
        rows = rng.choice(len(self.chosen), self.batch, p=self.chances)
        mirrored = torch.from_numpy(rng.random(self.batch) < 0.5).to(self.device)
        if self.held is None:
            pictures = torch.stack([self._read(self.chosen[row]) for row in rows])
        else:
            pictures = self.held.index_select(0, torch.from_numpy(rows).to(self.device))
        return torch.where(mirrored[:, None, None, None], pictures.flip(-1), pictures)

    def _read(self, photo: Photo) -> Tensor:
        picture: Pixels = self.photos.read_sharpest(photo.file)
        if len(picture) != self.size:
            side = (self.size, self.size)
            picture = np.asarray(cv2.resize(picture, side, interpolation=cv2.INTER_AREA), np.uint8)
        return torch.from_numpy(picture).permute(2, 0, 1).to(self.device)
