"""Samples from processes of their own to the device that trains."""

from collections.abc import Iterator
from typing import Any, TypeVar

import torch
from torch.utils.data import DataLoader, IterableDataset

from refstar_model.data.batch import TensorBatch

B = TypeVar("B", bound=TensorBatch)


def open_loader(samples: IterableDataset[B], loaders: int, device: torch.device) -> Iterator[B]:
    """Batches of ``samples`` on the device, drawn by ``loaders`` processes; 0: by this one."""
    apart: dict[str, Any] = {}
    if loaders:
        # Spawned, not forked: a child forked from a process whose OpenCV has started threads hangs in its first warp.
        apart = {"prefetch_factor": 4, "multiprocessing_context": "spawn"}
    loaded: Iterator[B] = iter(
        DataLoader(samples, batch_size=None, num_workers=loaders, pin_memory=device.type == "cuda", **apart)
    )
    return (batch.to(device) for batch in loaded)
