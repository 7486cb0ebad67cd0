"""Where training runs: one process, or one process a GPU under ``accelerate launch``.

    accelerate launch --multi_gpu --num_processes 4 -m refstar_model.cli train refstar --out runs/refstar

Gradients are averaged by hand after the backward pass and not by DistributedDataParallel, which wants exactly one
forward call a step: a step here calls parts of a module, calls it twice (cycle), or has a second network. A net of a
few million parameters costs one all-reduce of some 17 MB.
"""

import os
from typing import Any

import torch
from torch import nn


class Processes:
    """``count`` processes, of which this one is ``rank`` and works on ``device``."""

    def __init__(self) -> None:
        self.count = int(os.environ.get("WORLD_SIZE", "1"))
        self.rank = 0
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._accelerator: Any = None
        if self.count > 1:
            from accelerate import Accelerator

            self._accelerator = Accelerator(cpu=self.device.type == "cpu")
            self.rank, self.device = self._accelerator.process_index, self._accelerator.device

    @property
    def first(self) -> bool:
        """Whether this is the one that writes files and judges."""
        return self.rank == 0

    def share(self, module: nn.Module) -> None:
        """Bring the first process's weights to all of them."""
        if self._accelerator is None:
            return
        from accelerate.utils import broadcast

        with torch.no_grad():
            for value in module.state_dict().values():
                value.copy_(broadcast(value.contiguous()))

    def average_gradients(self, module: nn.Module) -> None:
        """Replace every gradient by the mean over the processes; a missing one counts as zero."""
        if self._accelerator is None:
            return
        parameters = [p for p in module.parameters() if p.requires_grad]
        grads = [torch.zeros_like(p) if p.grad is None else p.grad for p in parameters]
        flat = self._accelerator.reduce(torch.cat([g.reshape(-1) for g in grads]), "mean")
        for parameter, grad, mean in zip(
            parameters, grads, flat.split([g.numel() for g in grads]), strict=True
        ):
            parameter.grad = mean.reshape(grad.shape).clone()

    def any(self, flag: bool) -> bool:
        """Whether the flag is set in any process: they must leave a loop together."""
        if self._accelerator is None:
            return flag
        return bool(self._accelerator.reduce(torch.tensor(float(flag), device=self.device), "sum"))
