"""The little that NVIDIA's driver itself must be asked: what the GPU is, and for memory that its copies use directly.

The driver's library has the same name and the same calls on every system with a GPU, whatever CUDA there is beside it.
"""

import ctypes
import logging
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refstar_service.engine.errors import ProviderError

log = logging.getLogger(__name__)

LIBRARY = "libcuda.so.1"
_MAJOR, _MINOR = 75, 76  # CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_*
_PORTABLE = 1  # pinned for every context of the process, onnxruntime's among them
_ALREADY_PINNED = 712


@dataclass(frozen=True)
class Gpu:
    name: str
    capability: tuple[int, int]
    driver: int  # the newest CUDA that it runs, 13020 for 13.2

    @property
    def label(self) -> str:
        return f"{self.name}-sm{self.capability[0]}{self.capability[1]}-driver{self.driver}"


class Driver:
    """The first GPU that this process sees. Made once for a process, in any thread."""

    def __init__(self, library: Any = None) -> None:
        """Raises ProviderError where there is no driver or no GPU. ``library``: instead of the system's."""
        try:
            self._library = library or ctypes.CDLL(LIBRARY)
        except OSError as error:
            raise ProviderError(
                f"{LIBRARY} is not here, so no NVIDIA GPU can be used: start the container with --gpus, or install the "
                "driver, or set the provider to cpu"
            ) from error
        self._call("cuInit", 0)
        device = ctypes.c_int()
        self._call("cuDeviceGet", ctypes.byref(device), 0)
        self._device = device.value
        context = ctypes.c_void_p()
        # The one that CUDA's runtime, and with it onnxruntime, uses.
        self._call("cuDevicePrimaryCtxRetain", ctypes.byref(context), device)
        self._context = context

    def gpu(self) -> Gpu:
        name = ctypes.create_string_buffer(256)
        self._call("cuDeviceGetName", name, len(name), self._device)
        numbers = []
        for attribute in (_MAJOR, _MINOR):
            number = ctypes.c_int()
            self._call("cuDeviceGetAttribute", ctypes.byref(number), attribute, self._device)
            numbers.append(number.value)
        version = ctypes.c_int()
        self._call("cuDriverGetVersion", ctypes.byref(version))
        return Gpu(name.value.decode(errors="replace"), (numbers[0], numbers[1]), version.value)

    def pin(self, array: NDArray[Any]) -> bool:
        """Lock an array's memory, so that the GPU fetches it while the CPU does something else.

        False where the system does not let it: then copies are slower, nothing else. ``unpin`` it before it goes.
        """
        self._call("cuCtxSetCurrent", self._context)
        status = self._status(
            "cuMemHostRegister_v2", _address(array), ctypes.c_size_t(array.nbytes), _PORTABLE
        )
        if status not in (0, _ALREADY_PINNED):
            log.warning("%d bytes cannot be pinned (CUDA error %d): copies are slower", array.nbytes, status)
        return status == 0

    def unpin(self, array: NDArray[Any]) -> None:
        self._call("cuCtxSetCurrent", self._context)
        self._status("cuMemHostUnregister", _address(array))

    def put(self, address: int, array: NDArray[Any]) -> None:
        """Copy a contiguous array to an address on the GPU, while other threads and what is computed go on."""
        self._copy("cuMemcpyHtoD_v2", ctypes.c_uint64(address), _address(array), array.nbytes)

    def get(self, array: NDArray[Any], address: int) -> None:
        """Fill a contiguous array from an address on the GPU."""
        self._copy("cuMemcpyDtoH_v2", _address(array), ctypes.c_uint64(address), array.nbytes)

    def _copy(self, name: str, target: Any, source: Any, size: int) -> None:
        self._call("cuCtxSetCurrent", self._context)
        status = self._status(name, target, source, ctypes.c_size_t(size))
        if status:
            raise RuntimeError(f"{name} of {size} bytes failed: CUDA error {status}")

    def _call(self, name: str, *arguments: Any) -> None:
        status = self._status(name, *arguments)
        if status:
            raise ProviderError(f"the GPU's driver refused {name}: CUDA error {status}")

    def _status(self, name: str, *arguments: Any) -> int:
        return int(getattr(self._library, name)(*arguments))


def page_aligned(shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
    """An array that shares its pages with nothing else: pages are what is pinned."""
    page = 4096
    size = int(np.prod(shape, dtype=np.int64)) * dtype.itemsize
    block = np.empty(-(-max(size, 1) // page) * page + page, np.uint8)
    start = -block.ctypes.data % page
    return block[start : start + size].view(dtype).reshape(shape)


def _address(array: NDArray[Any]) -> ctypes.c_void_p:
    return ctypes.c_void_p(array.ctypes.data)


def tensorrt_version() -> str:
    """Of the library that engines are built with: they can be loaded by no other."""
    for name in ("libnvinfer.so.11", "libnvinfer.so.10"):
        try:
            return str(ctypes.CDLL(name).getInferLibVersion())
        except (OSError, AttributeError):
            continue
    raise ProviderError(
        "TensorRT's libraries are not here: pip install tensorrt-cu13, or set the provider to cuda"
    )
