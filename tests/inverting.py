"""A restorer in place of the network: small, quick, and its results tell whose input they came from."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import numpy as np
from refstar_service.engine.feature_cache import Features
from refstar_service.engine.restorer import FaceTask, ReferencePicture, RestoredFace


@dataclass
class InvertingLater:
    restorer: "Inverting"
    tasks: Sequence[FaceTask]
    discarded: bool = False

    def compute(self) -> list[RestoredFace]:
        return self.restorer.restore(self.tasks)

    def discard(self) -> None:
        self.discarded = True


class Inverting:
    """Restores by inverting. ``act`` may raise or wait; ``finite`` says of each face whether it came out.

    With ``remembering``, references that were seen once are known from then on. ``encoded``: keys of the references
    that it had to encode, in their order. ``whose`` says whose face it is, of a task with people: the first one's.
    """

    encoder = "inverting-1"

    def __init__(
        self,
        act: Callable[[Sequence[FaceTask]], None] = lambda tasks: None,
        finite: Callable[[FaceTask], bool] = lambda task: True,
        remembering: bool = False,
        whose: Callable[[FaceTask], int | None] = lambda task: task.people[0],
    ) -> None:
        self.act, self.finite, self.remembering, self.whose = act, finite, remembering, whose
        self.batches: list[int] = []
        self.known: dict[str, Features] = {}
        self.encoded: list[str] = []

    def remember(self, key: str, features: Features) -> bool:
        fit = list(features) == ["features"]
        if fit:
            self.known[key] = features
        return fit

    def forget(self, key: str) -> None:
        self.known.pop(key, None)

    def encode(self, pictures: Sequence[ReferencePicture]) -> list[Features]:
        self.encoded += [picture.key for picture in pictures]
        features: list[Features] = [{"features": picture.pixels} for picture in pictures]
        self.known |= {picture.key: one for picture, one in zip(pictures, features, strict=True)}
        return features

    def recall(self, key: str) -> Features | None:
        return self.known.get(key)

    def stage(self, tasks: Sequence[FaceTask]) -> "InvertingLater":
        return InvertingLater(self, tasks)

    def restore(self, tasks: Sequence[FaceTask]) -> list[RestoredFace]:
        self.act(tasks)
        self.batches.append(len(tasks))
        if self.remembering:
            self.encode([r for t in tasks for r in t.references if isinstance(r, ReferencePicture)])
        return [self._restore(task) for task in tasks]

    def _restore(self, task: FaceTask) -> RestoredFace:
        person = self.whose(task) if task.people else None
        given = len(task.references) if len(set(task.people)) < 2 else task.people.count(cast(int, person))
        masks = np.full((given, 4, 4), 51, np.uint8)
        return RestoredFace(255 - task.low_quality, masks, self.finite(task), person)
