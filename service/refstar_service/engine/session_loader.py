"""From a model folder to loaded sessions: which of its graphs, and for TensorRT which shapes and which folder."""

import logging
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any
from weakref import WeakValueDictionary

from refstar_service.engine.buckets import bucket
from refstar_service.engine.cuda import tensorrt_version
from refstar_service.engine.errors import ModelError
from refstar_service.engine.manifest import MANIFEST, ModelManifest
from refstar_service.engine.provider import GpuOptions, Precision, Profile, Provider, engine_folder
from refstar_service.engine.session import (
    Session,
    check_built_in,
    driver,
    input_shapes,
    runtime_label,
)

log = logging.getLogger(__name__)

#: Inputs of a restoring graph, and outputs of an encoding one, that begin so are of references.
FEATURES = "features_"


class SharedSessions:
    """Sessions of models that have a graph in common: on a CPU it is loaded once for all of them. Thread-safe.

    A session goes when the last model does that runs it.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._making: dict[tuple[str, int], threading.Lock] = {}
        self._made: WeakValueDictionary[tuple[str, int], Session] = WeakValueDictionary()

    def get(self, identity: str, threads: int, make: Callable[[], Session]) -> Session:
        """That of the graph of this ``identity`` (what it computes), with so many threads. Raises as ``make`` does."""
        key = identity, threads
        with self._lock:
            making = self._making.setdefault(key, threading.Lock())
        with making:
            session = self._made.get(key)
            if session is None:
                session = self._made[key] = make()
            return session


@dataclass(frozen=True)
class SessionLoader:
    """``max_batch``: most faces in an inference, a power of two."""

    manifest: ModelManifest
    provider: Provider
    precision: Precision
    gpu: GpuOptions
    threads: int
    max_batch: int
    shared: SharedSessions

    def graph(self, name: str) -> str:
        """The manifest's name for a graph in this precision.

        References may be encoded in fp32 whatever the rest is in: it is done once, and their features are compared.
        """
        wanted = self.precision.graph(name)
        return wanted if wanted in self.manifest.graphs else name

    def load(self, name: str) -> Session:
        """Raises ModelError or ProviderError."""
        graph = self.graph(name)
        if self.provider is Provider.CPU:
            session = self.shared.get(
                self.manifest.identity(graph), self.threads, lambda: self._make(name, graph)
            )
        else:  # a session captures the runs of one model
            session = self._make(name, graph)
        _check(self.manifest, graph, session.inputs, session.outputs)
        return session

    def _make(self, name: str, graph: str) -> Session:
        check_built_in(self.provider)
        gpu, profile = self.gpu, None
        if self.provider is Provider.TENSORRT:
            profile = profile_of(
                input_shapes(self.manifest.path(graph)),
                1 if name == "encode_references" else self.max_batch,
                bucket(max(1, self.manifest.max_references)),
            )
            if gpu.engines is not None:
                runtime = f"{runtime_label()}-tensorrt{tensorrt_version()}"
                identity = self.manifest.identity(graph)
                hardware = driver().gpu().label
                gpu = replace(gpu, engines=engine_folder(gpu.engines, hardware, runtime, identity, profile))
        return Session(
            self.manifest.path(graph), self.provider, threads=self.threads, gpu=gpu, profile=profile
        )


def choose_precision(manifest: ModelManifest, wanted: Precision) -> Precision:
    """The one that is wanted, else fp32, which every folder brings."""
    if wanted.graph("restore") in manifest.graphs:
        return wanted
    log.warning("%s has no graph %s: it runs in fp32", manifest.label, wanted.graph("restore"))
    return Precision.FP32


def _check(manifest: ModelManifest, graph: str, inputs: Collection[str], outputs: Collection[str]) -> None:
    """Raises ModelError for a graph that is not as described, or has other inputs and outputs than its kind."""
    where = f"{manifest.path(graph)}: the graph `{graph}`"
    described = manifest.graphs[graph].inputs
    if described and set(described) != set(inputs):
        raise ModelError(
            f"{where} has the inputs {_list_names(inputs)}, but {MANIFEST} says {_list_names(described)}"
        )
    encodes = graph.startswith("encode_references")
    known = {"references"} if encodes else {"low_quality", "fidelity", "reference_weight", "gate_strength"}
    features = {name for name in inputs if name.startswith(FEATURES) and not encodes}
    if unknown := set(inputs) - known - features:
        raise ModelError(f"{where} has inputs that nothing here fills: {_list_names(unknown)}")
    if bool(features) != ("reference_weight" in inputs):
        raise ModelError(f"{where} needs both `reference_weight` and inputs `{FEATURES}...`, or neither")
    needed = {"restored", "finite"} | ({"same_person", "likeness"} if "gate_strength" in inputs else set())
    if missing := set() if encodes else needed - set(outputs):
        raise ModelError(f"{where} lacks the outputs {_list_names(missing)}")


def _list_names(names: Collection[str]) -> str:
    return ", ".join(sorted(names))


def profile_of(inputs: Mapping[str, Sequence[Any]], rows: int, references: int) -> Profile:
    """From one face with one reference to ``rows`` faces with ``references`` each; full batches with one are usual.

    ``inputs``: dimensions by name of the input. Open ones are the first, faces, and the second, references.
    """

    def sized(count: int, seen: int) -> dict[str, tuple[int, ...]]:
        return {
            name: tuple(
                d if isinstance(d, int) else (count, seen)[place] for place, d in enumerate(dimensions)
            )
            for name, dimensions in inputs.items()
        }

    return Profile(least=sized(1, 1), usual=sized(rows, 1), most=sized(rows, references))
