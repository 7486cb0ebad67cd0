"""Faces on their way through the restoring graph: grouped into batches, put together, uploaded, computed."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from refstar_service.engine.bindings import Arrays, Bindings, UploadedBatch
from refstar_service.engine.buckets import Ceiling, bucket
from refstar_service.engine.casting import LEAST_SHARE, are_several, choose_asked, find_person
from refstar_service.engine.feature_cache import Features
from refstar_service.engine.memory import is_out_of_memory

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ReadyFace:
    """A face whose references are all encoded. ``people``: for each of them, whose it is; empty if that is not said."""

    low_quality: Pixels  # [S, S, 3] RGB
    references: Sequence[Features]
    reference_strength: float  # 0..1
    fidelity: float  # 0..1
    people: tuple[int, ...] = ()
    gate_strength: float = 1.0  # 0..1

    def ask(self, most: int) -> Self:
        """The face as it is shown to find out whose it is, with at most ``most`` references: whatever else is wanted,
        the answer is the same."""
        asked = self._with(choose_asked(self.people, most))
        return replace(asked, reference_strength=1.0, fidelity=0.5, gate_strength=1.0)

    def of(self, person: int | None) -> Self:
        """The face with the references of one person, or with none."""
        return self._with([place for place, whose in enumerate(self.people) if whose == person])

    def _with(self, places: Sequence[int]) -> Self:
        return replace(
            self,
            references=[self.references[place] for place in places],
            people=tuple(self.people[place] for place in places),
        )


@dataclass(frozen=True, eq=False)
class RestoredFace:
    """``finite`` False: the net gave no usable numbers and ``pixels`` must not be shown to anybody.

    ``person``: whose face it is, of those whose references were given. Of several people's references, ``selection``
    is of that person's alone, and so are ``same_person``, the probability that a reference shows the person of this
    face, and ``likeness``, what the same judge says of the restored face: each [references] in 0..1, or None from a
    model that does not judge, or was not shown them with any strength.
    """

    pixels: Pixels  # [S, S, 3] RGB
    selection: NDArray[np.uint8]  # [references, g, g], 255 = all taken from this reference
    finite: bool
    person: int | None = None
    same_person: NDArray[np.float32] | None = None
    likeness: NDArray[np.float32] | None = None


@dataclass(frozen=True)
class RestoringGraph:
    """``absent``: zeros in the shape and type of each feature of one reference, by the input's name. ``alone``: the
    graph for faces without references, where the model has one. Of all that may be given to a graph, its session takes
    what it names. ``most_references``: that it takes; ``least_share``: see `casting`.
    """

    bindings: Bindings
    ceiling: Ceiling
    absent: Mapping[str, NDArray[Any]]
    alone: "RestoringGraph | None" = None
    # Whether places for references come in powers of two: on a GPU shapes should be few, on a CPU every place costs.
    padded: bool = True
    most_references: int = 8
    least_share: float = LEAST_SHARE

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
            "gate_strength": (rows,),
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
        if "gate_strength" in inputs:
            inputs["gate_strength"][:] = 1
            for row, face in enumerate(faces):
                inputs["gate_strength"][row] = face.gate_strength
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
    A face with references of several people is computed twice: to find out whose it is, and with that person's alone.
    """

    def __init__(self, graph: RestoringGraph, faces: Sequence[ReadyFace]) -> None:
        self._graph, self._faces = graph, faces
        self._asking = {index for index, face in enumerate(faces) if are_several(face.people)}
        self._shown = [  # each face as it is computed next
            face.ask(graph.most_references) if index in self._asking else face
            for index, face in enumerate(faces)
        ]
        self._found: dict[int, int | None] = {}  # whose face it is, of those that were asked about
        self._left: dict[int, list[int]] = {}  # by the places that they take
        self._add(range(len(faces)))
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
            faces = [self._shown[i] for i in chunk]
            try:
                restored = loaded.compute(lambda outputs, faces=faces: _read(outputs, faces))  # type: ignore[misc]
            except Exception as error:
                self._make_room(error, len(chunk))
                self._add(chunk)
                continue
            for index, face in zip(chunk, restored, strict=True):
                if index in self._asking:
                    self._answer(index, face)
                else:
                    results[index] = replace(face, person=self._name(index, face))
        return [results[i] for i in range(len(self._faces))]

    def discard(self) -> None:
        """Nobody wants them any more."""
        if self._loaded is not None:
            self._loaded[1].discard()
            self._loaded = None

    def _answer(self, index: int, face: RestoredFace) -> None:
        """Whose it is has been found out: once more, with that person's references."""
        least = self._graph.least_share
        people = self._shown[index].people
        person = find_person(face.selection, people, least, face.same_person) if face.finite else None
        self._asking.remove(index)
        self._found[index] = person
        self._shown[index] = self._faces[index].of(person)
        self._add([index])

    def _name(self, index: int, face: RestoredFace) -> int | None:
        """Whose face it is. What a single person gives is less where the strength is."""
        if index in self._found:
            return self._found[index]
        shown = self._shown[index]
        if not (shown.people and shown.reference_strength and face.finite):
            return None
        least = self._graph.least_share * shown.reference_strength
        said = face.same_person if shown.gate_strength else None  # else every reference is to be the person's
        return find_person(face.selection, shown.people, least, said)

    def _add(self, indices: Iterable[int]) -> None:
        for index in indices:
            face = self._shown[index]
            count = self._graph.places(face) if self._graph.choose_graph(face) is self._graph else 0
            self._left.setdefault(count, []).append(index)

    def _next(self) -> tuple[list[int], UploadedBatch]:
        """The next batch, uploaded, and which faces it is of."""
        while True:
            count, group = next(iter(self._left.items()))
            chunk = group[: self._graph.ceiling.value]
            try:
                faces = [self._shown[i] for i in chunk]
                loaded = self._graph.choose_graph(faces[0]).load(faces)
            except Exception as error:
                self._make_room(error, len(chunk))
                continue
            self._left[count] = group[len(chunk) :]
            if not self._left[count]:
                del self._left[count]
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
            same_person=_read_judgment(outputs.get("same_person"), row, face),
            likeness=_read_judgment(outputs.get("likeness"), row, face),
        )
        for row, face in enumerate(faces)
    ]


def _read_judgment(
    judged: NDArray[np.float32] | None, row: int, face: ReadyFace
) -> NDArray[np.float32] | None:
    """What was said, ``judged`` [B, R], of a face's references; None of those without any strength, which a graph takes
    for absent."""
    if judged is None or not face.reference_strength:
        return None
    return judged[row, : len(face.references)].copy()
