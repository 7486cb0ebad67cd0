"""Sessions that models share: a graph that several have is loaded once, and goes with the last of them."""

import gc
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier
from typing import cast
from weakref import ref

import pytest
from refstar_service.engine import session_loader
from refstar_service.engine.manifest import load_manifest
from refstar_service.engine.provider import Provider
from refstar_service.engine.restorer import Restorer
from refstar_service.engine.session import Session
from refstar_service.engine.session_loader import SharedSessions
from small_model import write_small_model


class Loaded:
    """Stands for a session."""


def make() -> Session:
    return cast(Session, Loaded())


def test_a_graph_is_loaded_once_for_all_who_run_it_with_as_many_threads() -> None:
    shared = SharedSessions()
    session = shared.get("graph", 2, make)
    assert shared.get("graph", 2, make) is session
    assert shared.get("graph", 1, make) is not session
    assert shared.get("another", 2, make) is not session


def test_threads_that_ask_at_the_same_time_get_the_same() -> None:
    shared, barrier = SharedSessions(), Barrier(4)

    def ask(_: int) -> Session:
        barrier.wait(10)
        return shared.get("graph", 1, make)

    with ThreadPoolExecutor(4) as threads:
        assert len(set(threads.map(ask, range(4)))) == 1


def test_a_session_goes_with_the_last_who_has_it() -> None:
    shared = SharedSessions()
    gone = ref(shared.get("graph", 1, make))
    gc.collect()
    assert gone() is None


def test_one_that_cannot_be_loaded_is_tried_again_by_the_next() -> None:
    shared = SharedSessions()

    def fail() -> Session:
        raise OSError("no such file")

    with pytest.raises(OSError, match="no such file"):
        shared.get("graph", 1, fail)
    assert shared.get("graph", 1, make) is not None


def test_models_with_a_graph_in_common_load_it_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    loaded: list[str] = []

    class Counted(Session):
        def __init__(self, path: Path, provider: Provider, **options: object) -> None:
            loaded.append(f"{path.parent.name}/{path.name}")
            super().__init__(path, provider, threads=1)

    monkeypatch.setattr(session_loader, "Session", Counted)
    # The second and the first compute the same; the third restores in another way, and encodes as they do.
    for folder, seed in (("first", 7), ("second", 7), ("third", 8)):
        write_small_model(tmp_path, folder=folder, seed=seed)
    sessions = SharedSessions()
    models = [
        Restorer(load_manifest(tmp_path / folder), threads=1, sessions=sessions)
        for folder in ("first", "second", "third")
    ]
    assert loaded == ["first/restore.onnx", "first/encode_references.onnx", "third/restore.onnx"]
    for model in models:
        model.warm_up()
