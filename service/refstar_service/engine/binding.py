"""One shape of a session's inputs, and its outputs: allocated once, bound once, at addresses that stay.

That is what onnxruntime's io binding wants for speed and CUDA graphs for being right. It is the same code on a CPU,
where the arrays that are written are those that the graph reads.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

from refstar_service.engine.memory import Memory

#: Run option: which captured graph to replay, or to capture; -1 for none.
_GRAPH_ID = "gpu_graph_id"


class Binding:
    """Write ``inputs``, then ``upload``, ``run``, ``fetch``. From one thread at a time, whichever.

    The first run allocates the outputs; from the second on nothing is allocated, and from the third on (``settled``) a
    CUDA graph is replayed, if there is one.
    """

    def __init__(
        self,
        session: ort.InferenceSession,
        shapes: Mapping[str, tuple[int, ...]],
        types: Mapping[str, np.dtype[Any]],
        memory: Memory,
        graph: int | None = None,
    ) -> None:
        """``graph``: the number under which its CUDA graph is kept, one of its own for each binding; None: no graph."""
        self._session, self._memory, self._graph = session, memory, graph
        self._names = [output.name for output in session.get_outputs()]
        self._binding = session.io_binding()
        self._runs = 0
        self._on_device: dict[str, ort.OrtValue] = {}
        self._there: dict[str, ort.OrtValue] = {}  # outputs on the device
        self._outputs: dict[str, NDArray[Any]] = {}
        #: What the next run is given, by name; uninitialized at first.
        self.inputs: dict[str, NDArray[Any]] = {}
        for name, shape in shapes.items():
            array = memory.host(shape, types[name])
            self.inputs[name] = array
            if memory.apart:
                value = ort.OrtValue.ortvalue_from_shape_and_type(shape, types[name], memory.device, 0)
                self._on_device[name] = value
            else:
                value = ort.OrtValue.ortvalue_from_numpy(array)
            self._binding.bind_ortvalue_input(name, value)
        for name in self._names:
            self._binding.bind_output(name, memory.device, 0)

    @property
    def nbytes(self) -> int:
        """Bytes on this side; on a device there are as many again."""
        return sum(array.nbytes for array in (*self.inputs.values(), *self._outputs.values()))

    @property
    def settled(self) -> bool:
        """Whether the next run allocates and captures nothing."""
        return self._runs >= (1 if self._graph is None else 2)

    def upload(self) -> None:
        """The inputs as they are now go to the device; may be done while another binding runs."""
        for name, value in self._on_device.items():
            self._memory.put(value.data_ptr(), self.inputs[name])

    def run(self) -> None:
        """Raises whatever onnxruntime raises."""
        options = ort.RunOptions()
        if self._graph is not None:
            options.add_run_config_entry(_GRAPH_ID, str(self._graph if self._runs else -1))
        self._session.run_with_iobinding(self._binding, options)
        self._binding.synchronize_outputs()  # copies from there are on another stream
        self._runs += 1
        if not self._outputs:
            self._keep_outputs()

    def fetch(self) -> Mapping[str, NDArray[Any]]:
        """Outputs of the last run by name; valid until the next one."""
        for name, value in self._there.items():
            self._memory.get(self._outputs[name], value.data_ptr())
        return self._outputs

    def close(self) -> None:
        """Whoever is done with it calls this; nothing works afterwards."""
        self._binding.clear_binding_inputs()
        self._binding.clear_binding_outputs()
        for array in (*self.inputs.values(), *self._outputs.values()):
            self._memory.free(array)
        self.inputs, self._outputs, self._on_device, self._there = {}, {}, {}, {}

    def _keep_outputs(self) -> None:
        """Only a run tells how large they are. From now on they have their place."""
        for name, value in zip(self._names, self._binding.get_outputs(), strict=True):
            array = self._memory.host(tuple(value.shape()), element_type(value.data_type()))
            if self._memory.apart:
                self._there[name] = value
            else:
                array[...] = value.numpy()
                value = ort.OrtValue.ortvalue_from_numpy(array)  # the same memory
            self._binding.bind_ortvalue_output(name, value)
            self._outputs[name] = array


_TYPES = {
    "tensor(float)": np.float32,
    "tensor(float16)": np.float16,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}


def element_type(name: str) -> np.dtype[Any]:
    """numpy's type for what onnxruntime calls ``name``."""
    return np.dtype(_TYPES[name])
