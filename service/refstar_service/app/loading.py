"""What a worker loads: every model on its provider, warmed up, and the detector. For `refstar worker` it begins in a
thread before all else is imported, since onnxruntime holds no lock of Python's while it makes its sessions."""

import logging
import time
from collections.abc import Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass

import cv2

from refstar_service.app.installed import installed_models
from refstar_service.engine.bindings import Turns
from refstar_service.engine.cores import ThreadBudget, thread_budget
from refstar_service.engine.feature_cache import FeatureCache
from refstar_service.engine.manifest import ModelManifest
from refstar_service.engine.provider import GpuOptions, Precision, Provider
from refstar_service.engine.restorer import Restorer
from refstar_service.engine.session import give_back_memory
from refstar_service.engine.session_loader import SharedSessions
from refstar_service.faces.detect import load_detector
from refstar_service.faces.face import FaceDetector
from refstar_service.settings import Settings

log = logging.getLogger("refstar")


@dataclass(frozen=True, eq=False)
class LoadedModels:
    provider: Provider
    budget: ThreadBudget
    detector: FaceDetector
    restorers: Mapping[str, tuple[ModelManifest, Restorer]]  # by NAME@VERSION
    defaults: Mapping[str, str]  # which of them a plain name means


def begin_loading(settings: Settings) -> "Future[LoadedModels]":
    """`load` in a thread of its own."""
    threads = ThreadPoolExecutor(1, "load")
    loading = threads.submit(load, settings)
    threads.shutdown(wait=False)
    return loading


def load(settings: Settings) -> LoadedModels:
    """Raises ModelError or ProviderError."""
    began = time.monotonic()
    provider = Provider(settings.provider)
    on_cpu = provider is Provider.CPU
    budget = thread_budget(settings.threads, on_cpu=on_cpu, faces=settings.faces_per_inference)
    cv2.setNumThreads(budget.opencv)
    turns, sessions = Turns(budget.inferences), SharedSessions()
    # First, because it is quick: a wrong path is not found out after minutes of tuning.
    detector = load_detector(settings.detector_models, settings.detector, budget.detector)
    cache = FeatureCache(settings.feature_cache_bytes)
    models = installed_models(settings)

    def load_one(manifest: ModelManifest) -> Restorer:
        restorer = Restorer(
            manifest,
            provider,
            threads=budget.model,
            max_batch=budget.faces or settings.max_batch,
            at_once=budget.inferences,
            cache=cache,
            precision=Precision(settings.precision),
            gpu=gpu_options(settings),
            turns=turns,
            sessions=sessions,
        )
        restorer.warm_up()
        return restorer

    manifests = models.versions.values()
    # On a CPU, one thread makes a graph ready. On a GPU, models tuned at the same time would disturb each other, and
    # one that fails is found out before the next is tuned.
    with ThreadPoolExecutor(budget.model, "load") as threads:
        loaded = list(threads.map(load_one, manifests) if on_cpu else map(load_one, manifests))
    restorers = dict(zip(models.versions, zip(manifests, loaded, strict=True), strict=True))
    give_back_memory()
    names, took = ", ".join(restorers), time.monotonic() - began
    log.info("loaded %s on %s, and %s for faces, in %.1f s", names, provider, detector.label, took)
    return LoadedModels(provider, budget, detector, restorers, models.defaults)


def gpu_options(settings: Settings) -> GpuOptions:
    return GpuOptions(
        graphs=settings.gpu_graphs,
        nhwc=settings.gpu_nhwc,
        tf32=settings.gpu_tf32,
        memory_bytes=settings.gpu_memory_mb * 2**20,
        engines=settings.data_dir / "engines" if settings.provider == "tensorrt" else None,
    )
