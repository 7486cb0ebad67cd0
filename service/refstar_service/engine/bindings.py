"""The bound shapes of one session, for several threads: while one batch is computed, the next is put together and
uploaded, and the last one is read.

At most so many runs are under way as the device takes (``Turns``). Copies and a run go on beside each other, except a
run that captures a CUDA graph: what any other thread asks of the GPU meanwhile would break the capture.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, TypeVar

from numpy.typing import NDArray

from refstar_service.engine.binding import Binding
from refstar_service.engine.session import Session

T = TypeVar("T")
Arrays = Mapping[str, NDArray[Any]]
Shapes = Mapping[str, tuple[int, ...]]

#: Most bytes that idle bindings of a session hold on the host, beyond the one used last.
KEPT_BYTES = 128 * 2**20
#: There, every shape that was warmed up should stay: its graph is captured, its memory pinned.
KEPT_BYTES_ON_GPU = 4 * 2**30

# Graph ids belong to a session, but one count for all does no harm.
_graphs = count(1)


class Turns:
    """What may not go on at the same time on one device, whichever sessions are on it."""

    def __init__(self, at_once: int = 1) -> None:
        """``at_once``: most inferences at the same time; on a GPU, one."""
        self.computing = threading.Semaphore(at_once)
        self.copying = threading.Lock()


class Bindings:
    """Made for a session; ``load`` and ``run`` may be called from several threads at once."""

    def __init__(self, session: Session, kept_bytes: int = KEPT_BYTES, turns: Turns | None = None) -> None:
        """``kept_bytes``: most that idle shapes hold; ``turns``: shared with the other sessions of the device."""
        self.session, self.kept_bytes = session, kept_bytes
        # By identity, with their shapes; least recently used first.
        self._idle: OrderedDict[int, tuple[tuple[Any, ...], Binding]] = OrderedDict()
        self._pool = threading.Lock()
        self._turns = turns or Turns()

    @property
    def idle_bytes(self) -> int:
        """What is held between runs, in bytes on this side."""
        with self._pool:
            return sum(binding.nbytes for _, binding in self._idle.values())

    def load(self, shapes: Shapes, fill: Callable[[Arrays], None]) -> "UploadedBatch":
        """Inputs put together and uploaded, while something else may be computed.

        ``fill`` writes all of them: they hold what was there before. Raises what onnxruntime raises.
        """
        binding = self._take_binding(shapes)
        try:
            fill(binding.inputs)
            with self._turns.copying:
                binding.upload()
        except BaseException:
            self._close([binding])
            raise
        return UploadedBatch(self, shapes, binding)

    def run(self, shapes: Shapes, fill: Callable[[Arrays], None], read: Callable[[Arrays], T]) -> T:
        """``load`` and ``compute`` in one."""
        return self.load(shapes, fill).compute(read)

    def drop(self) -> None:
        """Free what no run holds."""
        with self._pool:
            idle = [binding for _, binding in self._idle.values()]
            self._idle.clear()
        self._close(idle)

    def _run_binding(self, binding: Binding, read: Callable[[Arrays], T]) -> T:
        with self._turns.computing:
            if binding.settled or not self.session.memory.apart:
                binding.run()
            else:
                with self._turns.copying:
                    binding.run()
        with self._turns.copying:
            outputs = binding.fetch()
        return read(outputs)

    def _take_binding(self, shapes: Shapes) -> Binding:
        key = _key(shapes)
        with self._pool:
            for number, (shape, binding) in reversed(self._idle.items()):
                if shape == key:
                    del self._idle[number]
                    return binding
        with self._turns.copying:
            return self.session.bind(shapes, next(_graphs))

    def _return_binding(self, shapes: Shapes, binding: Binding) -> None:
        dropped = []
        with self._pool:
            self._idle[id(binding)] = (_key(shapes), binding)
            held = sum(one.nbytes for _, one in self._idle.values())
            while held > self.kept_bytes and len(self._idle) > 1:
                _, (_, oldest) = self._idle.popitem(last=False)
                held -= oldest.nbytes
                dropped.append(oldest)
        self._close(dropped)

    def _close(self, bindings: list[Binding]) -> None:
        with self._turns.copying:
            for binding in bindings:
                binding.close()


class UploadedBatch:
    """Inputs that are where they will be read. It ends once: by ``compute``, or by ``discard`` when nobody wants it."""

    def __init__(self, bindings: Bindings, shapes: Shapes, binding: Binding) -> None:
        self._bindings, self._shapes, self._binding = bindings, shapes, binding

    def compute(self, read: Callable[[Arrays], T]) -> T:
        """``read`` takes what it wants of the outputs, and copies it: they are overwritten afterwards.

        Raises what onnxruntime raises.
        """
        try:
            result = self._bindings._run_binding(self._binding, read)
        except BaseException:
            self._bindings._close([self._binding])  # its outputs may be half made, its graph half captured
            raise
        self.discard()
        return result

    def discard(self) -> None:
        self._bindings._return_binding(self._shapes, self._binding)


def _key(shapes: Shapes) -> tuple[Any, ...]:
    return tuple(sorted(shapes.items()))
