"""The model and the detector, ready to restore one picture after the other."""

import time
from collections.abc import Callable, Sequence

import cv2

from refstar_service.app.loading import gpu_options
from refstar_service.app.restore.report import PictureReport
from refstar_service.engine.cores import thread_budget
from refstar_service.engine.feature_cache import FeatureCache
from refstar_service.engine.manifest import ModelManifest
from refstar_service.engine.provider import Precision, Provider
from refstar_service.engine.restorer import Restorer
from refstar_service.faces import detect
from refstar_service.images import EncodedPicture, ImageLimits
from refstar_service.restoration.knobs import Knobs
from refstar_service.restoration.references import ReferenceMemory
from refstar_service.restoration.steps import Model, Viewer, compose, prepare
from refstar_service.restoration.upload import Upload
from refstar_service.settings import Settings

#: One picture through all the steps: the result, and the selection picture if it is wanted and there is one.
Restore = Callable[[Upload, Knobs, PictureReport], tuple[EncodedPicture, EncodedPicture | None]]


def load_restore(
    settings: Settings,
    manifest: ModelManifest,
    knobs: Knobs,
    references: Sequence[Upload],
    limits: ImageLimits,
    *,
    selection: bool,
) -> Restore:
    """Raises EngineError."""
    provider = Provider(settings.provider)
    budget = thread_budget(settings.threads, on_cpu=provider is Provider.CPU)
    cv2.setNumThreads(budget.opencv)
    detector = None
    if not knobs.aligned:
        detector = detect.load_detector(settings.detector_models, settings.detector, budget.detector)
    restorer = Restorer(
        manifest,
        provider,
        threads=budget.model,
        max_batch=1,
        cache=FeatureCache(settings.feature_cache_bytes),
        precision=Precision(settings.precision),
        gpu=gpu_options(settings),
    )
    model = Model.of(manifest, restorer)
    # Of the references the model keeps the features and the viewer what it saw: they are looked at once for a folder.
    viewer = Viewer(detector, ReferenceMemory(), limits, settings.stranger_below)

    def restore(
        image: Upload, knobs: Knobs, entry: PictureReport
    ) -> tuple[EncodedPicture, EncodedPicture | None]:
        prepared = prepare(image, references, knobs, model, viewer)
        start = time.monotonic()
        faces = restorer.restore(prepared.tasks)
        infer = time.monotonic() - start
        done = compose(prepared, faces, selection=selection)
        timings = prepared.timings | {"infer": infer} | done.timings
        entry.timings = {stage: round(seconds, 4) for stage, seconds in timings.items()}
        entry.faces, entry.references = done.faces, done.references
        return done.result, done.selection

    return restore
