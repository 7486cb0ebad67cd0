"""Which workers are there: each announces itself with a time to live, and is absent once that has run out."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class WorkerInfo:
    """A worker that can take jobs. `provider` is the onnxruntime provider that runs; `started_at` unix seconds."""

    name: str
    models: tuple[str, ...]
    provider: str
    started_at: float
