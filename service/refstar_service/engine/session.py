"""onnxruntime sessions: one loaded graph, and proof that it runs where it was asked to."""

import ctypes
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from refstar_service.engine.binding import Binding, element_type
from refstar_service.engine.cores import available_cpus
from refstar_service.engine.cuda import Driver, page_aligned
from refstar_service.engine.errors import ProviderError
from refstar_service.engine.memory import Memory
from refstar_service.engine.provider import (
    GpuOptions,
    Profile,
    Provider,
    provider_entries,
    refuse_cpu_work,
)


class Session:
    """One loaded graph. ``run`` may be called from several threads at a time."""

    def __init__(
        self,
        path: Path,
        provider: Provider,
        *,
        threads: int = 0,
        gpu: GpuOptions = GpuOptions(),  # noqa: B008  a frozen value
        profile: Profile | None = None,
    ) -> None:
        """Load ``path`` on ``provider``; ``threads`` 0 = all cores this process may use.

        ``profile``: the shapes that will come, for TensorRT.

        Raises ProviderError when the provider is not in this build of onnxruntime or does not take the graph.
        """
        check_built_in(provider)
        wanted = provider.full_name
        on_cpu = provider is Provider.CPU
        options = ort.SessionOptions()
        options.log_severity_level = 3
        # Spinning threads would take the cores that decode and encode need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.intra_op_num_threads = (threads or available_cpus()) if on_cpu else 1
        if on_cpu:
            # One arena for all sessions, whose runs hardly ever need their most at the same moment, and no pattern, for
            # which each run would keep a block in one piece: together a third less memory, and no slower.
            _share_arena()
            options.add_session_config_entry("session.use_env_allocators", "1")
            options.enable_mem_pattern = False
            # Values of a run get their memory from the arena and give it back after their last use. To plan ahead which
            # takes over whose would save none of it, and is most of what it takes to load a graph of 2,000 nodes.
            options.enable_mem_reuse = False
        self.memory = Memory()
        if not on_cpu:
            self.memory = _use_pinned_memory()
            options.add_session_config_entry("session.record_ep_graph_assignment_info", "1")
            options.add_session_config_entry("session.use_device_allocator_for_initializers", "1")
            ort.preload_dlls()
        if gpu.engines is not None:
            gpu.engines.mkdir(parents=True, exist_ok=True)
        entries = provider_entries(provider, gpu, profile=profile)
        try:
            self._session = ort.InferenceSession(str(path), options, providers=entries)
        except Exception as error:  # onnxruntime has no exception base of its own
            if on_cpu:
                raise
            raise ProviderError(f"{wanted} does not run {path.name}: {error}") from error
        # A build with CUDA lists it even where there is no GPU, and then runs on the CPU: ask the session itself.
        running = self._session.get_providers()[0]
        if running != wanted:
            raise ProviderError(f"{wanted} was asked for, but {path.name} would run on {running}")
        if not on_cpu:
            refuse_cpu_work(path.name, _list_assignments(self._session), provider)
        self._graphs = not on_cpu and gpu.graphs
        self.inputs: dict[str, Sequence[Any]] = {i.name: i.shape for i in self._session.get_inputs()}
        self.outputs: list[str] = [o.name for o in self._session.get_outputs()]
        self._types = {i.name: element_type(i.type) for i in self._session.get_inputs()}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """All outputs by name, for inputs of whatever shape."""
        return dict(zip(self.outputs, self._session.run(self.outputs, dict(inputs)), strict=True))

    def bind(self, shapes: Mapping[str, tuple[int, ...]], graph: int) -> Binding:
        """For many runs with inputs of these shapes. ``graph``: a number that no other binding has."""
        return Binding(self._session, shapes, self._types, self.memory, graph if self._graphs else None)

    def dtype(self, name: str) -> np.dtype[Any]:
        """Element type of an input."""
        return self._types[name]


def check_built_in(provider: Provider) -> None:
    """Raises ProviderError when this build of onnxruntime does not have it."""
    built_in = ort.get_available_providers()
    if provider.full_name not in built_in:
        raise ProviderError(
            f"{provider.full_name} was asked for, this onnxruntime has {', '.join(built_in)}; "
            "install the extra `gpu` instead of `cpu`, or set the provider to cpu"
        )


def input_shapes(path: Path) -> dict[str, Sequence[Any]]:
    """What a graph takes, by name; dimensions that are open are names. Nothing is made ready to run."""
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = 1
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_mem_reuse = False
    session = ort.InferenceSession(str(path), options, providers=[Provider.CPU.full_name])
    return {i.name: i.shape for i in session.get_inputs()}


def runtime_label() -> str:
    """The libraries that an engine is built with, as far as their version decides whether it can be loaded."""
    return f"onnxruntime{ort.__version__}"


def give_back_memory() -> None:
    """Give the system what is free: to make the sessions of three models leaves some 100 MiB with the process.

    Takes a tenth of a second. Nothing happens where the C library is not glibc.
    """
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)


@lru_cache(1)
def driver() -> Driver:
    """Of the GPU; raises ProviderError."""
    return Driver()


@lru_cache(1)
def _share_arena() -> None:
    """The memory on the CPU of all sessions that ask for it."""
    place = ort.OrtMemoryInfo("Cpu", ort.OrtAllocatorType.ORT_ARENA_ALLOCATOR, 0, ort.OrtMemType.DEFAULT)
    ort.create_and_register_allocator(place, ort.OrtArenaCfg({"max_mem": 0}))


def _use_pinned_memory() -> Memory:
    gpu = driver()

    def host(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        array = page_aligned(shape, dtype)
        gpu.pin(array)
        return array

    return Memory("cuda", apart=True, host=host, free=gpu.unpin, put=gpu.put, get=gpu.get)


def _list_assignments(session: ort.InferenceSession) -> dict[str, list[str]]:
    """By provider, the operators of the graph that it was given."""
    assigned: dict[str, list[str]] = {}
    for part in session.get_provider_graph_assignment_info():
        assigned.setdefault(part.ep_name, []).extend(node.op_type for node in part.get_nodes())
    return assigned
