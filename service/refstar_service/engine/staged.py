"""Faces on their way through the restoring graph: grouped into batches, put together, uploaded, computed."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refstar_service.engine.bindings import Arrays, Bindings, UploadedBatch
from refstar_service.engine.buckets import Ceiling, bucket
from refstar_service.engine.feature_cache import Features
from refstar_service.engine.memory import is_out_of_memory

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ReadyFace:
    """A face whose references are all encoded."""

    low_quality: Pixels  # [S, S, 3] RGB
    references: Sequence[Features]
    reference_strength: float  # 0..1
    fidelity: float  # 0..1


@dataclass(frozen=True, eq=False)
class RestoredFace:
    """``finite`` False: the net gave no usable numbers and ``pixels`` must not be shown to anybody."""

    pixels: Pixels  # [S, S, 3] RGB
    selection: NDArray[np.uint8]  # [references, g, g], 255 = all taken from this reference
    finite: bool


@dataclass(frozen=True)
class RestoringGraph:
    """``absent``: zeros in the shape and type of each feature of one reference, by the input's name. ``alone``: the
    graph for faces without references, where the model has one. Of all that may be given to a graph, its session takes
    what it names.
    """

    bindings: Bindings
    ceiling: Ceiling
    absent: Mapping[str, NDArray[Any]]
    alone: "RestoringGraph | None" = None
    # Whether places for references come in powers of two: on a GPU shapes should be few, on a CPU every place costs.
    padded: bool = True

    def places(self, face: ReadyFace) -> int:
        """For the references of a face; without one, the model still takes the place of one."""
        count = max(1, len(face.references))
        return bucket(count) if self.padded else count

    def choose_graph(self, face: ReadyFace) -> "RestoringGraph":
        """It depends on the face and on nothing else: two graphs may differ in the last bit."""
        return self if self.alone is None or face.references else self.alone

    def drop(self) -> None:
        """Give back the memory of all shapes."""
        self.bindings.drop()
        if self.alone is not None:
            self.alone.drop()

    def load(self, faces: Sequence[ReadyFace]) -> UploadedBatch:
        """One batch. All faces have as many places for references."""
        rows, count, size = bucket(len(faces)), self.places(faces[0]), faces[0].low_quality.shape
        shapes: dict[str, tuple[int, ...]] = {
            "low_quality": (rows, *size),
            "fidelity": (rows,),
            "reference_weight": (rows, count),
            **{name: (rows, count, *one.shape) for name, one in self.absent.items()},
        }
        asked = {name: shapes[name] for name in self.bindings.session.inputs}
        return self.bindings.load(asked, lambda inputs: self._fill(inputs, faces))

    def _fill(self, inputs: Arrays, faces: Sequence[ReadyFace]) -> None:
        """Every element is written: what was there before is somebody else's."""
        inputs["low_quality"][len(faces) :] = 0
        for row, face in enumerate(faces):
            inputs["low_quality"][row] = face.low_quality
        if "fidelity" in inputs:
            inputs["fidelity"][:] = 0.5
            for row, face in enumerate(faces):
                inputs["fidelity"][row] = face.fidelity
        if "reference_weight" in inputs:
            inputs["reference_weight"][:] = 0
            for row, face in enumerate(faces):
                inputs["reference_weight"][row, : len(face.references)] = face.reference_strength
        for name in self.absent:
            stacked = inputs[name]
            stacked[len(faces) :] = 0
            for row, face in enumerate(faces):
                for column, features in enumerate(face.references):
                    stacked[row, column] = features[name]
                stacked[row, len(face.references) :] = 0


class StagedFaces:
    """Faces whose first batch is uploaded. It ends once: by ``compute`` or by ``discard``, in any thread.

    Faces of one batch have as many places for references, each by its own number, so that none depends on the others.
    """

    def __init__(self, graph: RestoringGraph, faces: Sequence[ReadyFace]) -> None:
        self._graph, self._faces = graph, faces
        groups: dict[int, list[int]] = {}
        for index, face in enumerate(faces):
            count = graph.places(face) if graph.choose_graph(face) is graph else 0
            groups.setdefault(count, []).append(index)
        self._left = list(groups.values())
        self._loaded: tuple[list[int], UploadedBatch] | None = self._next() if faces else None

    def compute(self) -> list[RestoredFace]:
        """All of them, in order. A batch that does not fit into memory is halved, and so are all that come after it.

        Raises what onnxruntime raises.
        """
        results: dict[int, RestoredFace] = {}
        current, self._loaded = self._loaded, None
        while current is not None or self._left:
            chunk, loaded = current or self._next()
            current = None
            faces = [self._faces[i] for i in chunk]
            try:
                restored = loaded.compute(lambda outputs, faces=faces: _read(outputs, faces))  # type: ignore[misc]
            except Exception as error:
                self._make_room(error, len(chunk))
                self._left.insert(0, chunk)
                continue
            results.update(zip(chunk, restored, strict=True))
        return [results[i] for i in range(len(self._faces))]

    def discard(self) -> None:
        """Nobody wants them any more."""
        if self._loaded is not None:
            self._loaded[1].discard()
            self._loaded = None

    def _next(self) -> tuple[list[int], UploadedBatch]:
        """The next batch, uploaded, and which faces it is of."""
        while True:
            chunk = self._left[0][: self._graph.ceiling.value]
            try:
                faces = [self._faces[i] for i in chunk]
                loaded = self._graph.choose_graph(faces[0]).load(faces)
            except Exception as error:
                self._make_room(error, len(chunk))
                continue
            self._left[0] = self._left[0][len(chunk) :]
            self._left = [group for group in self._left if group]
            return chunk, loaded

    def _make_room(self, error: Exception, count: int) -> None:
        """After ``error`` with a batch of ``count``; raises it if smaller batches would not help."""
        if not is_out_of_memory(error) or not self._graph.ceiling.lower(bucket(count)):
            raise error
        self._graph.drop()


def _read(outputs: Arrays, faces: Sequence[ReadyFace]) -> list[RestoredFace]:
    """The rows that somebody asked for, copied out of memory that is used again."""
    selection = outputs.get("selection")
    return [
        RestoredFace(
            outputs["restored"][row].copy(),
            selection[row, : len(face.references)].copy()
            if selection is not None
            else np.zeros((0, 1, 1), np.uint8),
            bool(outputs["finite"][row]),
        )
        for row, face in enumerate(faces)
    ]
