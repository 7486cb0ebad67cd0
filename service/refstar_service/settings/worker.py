"""Settings of a worker: what it computes on, and how much it takes at a time."""

import os
import socket
from typing import Literal

from pydantic import Field

from refstar_service.settings.group import MIB, SettingsGroup


def _default_worker_name() -> str:
    return f"{socket.gethostname()}-{os.getpid()}"


class WorkerSettings(SettingsGroup):
    """Name, provider, memory and metrics of a worker."""

    # ---- the worker

    worker_name: str = Field(default_factory=_default_worker_name, min_length=1, max_length=128)
    """Name of this worker in Redis; must be unique. Default: host name and process ID."""

    provider: Literal["cpu", "cuda", "tensorrt"] = "cpu"
    """What runs the models. A worker does not start if the provider is missing; there is no silent fallback.
    `tensorrt` is the fastest, but builds engines for several minutes at the first start."""

    threads: int = Field(0, ge=0)
    """CPU threads for inference, shared by inferences that run side by side. 0: one per available core, according to
    CPU affinity and the cgroup quota. Threads do not spin, so a lower number only helps if others need the cores. A
    GPU worker uses them for the detector only."""

    precision: Literal["fp32", "fp16", "int8"] = "fp32"
    """What the models compute in. `fp16` is for GPUs, where it is faster and takes half the memory; `int8` is for
    CPUs. A model without a graph for it (`restore_fp16`, `restore_int8`) runs in `fp32`; the log and the metric
    `refstar_model_info` say so."""

    stranger_below: float = Field(0.5, ge=0, le=1)
    """With `stranger=refuse`, the `same_person` below which a reference counts as a stranger's, 0 to 1. A higher limit
    also refuses more references of the right person, above all for faces that are hardly recognizable; a lower one lets
    more strangers pass. Read by workers and `refstar restore`."""

    gpu_graphs: bool = False
    """Capture a CUDA graph for each batch size and replay it. This saves launching a thousand small operations one
    by one, which helps small batches, but keeps memory for each size. Measure it on your GPU."""

    gpu_nhwc: bool = False
    """Run convolutions with channels last, on `cuda`. Faster in fp16 on most GPUs, slower on some. Measure it on
    your GPU."""

    gpu_tf32: bool = True
    """Let tensor cores multiply fp32 with 10 bits of mantissa, on `cuda`. `false` is exact, but several times
    slower."""

    gpu_memory_mb: int = Field(0, ge=0)
    """Maximum GPU memory for each graph of a model, in MiB, on `cuda`; 0 means all there is. A batch that does not fit
    is split in half, and the worker continues with smaller batches."""

    max_batch: int = Field(8, ge=1, le=64)
    """Maximum number of jobs that a worker takes at a time. On a GPU, also the most faces in one inference; throughput
    grows up to about 16."""

    faces_per_inference: int = Field(0, ge=0, le=64)
    """Maximum number of faces in one inference. 0: `max_batch` on a GPU and one on a CPU, where more gain nothing with
    the shipped model and take more memory."""

    max_batch_pixels: int = Field(100_000_000, ge=1_000_000)
    """Maximum number of pixels in the pictures and results of one batch. A larger batch is processed in portions, and a
    larger picture on its own. A worker has up to five portions in memory, at 3 to 4 bytes per pixel, and twice that
    while it decodes: 100 million pixels take up to 2 GB. A lower limit makes large photographs slower."""

    feature_cache_bytes: int = Field(256 * MIB, ge=0)
    """Memory for the encoded features of references, for all models together, in bytes. The least recently used are
    dropped first. With 0, every reference of every job is encoded again."""

    worker_metrics_port: int | None = Field(None, ge=0, le=65535)
    """Port for the `/metrics` and `/healthz` of a worker. If unset, there are none. With 0, a free port is chosen
    and logged."""

    worker_metrics_host: str = "127.0.0.1"
    """Address for `worker_metrics_port`. With `0.0.0.0`, Prometheus can connect from another machine, and so can
    anybody else."""
