"""The part of a folder's graphs that says who references show: thousands of pairs are judged in a minute with it."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refstar_model.export.restorers import find_graphs, fit, open_graph
from refstar_model.export.views import FEATURE_PREFIX, JUDGMENTS

Pixels = NDArray[np.uint8]
Values = NDArray[Any]
SAME_PERSON = JUDGMENTS[0]


class GateGraph:
    """What ``restore`` computes for ``same_person``, and what ``encode_references`` does for that."""

    def __init__(self, restore: Path, encode: Path, size: int, threads: int = 0) -> None:
        """Both of a model with a gate, whose faces are of ``size``."""
        self.size = size
        self._compare = open_graph(restore, threads, [SAME_PERSON])
        self._features = [i.name for i in self._compare.get_inputs() if i.name.startswith(FEATURE_PREFIX)]
        self._encode = open_graph(encode, threads, self._features)

    def encode(self, reference: Pixels) -> list[Values]:
        """A square reference [S, S, 3] as the gate sees it: features [1, ...]."""
        return list(self._encode.run(self._features, {"references": fit(reference, self.size)[None]}))

    def compare(self, low_quality: Pixels, references: Sequence[Sequence[Values]]) -> NDArray[np.float32]:
        """``same_person`` [R] of a square face [S, S, 3] and what `encode` made of R references."""
        values = {
            name: np.concatenate(of)[None]
            for name, of in zip(self._features, zip(*references, strict=True), strict=True)
        }
        values |= {
            "low_quality": fit(low_quality, self.size)[None],
            "reference_weight": np.ones((1, len(references)), np.float32),
        }
        [same] = self._compare.run([SAME_PERSON], values)
        return np.asarray(same[0], np.float32)


def open_gate(folder: Path, precision: str = "fp32", threads: int = 0) -> GateGraph | None:
    """Of a model folder; None of one without a gate."""
    graphs = find_graphs(folder, precision)
    encode = graphs.encode
    if encode is None or SAME_PERSON not in graphs.list_outputs():
        return None
    return GateGraph(graphs.restore, encode, graphs.size, threads)
