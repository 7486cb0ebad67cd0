"""What is judged: anything that restores one aligned face of 512 with any number of references."""

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from onnx.utils import Extractor

from refstar_model.data.photos import DataError
from refstar_model.export.half_types import emulate_halves
from refstar_model.export.manifest import MANIFEST, find_graph
from refstar_model.export.session import start_session
from refstar_model.export.views import GATE_STRENGTH, JUDGMENTS, SELECTION, RestoringViews, View

Pixels = NDArray[np.uint8]
Values = NDArray[Any]
SIDE = 512
REMEMBERED = 16  # encoded references kept by a folder's model, some 3 MB each


class RestoredPicture(NamedTuple):
    picture: Pixels  # [512, 512, 3]
    selection: NDArray[np.uint8]  # [R, g, g], mean mask over the bands, 255 = all taken
    finite: bool
    # Each [R] in 0..1, of a model with a gate: whether a reference shows this person, and how like the result is to it.
    same_person: NDArray[np.float32] | None = None
    likeness: NDArray[np.float32] | None = None


class Restorer(Protocol):
    def __call__(
        self,
        low_quality: Pixels,
        references: Sequence[Pixels],
        strength: float = 1.0,
        fidelity: float = 0.5,
    ) -> RestoredPicture:
        """Restore a face [512, 512, 3] with references of that size; none is an empty list."""
        ...


class Runner(Protocol):
    """A graph that can be run."""

    @property
    def inputs(self) -> Sequence[str]: ...

    @property
    def outputs(self) -> Sequence[str]: ...

    def run(self, values: Mapping[str, Values]) -> dict[str, Values]:
        """Outputs by name; of ``values`` the inputs are taken."""
        ...


class GraphModel:
    """The graphs of a model (export.views says which there are), one face at a time."""

    def __init__(
        self, size: int, restore: Runner, encode: Runner | None = None, alone: Runner | None = None
    ) -> None:
        self.size, self.restore, self.encode, self.alone = size, restore, encode, alone
        self._encoded: dict[bytes, dict[str, Values]] = {}

    @property
    def takes_references(self) -> bool:
        return self.encode is not None

    @property
    def takes_fidelity(self) -> bool:
        return "fidelity" in self.restore.inputs

    @property
    def judges_references(self) -> bool:
        """Whether it has a gate, and says who references show."""
        return GATE_STRENGTH in self.restore.inputs

    def __call__(
        self,
        low_quality: Pixels,
        references: Sequence[Pixels],
        strength: float = 1.0,
        fidelity: float = 0.5,
    ) -> RestoredPicture:
        if references and not self.takes_references:
            raise ValueError(f"{len(references)} references for a model that takes none")
        if fidelity != 0.5 and not self.takes_fidelity:
            raise ValueError(f"fidelity {fidelity} for a model without that knob")
        values: dict[str, Values] = {
            "low_quality": fit(low_quality, self.size)[None],
            "fidelity": np.array([fidelity], np.float32),
            GATE_STRENGTH: np.ones(1, np.float32),
        }
        graph = self.restore
        if not references and self.alone is not None:
            graph = self.alone
        elif self.takes_references:
            pictures = references or [np.zeros_like(low_quality)]
            encoded = [self.encode_reference(fit(picture, self.size)) for picture in pictures]
            values |= {name: np.concatenate([e[name] for e in encoded])[None] for name in encoded[0]}
            values["reference_weight"] = np.full(
                (1, len(pictures)), strength if references else 0.0, np.float32
            )
        answer = graph.run(values)
        selection = answer[SELECTION][0] if SELECTION in answer else np.zeros((0, 1, 1), np.uint8)
        same, like = (answer[name][0, : len(references)] if name in answer else None for name in JUDGMENTS)
        return RestoredPicture(fit(answer["restored"][0]), selection, bool(answer["finite"][0]), same, like)

    def encode_reference(self, picture: Pixels) -> dict[str, Values]:
        """Features [1, ...] by name of a reference [S, S, 3]; those of the last few are remembered."""
        assert self.encode is not None
        key = picture.tobytes()
        if key not in self._encoded:
            while len(self._encoded) >= REMEMBERED:
                self._encoded.pop(next(iter(self._encoded)))
            self._encoded[key] = self.encode.run({"references": picture[None]})
        return self._encoded[key]


class GraphPaths(NamedTuple):
    """The files of a model folder's graphs, and what they take."""

    restore: Path
    encode: Path | None
    alone: Path | None
    size: int  # of the faces

    def list_outputs(self) -> list[str]:
        """Of ``restore``."""
        return [o.name for o in onnx.load(str(self.restore), load_external_data=False).graph.output]


