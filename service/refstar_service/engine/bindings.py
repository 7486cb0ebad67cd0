"""The bound shapes of one session, for several threads: while one batch is computed, the next is put together and
uploaded, and the last one is read.

Whatever computes, at most one run is under way. Copies and a run go on beside each other, except a run that captures a
CUDA graph: what any other thread asks of the GPU meanwhile would break the capture.
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

#: Most that idle bindings of a session hold on the host, beyond the one used last.
KEPT_BYTES = 128 * 2**20
#: There, every shape that was warmed up should stay: its graph is captured, its memory pinned.
KEPT_BYTES_ON_GPU = 4 * 2**30

# Graph ids belong to a session, but one count for all does no harm.
_graphs = count(1)


class Bindings:
    """Made for a session; ``run`` may be called from several threads at once."""

    def __init__(self, session: Session, kept_bytes: int = KEPT_BYTES) -> None:
        self.session, self.kept_bytes = session, kept_bytes
        # By identity, with their shapes; least recently used first.
        self._idle: OrderedDict[int, tuple[tuple[Any, ...], Binding]] = OrderedDict()
        self._pool = threading.Lock()
        self._computing = threading.Lock()
        self._copying = threading.Lock()

    @property
    def idle_bytes(self) -> int:
        """What is held between runs, in bytes on this side."""
        with self._pool:
            return sum(binding.nbytes for _, binding in self._idle.values())

    def run(self, shapes: Shapes, fill: Callable[[Arrays], None], read: Callable[[Arrays], T]) -> T:
        """``fill`` writes the inputs, all of them: they hold what was there before. ``read`` takes what it wants of the
        outputs, and copies it: they are overwritten afterwards.

        Raises what onnxruntime raises.
        """
        binding = self._taken(shapes)
        try:
            fill(binding.inputs)
            with self._copying:
                binding.upload()
            with self._computing:
                if binding.settled:
                    binding.run()
                else:
                    with self._copying:
                        binding.run()
            with self._copying:
                outputs = binding.fetch()
            result = read(outputs)
        except BaseException:
            with self._copying:
                binding.close()  # its outputs may be half made, its graph half captured
            raise
        self._give(shapes, binding)
        return result

    def drop(self) -> None:
        """Free what no run holds."""
        with self._pool:
            idle = [binding for _, binding in self._idle.values()]
            self._idle.clear()
        self._close(idle)

    def _taken(self, shapes: Shapes) -> Binding:
        key = _key(shapes)
        with self._pool:
            for number, (shape, binding) in reversed(self._idle.items()):
                if shape == key:
                    del self._idle[number]
                    return binding
        with self._copying:
            return self.session.bind(shapes, next(_graphs))

    def _give(self, shapes: Shapes, binding: Binding) -> None:
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
        with self._copying:
            for binding in bindings:
                binding.close()


def _key(shapes: Shapes) -> tuple[Any, ...]:
    return tuple(sorted(shapes.items()))
