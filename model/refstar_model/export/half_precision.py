"""fp16 graphs beside the fp32 ones of a model folder, for GPUs, held against them on the same inputs."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from refstar_model.export.folder import revise_folder
from refstar_model.export.golden_distance import golden_distance
from refstar_model.export.graph import ParityError
from refstar_model.export.half_types import emulate_halves, halve_types
from refstar_model.export.restorers import FolderModel
from refstar_model.export.session import start_session
from refstar_model.export.views import SELECTION

Inputs = Mapping[str, NDArray[Any]]

#: Largest difference from the fp32 graph that is let through, as a share of the output's range.
PARITY = 4 / 255
#: For the selection, which people look at and nothing is computed of, in this share of the places: one between two
#: answers may tip.
SELECTION_PLACES = 0.99


def add_half_graphs(folder: Path, inputs: Mapping[str, Inputs]) -> dict[str, Any]:
    """Add an fp16 graph for each graph of ``inputs`` to ``folder`` and its ``model.json``, which is returned.

    ``inputs``: by name of the graph, what both are given to be compared. Raises ParityError and leaves the folder alone
    where they differ by more than ``PARITY`` (of the selection, ``SELECTION_PLACES`` of the places count).
    """
    with revise_folder(folder) as (part, manifest):
        for name, given in inputs.items():
            model = onnx.load(str(part / f"{name}.onnx"))
            half = halve_types(model)
            manifest["graphs"][f"{name}_fp16"] = {
                "file": f"{name}_fp16.onnx",
                "parity": _compare(name, model, half, given),
            }
            (part / f"{name}_fp16.onnx").write_bytes(half.SerializeToString(deterministic=True))
        golden = manifest["golden"]
        apart = golden_distance(FolderModel(part), FolderModel(part, precision="fp16"))
        golden["tolerance_fp16"] = round(golden["tolerance"] + apart, 1)
    return manifest


def _compare(name: str, model: onnx.ModelProto, half: onnx.ModelProto, inputs: Inputs) -> float:
    """The largest difference of an output, as a share of its range."""
    worst = 0.0
    names = [output.name for output in model.graph.output]
    wanted, got = (_run(graph, names, inputs) for graph in (model, emulate_halves(half)))
    for output, a, b in zip(names, wanted, got, strict=True):
        scale = 255.0 if a.dtype == np.uint8 else max(1.0, float(np.abs(a).max()))
        differences = np.abs(a.astype(np.float64) - b.astype(np.float64)) / scale
        difference = float(np.quantile(differences, SELECTION_PLACES if output == SELECTION else 1.0))
        if not difference <= PARITY:
            raise ParityError(
                f"{name}: output {output} differs by {difference:.1e} of its range in fp16, allowed {PARITY:.1e}"
            )
        worst = max(worst, difference)
    return worst


def _run(model: onnx.ModelProto, names: list[str], inputs: Inputs) -> list[NDArray[Any]]:
    answers: list[NDArray[Any]] = start_session(model.SerializeToString()).run(names, dict(inputs))
    return answers
