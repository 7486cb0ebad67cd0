"""onnxruntime sessions: which provider runs a graph, and proof that it does."""

import os
from collections.abc import Mapping, Sequence
from enum import StrEnum
from pathlib import Path
from typing import Any

# Official builds report home, with an id that stays, unless this is set before the import.
os.environ.setdefault("ORT_DISABLE_TELEMETRY", "1")

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from refstar_service.engine.refusal import ProviderUnavailable


class Provider(StrEnum):
    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"


_NAMES = {
    Provider.CPU: "CPUExecutionProvider",
    Provider.CUDA: "CUDAExecutionProvider",
    Provider.TENSORRT: "TensorrtExecutionProvider",
}


def available_cpus() -> int:
    """Cores this process may use: affinity, and the cgroup quota that onnxruntime itself does not read."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    try:
        quota, period = Path("/sys/fs/cgroup/cpu.max").read_text().split()
        if quota != "max":
            cores = min(cores, max(1, round(int(quota) / int(period))))
    except (OSError, ValueError):
        pass  # no cgroup v2 here
    return cores


class Session:
    """One loaded graph. ``run`` may be called from any one thread at a time."""

    def __init__(
        self, path: Path, provider: Provider, *, threads: int = 0, cache: Path | None = None
    ) -> None:
        """Load ``path`` on ``provider``; ``threads`` 0 = all cores this process may use; ``cache`` is a folder for
        TensorRT engines.

        Raises ProviderUnavailable when the provider is not in this build of onnxruntime or does not take the graph.
        """
        wanted = _NAMES[provider]
        if wanted not in ort.get_available_providers():
            raise ProviderUnavailable(
                f"{wanted} was asked for, this onnxruntime has {', '.join(ort.get_available_providers())}; "
                "install the extra `gpu` instead of `cpu`, or set the provider to cpu"
            )
        options = ort.SessionOptions()
        options.log_severity_level = 3
        # Spinning threads would take the cores that decode and encode need.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        if provider is Provider.CPU:
            options.intra_op_num_threads = threads or available_cpus()
        else:
            options.intra_op_num_threads = 1
            options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
            ort.preload_dlls()
        try:
            self._session = ort.InferenceSession(str(path), options, providers=_providers(provider, cache))
        except Exception as error:  # onnxruntime has no exception base of its own
            if provider is Provider.CPU:
                raise
            raise ProviderUnavailable(f"{wanted} does not run {path.name}: {error}") from error
        # A build with CUDA lists it even where there is no GPU, and then runs on the CPU: ask the session itself.
        running = self._session.get_providers()[0]
        if running != wanted:
            raise ProviderUnavailable(f"{wanted} was asked for, but {path.name} would run on {running}")
        self.inputs: dict[str, Sequence[Any]] = {i.name: i.shape for i in self._session.get_inputs()}
        self.outputs: list[str] = [o.name for o in self._session.get_outputs()]
        self._types: dict[str, str] = {i.name: i.type for i in self._session.get_inputs()}

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
        """All outputs by name."""
        return dict(zip(self.outputs, self._session.run(self.outputs, dict(inputs)), strict=True))

    def dtype(self, name: str) -> np.dtype[Any]:
        """Element type of an input."""
        return np.dtype(_DTYPES[self._types[name]])


_DTYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(float16)": np.float16}


def _providers(provider: Provider, cache: Path | None) -> list[tuple[str, dict[str, str]]]:
    # HEURISTIC: the default search costs up to a second per new shape and ends at the same speed.
    cuda = {"cudnn_conv_algo_search": "HEURISTIC", "cudnn_conv_use_max_workspace": "1", "use_tf32": "1"}
    match provider:
        case Provider.CPU:
            return [(_NAMES[Provider.CPU], {})]
        case Provider.CUDA:
            return [(_NAMES[Provider.CUDA], cuda)]
        case Provider.TENSORRT:
            trt = {"trt_engine_cache_enable": "1", "trt_timing_cache_enable": "1"} if cache else {}
            if cache:
                trt |= {"trt_engine_cache_path": str(cache), "trt_timing_cache_path": str(cache)}
            return [(_NAMES[Provider.TENSORRT], trt), (_NAMES[Provider.CUDA], cuda)]
