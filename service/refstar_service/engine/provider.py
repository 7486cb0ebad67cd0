"""What runs a graph, and how it is told to: onnxruntime's providers and their options, as plain values."""

import hashlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from refstar_service.engine.errors import ProviderError

Shape = tuple[int, ...]
Entry = tuple[str, dict[str, str]]


class Provider(StrEnum):
    CPU = "cpu"
    CUDA = "cuda"
    TENSORRT = "tensorrt"

    @property
    def full_name(self) -> str:
        """As onnxruntime calls it."""
        return _NAMES[self]


_NAMES = {
    Provider.CPU: "CPUExecutionProvider",
    Provider.CUDA: "CUDAExecutionProvider",
    Provider.TENSORRT: "TensorrtExecutionProvider",
}


class Precision(StrEnum):
    """Which of a folder's graphs run. ``fp32`` is the model as it was trained; a folder may bring others."""

    FP32 = "fp32"
    FP16 = "fp16"
    INT8 = "int8"

    def graph(self, name: str) -> str:
        """The manifest's name for a graph in this precision: ``restore``, ``restore_fp16``."""
        return name if self is Precision.FP32 else f"{name}_{self}"


@dataclass(frozen=True)
class GpuOptions:
    """What there is to choose on a GPU; a CPU heeds none of it."""

    graphs: bool = False  # replay captured launches: one CUDA graph per shape
    nhwc: bool = False  # convolutions with channels last
    tf32: bool = True  # products of fp32 in tensor cores, 10 bits of mantissa
    memory_bytes: int = 0  # most that onnxruntime takes; 0: what there is
    engines: Path | None = None  # folder for what TensorRT builds


@dataclass(frozen=True)
class Profile:
    """Shapes that TensorRT builds one engine for, by input. One outside of them would build another, for a minute."""

    least: Mapping[str, Shape]
    usual: Mapping[str, Shape]
    most: Mapping[str, Shape]


def provider_entries(provider: Provider, gpu: GpuOptions, *, profile: Profile | None = None) -> list[Entry]:
    """onnxruntime's ``providers``. The CPU is never listed beside another one: that would make it a silent fallback."""
    match provider:
        case Provider.CPU:
            return [(provider.full_name, {})]
        case Provider.CUDA:
            return [(provider.full_name, _cuda(gpu, graphs=gpu.graphs))]
        case Provider.TENSORRT:
            # What TensorRT does not take, such as a node or two between its engines, stays on the GPU.
            rest = (Provider.CUDA.full_name, _cuda(gpu, graphs=False))
            return [(provider.full_name, _tensorrt(gpu, profile)), rest]


def _cuda(gpu: GpuOptions, *, graphs: bool) -> dict[str, str]:
    options = {
        "device_id": "0",
        # The default search costs up to a second per new shape and ends at the same speed.
        "cudnn_conv_algo_search": "HEURISTIC",
        "cudnn_conv_use_max_workspace": "1",
        # Shapes are few and fixed, so doubling the arena at each step would only take what nobody uses.
        "arena_extend_strategy": "kSameAsRequested",
        "use_tf32": _flag(gpu.tf32),
        "prefer_nhwc": _flag(gpu.nhwc),
        "enable_cuda_graph": _flag(graphs),
    }
    return options | ({"gpu_mem_limit": str(gpu.memory_bytes)} if gpu.memory_bytes else {})


def _tensorrt(gpu: GpuOptions, profile: Profile | None) -> dict[str, str]:
    options = {
        "device_id": "0",
        # Then it obeys the types in the graph, fp16 or fp32. With it, TensorRT chooses types itself, and norms, softmax
        # and the places where a reference is sampled need their fp32.
        "trt_fp16_enable": "0",
        "trt_context_memory_sharing_enable": "1",
        "trt_cuda_graph_enable": _flag(gpu.graphs),
    }
    if gpu.engines is not None:
        folder = str(gpu.engines)
        options |= {"trt_engine_cache_enable": "1", "trt_engine_cache_path": folder}
        options |= {"trt_timing_cache_enable": "1", "trt_timing_cache_path": folder}
    if profile is not None:
        options |= {
            "trt_profile_min_shapes": _shapes(profile.least),
            "trt_profile_opt_shapes": _shapes(profile.usual),
            "trt_profile_max_shapes": _shapes(profile.most),
        }
    return options


def _flag(on: bool) -> str:
    return "1" if on else "0"


def _shapes(shapes: Mapping[str, Shape]) -> str:
    return ",".join(f"{name}:{'x'.join(map(str, shape))}" for name, shape in shapes.items())


#: What onnxruntime moves to the CPU on purpose: sums over shapes, a few integers each.
_SHAPE_OPS = frozenset(
    {
        "Shape",
        "Size",
        "Gather",
        "Concat",
        "Slice",
        "Squeeze",
        "Unsqueeze",
        "Cast",
        "Constant",
        "ConstantOfShape",
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Equal",
        "Where",
        "Range",
        "Reshape",
    }
)


def refuse_cpu_work(graph: str, assigned: Mapping[str, Sequence[str]], provider: Provider) -> None:
    """Raises ProviderError when a graph's work would be done elsewhere than on ``provider``.

    ``assigned``: by the provider's full name, the operators that it was given.
    """
    if not assigned.get(provider.full_name):
        raise ProviderError(f"{provider.full_name} takes no part of {graph}")
    strays = sorted(set(assigned.get(Provider.CPU.full_name, ())) - _SHAPE_OPS)
    if provider is not Provider.CPU and strays:
        raise ProviderError(
            f"{provider.full_name} does not take all of {graph}: {', '.join(strays)} would run on the CPU"
        )


def engine_folder(base: Path, hardware: str, runtime: str, graph_sha256: str, profile: Profile) -> Path:
    """Where the engines of one graph lie.

    An engine fits the GPU, the libraries, the graph and the shapes that it was built for: whatever of them changes,
    others are built instead. ``hardware`` and ``runtime`` name GPU and libraries.
    """
    machine = "-".join(re.sub(r"[^A-Za-z0-9._]+", "_", part) for part in (hardware, runtime))
    shapes = hashlib.sha256(_shapes(profile.most).encode()).hexdigest()
    return base / machine / f"{graph_sha256[:16]}-{shapes[:8]}"
