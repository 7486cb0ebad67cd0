"""The model as the worker has it, in this process: batches on a GPU, faces side by side on a CPU."""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
from refstar_service.engine.cores import ThreadBudget, thread_budget
from refstar_service.engine.feature_cache import FeatureCache
from refstar_service.engine.manifest import load_manifest
from refstar_service.engine.provider import Provider
from refstar_service.engine.restorer import FaceTask, Restorer
from refstar_service.engine.staged import RestoredFace
from refstar_service.settings import Settings


class Restoring:
    """A warm restorer, and the worker's way to share its faces out."""

    def __init__(self, model: Path, provider: Provider, settings: Settings) -> None:
        self.budget: ThreadBudget = thread_budget(settings.threads, on_cpu=provider is Provider.CPU)
        cv2.setNumThreads(self.budget.opencv)
        self.together = self.budget.faces or settings.max_batch
        self.restorer = Restorer(
            load_manifest(model),
            provider,
            threads=self.budget.model,
            max_batch=self.together,
            at_once=self.budget.inferences,
            cache=FeatureCache(settings.feature_cache_bytes),
        )
        self.restorer.warm_up()
        self._threads = ThreadPoolExecutor(self.budget.inferences)

    def restore(self, tasks: Sequence[FaceTask]) -> list[RestoredFace]:
        """All of them, in order."""
        rounds = [tasks[first : first + self.together] for first in range(0, len(tasks), self.together)]
        return [face for faces in self._threads.map(self.restorer.restore, rounds) for face in faces]