def find_graphs(folder: Path, precision: str = "fp32") -> GraphPaths:
    """Of a ``precision``; references are encoded in fp32 where there is no other graph for it.

    Raises DataError where there is no ``restore``.
    """
    ending = "" if precision == "fp32" else f"_{precision}"
    restore = find_graph(folder, f"restore{ending}")
    if restore is None:
        raise DataError(f"{folder} has no graph restore{ending}")
    encode = find_graph(folder, f"encode_references{ending}") or find_graph(folder, "encode_references")
    size = int(json.loads((folder / MANIFEST).read_text())["input_size"])
    return GraphPaths(restore, encode, find_graph(folder, f"restore_alone{ending}"), size)


class FolderModel(GraphModel):
    """A model folder in onnxruntime."""

    def __init__(self, folder: Path, threads: int = 0, precision: str = "fp32") -> None:
        """``precision``: fp32, or what else the folder brings: int8, or fp16 as a GPU would compute it."""
        paths = find_graphs(folder, precision)
        encode, alone = (
            None if path is None else SessionRunner(open_graph(path, threads))
            for path in (paths.encode, paths.alone)
        )
        super().__init__(paths.size, SessionRunner(open_graph(paths.restore, threads)), encode, alone)


class NetModel(GraphModel):
    """A network in training, seen as the graphs that it would become, on the device where it is."""

    def __init__(self, views: RestoringViews) -> None:
        self._module = views.module
        device = next(self._module.parameters()).device
        runners = {name: ViewRunner(view, device) for name, view in views.by_name.items()}
        super().__init__(
            views.size, runners["restore"], runners.get("encode_references"), runners.get("restore_alone")
        )

    def __call__(
        self,
        low_quality: Pixels,
        references: Sequence[Pixels],
        strength: float = 1.0,
        fidelity: float = 0.5,
    ) -> RestoredPicture:
        training = [module for module in self._module.modules() if module.training]
        self._module.eval()
        try:
            return super().__call__(low_quality, references, strength, fidelity)
        finally:
            for module in training:
                module.training = True

    def encode_reference(self, picture: Pixels) -> dict[str, Values]:
        """As of a folder, but nothing is remembered: the network goes on learning."""
        self._encoded.clear()
        return super().encode_reference(picture)


class SessionRunner:
    def __init__(self, session: Any) -> None:
        self._session = session
        self.inputs = [i.name for i in session.get_inputs()]
        self.outputs = [o.name for o in session.get_outputs()]

    def run(self, values: Mapping[str, Values]) -> dict[str, Values]:
        given = {name: values[name] for name in self.inputs}
        return dict(zip(self.outputs, self._session.run(self.outputs, given), strict=True))


class ViewRunner:
    def __init__(self, view: View, device: torch.device) -> None:
        self._view, self._device = view, device
        self.inputs, self.outputs = view.inputs, view.outputs

    def run(self, values: Mapping[str, Values]) -> dict[str, Values]:
        given = {name: torch.from_numpy(values[name]).to(self._device) for name in self.inputs}
        return {name: value.cpu().numpy() for name, value in self._view.run(given).items()}


def open_graph(path: Path, threads: int = 0, outputs: Sequence[str] = ()) -> Any:
    """An onnxruntime session on the CPU; 0 threads means one for each core.

    With ``outputs`` only the part that computes these, with the inputs that it needs. A graph with fp16 in it is made
    to round as a GPU does (half_types.emulate_halves).
    """
    halves = path.stem.endswith("_fp16")
    if not outputs and not halves:
        return start_session(str(path), threads)
    graph = onnx.load(str(path))
    if outputs:
        graph = extract_part(graph, outputs)
    return start_session((emulate_halves(graph) if halves else graph).SerializeToString(), threads)


def extract_part(graph: onnx.ModelProto, outputs: Sequence[str]) -> onnx.ModelProto:
    """What computes these outputs; of the inputs, those that it needs."""
    part = Extractor(graph).extract_model([i.name for i in graph.graph.input], list(outputs))
    needed = {name for node in part.graph.node for name in node.input}
    inputs = [i for i in part.graph.input if i.name in needed]
    del part.graph.input[:]
    part.graph.input.extend(inputs)
    return part


def fit(picture: Pixels, size: int = SIDE) -> Pixels:
    """The square picture at ``size``."""
    side = picture.shape[0]
    if side == size:
        return np.ascontiguousarray(picture)
    how = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (size, size), interpolation=how), np.uint8)
