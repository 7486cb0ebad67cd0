"""Where training runs: one process, or several that take every step together: on a CPU, or one a GPU.

    refstar-model train refstar --out runs/refstar --processes 2
    torchrun --nproc-per-node 4 -m refstar_model.cli train refstar --out runs/refstar
    accelerate launch --multi_gpu --num_processes 4 -m refstar_model.cli train refstar --out runs/refstar

All three start processes with RANK, WORLD_SIZE, LOCAL_RANK and MASTER_ADDR in their environment; nothing else is asked.
Two processes of one thread do more on two cores than one of two threads: what a step does between its convolutions is
too short to be shared.

Gradients are averaged by hand after the backward pass and not by DistributedDataParallel, which wants exactly one
forward call a step: a step here calls parts of a module, calls it twice (cycle), or has a second network. A net of a
few million parameters costs one all-reduce of some 25 MB.
"""

import ctypes
import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import timedelta
from importlib import import_module
from types import TracebackType
from typing import NoReturn

import torch
from torch import distributed as group
from torch import nn

from refstar_model.ranks import count_started, read_rank
from refstar_model.training.clock import Clock

#: For which the processes on a CPU wait for each other. A computer that was suspended, or a process that was stopped
#: for other work, goes on where it was; of one that has died its peers hear at once, as its connections close.
LONGEST_PAUSE = timedelta(days=7)

#: Names of glibc's malloc.h: no pieces outside of the heap, bytes that may lie free at its end, bytes that it grows by.
_MMAP_MAX, _TRIM_THRESHOLD, _TOP_PAD = -4, -1, -2


@dataclass(frozen=True)
class Course:
    """Which batches of an endless stream a process takes: number ``start``, then every ``stride``-th, of ``total``.

    ``clock``: that of a run whose schedule follows the time it was given; nobody knows its total.
    """

    start: int = 0
    stride: int = 1
    total: int = 1
    clock: Clock | None = None

    def progress(self, index: int) -> float:
        """How far the run is, 0..1, when batch number ``index`` is drawn."""
        return self.clock.share if self.clock is not None else index / self.total


#: Every batch, in one process.
WHOLE = Course()


class Processes:
    """``count`` processes, of which this one is ``rank`` and works on ``device``.

    Leave them through ``with``, or by ending. When one dies the next exchange fails in all others: they end, and do not
    wait. Raises RuntimeError when there are more processes than GPUs.
    """

    def __init__(self, device: str | None = None) -> None:
        """``device``: ``cpu`` or ``cuda``; a GPU where there is one by default."""
        self.count, self.rank = count_started(), read_rank()
        if device == "cuda" and not torch.cuda.is_available():
            raise RuntimeError("no GPU that this torch can use; leave --device out, or say cpu")
        if torch.cuda.is_available() and device != "cpu":
            local, gpus = int(os.environ.get("LOCAL_RANK", "0")), torch.cuda.device_count()
            if local >= gpus:
                raise RuntimeError(
                    f"process {local} of this machine has no GPU, there are {gpus}: start no more processes than GPUs, "
                    "or hide them all (CUDA_VISIBLE_DEVICES=) to train on the CPU"
                )
            self.device = torch.device("cuda", local)
            torch.cuda.set_device(self.device)
        else:
            self.device = torch.device("cpu")
            _keep_memory()
        if self.count > 1 and not group.is_initialized():
            # Its functions have the group as a default, if it is there when they are loaded (an optimizer loads them):
            # the group then outlives its destruction, and its threads may be found by the end of Python amid freeing a
            # tensor, which aborts the process (pytorch/pytorch#190489).
            import_module("torch.distributed.nn.functional")
            if self.device.type == "cuda":
                group.init_process_group("nccl")
            else:
                group.init_process_group("gloo", timeout=LONGEST_PAUSE)

    def __enter__(self) -> "Processes":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After an error the others may be amid an exchange; what ends it is the end of this process.
        if error is None and group.is_initialized():
            group.destroy_process_group()

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files and judges."""
        return self.rank == 0

    def share(self, module: nn.Module) -> None:
        """Bring the first process's weights to all of them."""
        if self.count == 1:
            return
        with torch.no_grad():
            for value in module.state_dict().values():
                sent = value.contiguous()
                group.broadcast(sent, 0)
                value.copy_(sent)

    def average_gradients(self, module: nn.Module) -> None:
        """Replace every gradient by the mean over the processes; a missing one counts as zero."""
        if self.count == 1:
            return
        for parameter in module.parameters():
            if parameter.requires_grad and parameter.grad is None:
                parameter.grad = torch.zeros_like(parameter)
        grads = [p.grad for p in module.parameters() if p.grad is not None]
        flat = torch.cat([g.reshape(-1) for g in grads])
        group.all_reduce(flat)
        flat /= self.count
        # In place: a gradient keeps the layout of its parameter, which the optimizer's fused step relies on.
        for grad, mean in zip(grads, flat.split([g.numel() for g in grads]), strict=True):
            grad.copy_(mean.reshape(grad.shape))

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process: they must leave a loop together."""
        if self.count == 1:
            return flag
        flags = torch.tensor(float(flag), device=self.device)
        group.all_reduce(flags)
        return bool(flags)

    def mean(self, value: float) -> float:
        """The mean over the processes: what all of them go by must be one number."""
        return average_value(value, self.device) if self.count > 1 else value


def average_value(value: float, device: torch.device) -> float:
    """The mean of a value over the processes that take every step together; the value where there is one."""
    if not group.is_initialized():
        return value
    values = torch.tensor(value, dtype=torch.float64, device=device)
    group.all_reduce(values)
    return float(values) / group.get_world_size()


def _keep_memory() -> None:
    """Let the allocator keep what a step frees; the next step wants the same again.

    By default large pieces go back to the system at once, and come back as pages that it must empty one by one: a
    twelfth of a step. Nothing happens where the C library is not glibc.
    """
    change = getattr(ctypes.CDLL(None), "mallopt", None)
    if change is not None:
        change(_MMAP_MAX, 0)
        change(_TRIM_THRESHOLD, 2**31 - 1)
        change(_TOP_PAD, 2**26)


def launch(count: int, module: str, arguments: Sequence[str]) -> NoReturn:
    """Become the launcher of ``count`` processes of a Python module, each with its share of the cores.

    The launcher ends all when one fails. Tensors lie in large pages, which saves a seventh to a quarter of a step on a
    CPU. Variables that are set keep their values.
    """
    threads = max(1, len(os.sched_getaffinity(0)) // count)
    launcher = ["-m", "torch.distributed.run", "--standalone", "--local-addr", "127.0.0.1"]
    command = [sys.executable, *launcher, "--nproc-per-node", str(count), "-m", module, *arguments]
    sys.stdout.flush()
    ours = {"OMP_NUM_THREADS": str(threads), "THP_MEM_ALLOC_ENABLE": "1"}
    os.execve(sys.executable, command, ours | os.environ)
