"""Bound buffers: on a CPU, and with a device that is pretended to lie apart, as a GPU's memory does."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from refstar_service.engine.binding import Binding
from refstar_service.engine.bindings import Arrays, Bindings
from refstar_service.engine.memory import Memory
from refstar_service.engine.provider import Provider
from refstar_service.engine.session import Session
from small_model import SIDE, write_small_model

SOON = 10.0  # seconds


class Host:
    """Counts what is allocated on this side and not let go."""

    def __init__(self) -> None:
        self.held: dict[int, NDArray[Any]] = {}

    def make(self, shape: tuple[int, ...], dtype: np.dtype[Any]) -> NDArray[Any]:
        array = np.full(shape, 99).astype(dtype)
        self.held[id(array)] = array
        return array

    def free(self, array: NDArray[Any]) -> None:
        del self.held[id(array)]


@pytest.fixture
def host() -> Host:
    return Host()


@pytest.fixture(params=["one memory", "apart"])
def session(request: pytest.FixtureRequest, tmp_path: Path, host: Host) -> Session:
    write_small_model(tmp_path)
    session = Session(tmp_path / "refstar" / "restore.onnx", Provider.CPU, threads=1)
    session.memory = Memory("cpu", apart=request.param == "apart", host=host.make, free=host.free)
    return session


def shapes(rows: int, references: int = 1) -> dict[str, tuple[int, ...]]:
    return {
        "low_quality": (rows, SIDE, SIDE, 3),
        "features_picture": (rows, references, 3, SIDE, SIDE),
        "reference_weight": (rows, references),
        "fidelity": (rows,),
    }


def values(seed: int, rows: int, references: int = 1) -> dict[str, NDArray[Any]]:
    draw = np.random.default_rng(seed)
    return {
        name: draw.integers(0, 255, shape).astype(np.uint8)
        if name == "low_quality"
        else draw.random(shape, np.float32)
        for name, shape in shapes(rows, references).items()
    }


def restored(bindings: Bindings, given: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    def fill(inputs: Arrays) -> None:
        for name, array in given.items():
            inputs[name][:] = array

    def read(outputs: Arrays) -> dict[str, NDArray[Any]]:
        return {name: array.copy() for name, array in outputs.items()}

    return bindings.run({name: array.shape for name, array in given.items()}, fill, read)


def test_bound_runs_give_what_plain_runs_give_each_time(session: Session) -> None:
    bindings = Bindings(session)
    for seed, rows, references in ((1, 2, 1), (2, 2, 1), (3, 4, 2), (4, 2, 1), (5, 2, 1), (6, 4, 2)):
        given = values(seed, rows, references)
        found, wanted = restored(bindings, given), session.run(given)
        assert found.keys() == wanted.keys()
        for name in wanted:
            assert found[name].dtype == wanted[name].dtype
            assert np.array_equal(found[name], wanted[name])


def test_a_shape_that_comes_again_allocates_nothing(session: Session, host: Host) -> None:
    bindings = Bindings(session)
    restored(bindings, values(1, 2))
    held = set(host.held)
    addresses: set[int] = set()
    for seed in range(3):
        bindings.run(
            shapes(2),
            lambda inputs, seed=seed: [inputs[n].__setitem__(..., a) for n, a in values(seed, 2).items()],
            lambda outputs: addresses.add(outputs["restored"].ctypes.data),
        )
    assert set(host.held) == held
    assert len(addresses) == 1


def test_what_is_kept_is_bounded_and_let_go(session: Session, host: Host) -> None:
    bindings = Bindings(session, kept_bytes=300_000)
    for rows in (1, 2, 4, 1):
        restored(bindings, values(rows, rows))
    assert bindings.idle_bytes <= 300_000
    restored(bindings, values(8, 8))  # larger than all that may be kept: the last one stays
    assert sum(a.nbytes for a in host.held.values()) == bindings.idle_bytes < 1_000_000
    bindings.drop()
    assert bindings.idle_bytes == 0
    assert not host.held


def test_a_run_that_fails_leaves_no_buffers_behind(session: Session, host: Host) -> None:
    bindings = Bindings(session)

    def broken(_: Arrays) -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        bindings.run(shapes(2), lambda _: None, broken)
    assert not host.held
    given = values(3, 2)
    assert np.array_equal(restored(bindings, given)["restored"], session.run(given)["restored"])


@contextmanager
def held_up(monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[threading.Event, threading.Event]]:
    """The first run waits inside for the second event, and sets the first when it is there."""
    inside, go_on = threading.Event(), threading.Event()
    plain = Binding.run
    first = iter([True])

    def run(self: Binding) -> None:
        if next(first, False):
            inside.set()
            assert go_on.wait(SOON)
        plain(self)

    with monkeypatch.context() as patch:
        patch.setattr(Binding, "run", run)
        yield inside, go_on
        go_on.set()


def test_the_next_batch_is_uploaded_while_one_is_computed(
    session: Session, monkeypatch: pytest.MonkeyPatch
) -> None:
    bindings = Bindings(session)
    one, other = values(1, 2), values(2, 2)
    # Both shapes are settled, as after a warm-up: the first runs allocate and have the device to themselves.
    with ThreadPoolExecutor(2) as pool:
        barrier = threading.Barrier(2)
        list(pool.map(lambda v: (barrier.wait(SOON), restored(bindings, v)), (one, other)))
    uploaded = threading.Event()
    plain = Binding.upload

    def upload(self: Binding) -> None:
        plain(self)
        if np.array_equal(self.inputs["low_quality"], other["low_quality"]):
            uploaded.set()

    monkeypatch.setattr(Binding, "upload", upload)
    with ThreadPoolExecutor(2) as pool, held_up(monkeypatch) as (inside, go_on):
        first = pool.submit(restored, bindings, one)
        assert inside.wait(SOON)
        second = pool.submit(restored, bindings, other)
        assert uploaded.wait(SOON)
        assert not first.done()
        assert not second.done()
        go_on.set()
        assert np.array_equal(first.result(SOON)["restored"], session.run(one)["restored"])
        assert np.array_equal(second.result(SOON)["restored"], session.run(other)["restored"])


def test_many_threads_get_their_own_results(session: Session) -> None:
    bindings = Bindings(session, kept_bytes=400_000)
    jobs = [values(seed, 1 + seed % 3, 1 + seed % 2) for seed in range(24)]
    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(lambda given: restored(bindings, given)["restored"], jobs))
    for given, pixels in zip(jobs, found, strict=True):
        assert np.array_equal(pixels, session.run(given)["restored"])


def test_a_graph_is_captured_once_outputs_have_their_place(session: Session) -> None:
    """The numbers that onnxruntime is told; a CPU captures nothing."""
    session._graphs = True
    told: list[str] = []

    class Told:
        def __init__(self, inner: Any) -> None:
            self.inner = inner

        def run_with_iobinding(self, binding: Any, options: Any) -> None:
            told.append(options.get_run_config_entry("gpu_graph_id"))
            self.inner.run_with_iobinding(binding, options)

        def __getattr__(self, name: str) -> Any:
            return getattr(self.inner, name)

    session._session = Told(session._session)
    binding = session.bind(shapes(1), 7)
    binding._session = session._session
    for array in binding.inputs.values():
        array[:] = 0
    settled = []
    for _ in range(4):
        settled.append(binding.settled)
        binding.upload()
        binding.run()
    assert told == ["-1", "7", "7", "7"]
    assert settled == [False, False, True, True]
