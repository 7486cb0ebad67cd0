"""What is asked of the GPU's driver, with one that is only pretended."""

import ctypes
from typing import Any

import numpy as np
import pytest
from refstar_service.engine.cuda import Driver, page_aligned, tensorrt_version
from refstar_service.engine.errors import ProviderError


class PretendedDriver:
    """Answers as the driver does; ``refusing`` names calls that fail, with their error."""

    def __init__(self, **refusing: int) -> None:
        self.refusing = refusing
        self.pinned: dict[int, int] = {}
        self.current: list[Any] = []

    def __getattr__(self, name: str) -> Any:
        return lambda *arguments: self.refusing.get(name) or self.answer(name, *arguments)

    def answer(self, name: str, *arguments: Any) -> int:
        match name:
            case "cuDeviceGetName":
                arguments[0].value = b"NVIDIA H200"
            case "cuDeviceGetAttribute":
                arguments[0]._obj.value = {75: 9, 76: 0}[arguments[1]]
            case "cuDriverGetVersion":
                arguments[0]._obj.value = 13020
            case "cuCtxSetCurrent":
                self.current.append(arguments[0])
            case "cuMemcpyHtoD_v2" | "cuMemcpyDtoH_v2":
                ctypes.memmove(arguments[0].value, arguments[1].value, arguments[2].value)
            case "cuMemHostRegister_v2":
                self.pinned[arguments[0].value] = arguments[1].value
            case "cuMemHostUnregister":
                del self.pinned[arguments[0].value]
        return 0


def test_a_gpu_tells_what_engines_depend_on() -> None:
    assert Driver(PretendedDriver()).gpu().label == "NVIDIA H200-sm90-driver13020"


def test_memory_is_pinned_whole_and_let_go() -> None:
    library = PretendedDriver()
    driver = Driver(library)
    array = page_aligned((2, 3, 5), np.dtype(np.float32))
    assert driver.pin(array)
    assert library.pinned == {array.ctypes.data: array.nbytes}
    assert library.current  # the thread that asks has the context that onnxruntime uses
    driver.unpin(array)
    assert not library.pinned


def test_memory_that_cannot_be_pinned_is_used_as_it_is(caplog: pytest.LogCaptureFixture) -> None:
    driver = Driver(PretendedDriver(cuMemHostRegister_v2=2))
    assert not driver.pin(page_aligned((4,), np.dtype(np.uint8)))
    assert "cannot be pinned (CUDA error 2)" in caplog.text


def test_arrays_are_copied_there_and_back_whole() -> None:
    driver = Driver(PretendedDriver())
    there = np.zeros((3, 5), np.float32)
    here = np.arange(15, dtype=np.float32).reshape(3, 5)
    driver.put(there.ctypes.data, here)
    assert np.array_equal(there, here)
    back = np.zeros_like(here)
    driver.get(back, there.ctypes.data)
    assert np.array_equal(back, here)


def test_a_copy_that_fails_is_an_error_of_the_batch() -> None:
    with pytest.raises(RuntimeError, match="cuMemcpyHtoD_v2 of 4 bytes failed: CUDA error 700"):
        Driver(PretendedDriver(cuMemcpyHtoD_v2=700)).put(0, np.zeros(4, np.uint8))


def test_a_machine_without_a_gpu_is_refused_with_the_reason() -> None:
    with pytest.raises(ProviderError, match="cuInit: CUDA error 100"):
        Driver(PretendedDriver(cuInit=100))


@pytest.mark.parametrize("missing", ["libcuda.so.1", "libnvinfer.so.10"])
def test_a_machine_without_the_libraries_is_refused(monkeypatch: pytest.MonkeyPatch, missing: str) -> None:
    def none(name: str) -> Any:
        raise OSError(name)

    monkeypatch.setattr(ctypes, "CDLL", none)
    with pytest.raises(ProviderError, match="set the provider to"):
        Driver() if "cuda" in missing else tensorrt_version()


def test_arrays_to_be_pinned_share_their_pages_with_nobody() -> None:
    for shape in ((), (1,), (3, 5), (2, 512, 512, 3)):
        array = page_aligned(shape, np.dtype(np.float32))
        assert array.shape == shape
        assert array.flags.c_contiguous
        assert array.ctypes.data % 4096 == 0
        array[...] = 7
