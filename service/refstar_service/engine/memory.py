"""Where a session's tensors live, and what it looks like when there is no more room."""

import ctypes
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray


def _allocate(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    return np.empty(shape, dtype)


def _leave(array: NDArray[Any]) -> None:
    """Nothing to undo."""


def _put(address: int, array: NDArray[Any]) -> None:
    ctypes.memmove(address, array.ctypes.data, array.nbytes)


def _get(array: NDArray[Any], address: int) -> None:
    ctypes.memmove(array.ctypes.data, address, array.nbytes)


@dataclass(frozen=True)
class Memory:
    """``device`` as onnxruntime names it. ``apart``: what is there is not what the CPU writes and reads, so that inputs
    are uploaded and outputs fetched; else both are the same memory and no copy is made.

    ``host`` makes an array on this side, uninitialized, and ``free`` undoes what is special about it. ``put`` copies
    one to an address there, ``get`` fills one from there; both have copied when they return.
    """

    device: str = "cpu"
    apart: bool = False
    host: Callable[[tuple[int, ...], np.dtype[Any]], NDArray[Any]] = _allocate
    free: Callable[[NDArray[Any]], None] = _leave
    put: Callable[[int, NDArray[Any]], None] = _put
    get: Callable[[NDArray[Any], int], None] = _get


#: onnxruntime has no exception of its own for this; each allocator and library words it in its way.
_SIGNS = (
    "out of memory",
    "failed to allocate memory",
    "available memory of",  # the arena under gpu_mem_limit
    "alloc_failed",  # cuDNN, cuBLAS
    "bad_alloc",
    "bad allocation",
    "outofmemory",  # TensorRT
)


def is_out_of_memory(error: BaseException) -> bool:
    text = str(error).lower()
    return isinstance(error, MemoryError) or any(sign in text for sign in _SIGNS)
