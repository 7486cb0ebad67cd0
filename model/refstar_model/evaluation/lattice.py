"""The lattice of a network: measured on faces, and taken out of the graphs of its folder.

A decoder that draws blocks of pixels at once can learn to print the same faint marks into each of them (`pattern`).
Nearly all of it is one tile that does not depend on the face. It grows or shrinks with the knob ``fidelity``, and with
the share of a place that is taken from a reference: with the share m it is

    T(m) = A + m B.

Both are measured on smooth skin at both ends of the knob, by least squares over places, and T is subtracted just before
the pixels are rounded. A network that was trained with a pattern loss has none.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.evaluation.pattern import FEWEST, smooth_skin
from refstar_model.export.folder import revise_folder
from refstar_model.export.lattice import PERIOD, Lattice, Tile, subtract_lattice
from refstar_model.export.restorers import SIDE, FolderModel, Restorer

Pixels = NDArray[np.uint8]
Face = tuple[Pixels, Pixels]  # to be restored, a reference


def remove_lattice(folder: Path, faces: Iterable[Face], version: str) -> dict[str, Any]:
    """Measure the lattice of a model folder on ``faces``, subtract it in all its graphs, and call that ``version``.

    Returns the manifest; its ``lattice`` has the peak to trough of what was subtracted where nothing is taken, in gray
    levels, by graph and at fidelity 0 and 1. Raises ValueError for a folder whose lattice was removed before, of
    another size than 512, or whose graphs do not end as the exported ones do.
    """
    chosen = list(faces)
    with revise_folder(folder) as (part, manifest):
        if "lattice" in manifest:
            raise ValueError(f"{folder}: its lattice was removed before")
        if manifest["input_size"] != SIDE:
            raise ValueError(
                f"{folder}: lattices are measured at {SIDE} pixels, not {manifest['input_size']}"
            )
        model, heights = FolderModel(part), {}
        for restore in ("restore_alone", "restore"):
            of_all_precisions = {restore, f"{restore}_fp16", f"{restore}_int8"}
            graphs = [name for name in manifest["graphs"] if name in of_all_precisions]
            if not graphs:
                continue
            ends = [measure_lattice(model, chosen, at, alone=restore == "restore_alone") for at in (0.0, 1.0)]
            for name in graphs:
                subtract_lattice(part / manifest["graphs"][name]["file"], *ends)
            heights[restore] = [round(end.height, 2) for end in ends]
        manifest |= {"version": version, "lattice": heights}
    return manifest


def measure_lattice(model: Restorer, faces: Iterable[Face], fidelity: float, *, alone: bool) -> Lattice:
    """What the model adds to the same phase of all tiles on smooth skin of the faces, restored with their references or
    ``alone``. Raises ValueError where the faces have too little such skin."""
    moments = np.zeros((5, PERIOD, PERIOD, 3))  # of the share m and the change d: 1, m, m^2, d, m d
    for face, reference in faces:
        answer = model(face, [] if alone else [reference], fidelity=fidelity)
        change = answer.picture.astype(np.float32) - face
        change -= cv2.blur(change, (PERIOD, PERIOD))
        skin = smooth_skin(face).astype(np.float32)[..., None]
        share = skin * _find_share(answer.selection, len(face))[..., None]
        for moment, values in zip(
            moments, (skin, share, share**2, skin * change, share * change), strict=True
        ):
            moment += _fold(values)
    count, m, m2, d, md = moments
    if count.min() < FEWEST:
        raise ValueError("the faces have too little smooth skin to measure a lattice on")
    if alone:
        return Lattice(_without_mean(d / count), None)
    spread = count * m2 - m**2
    slope = np.divide(count * md - m * d, spread, out=np.zeros_like(d), where=spread > 1e-3 * count**2)
    return Lattice(_without_mean((d - slope * m) / count), _without_mean(slope))


def _find_share(selection: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """What is taken from all references [S, S], 0..1, of masks [R, g, g]."""
    if not len(selection):
        return np.zeros((side, side), np.float32)
    total = np.minimum(selection.astype(np.float32).sum(0) / 255, 1)
    return np.asarray(np.kron(total, np.ones((side // len(total),) * 2)), np.float32)


def _without_mean(tile: NDArray[np.float64]) -> Tile:
    return np.asarray(tile - tile.mean((0, 1)), np.float32)


def _fold(values: NDArray[np.float32]) -> NDArray[np.float64]:
    tiles = len(values) // PERIOD
    folded = values.reshape(tiles, PERIOD, tiles, PERIOD, -1).sum((0, 2), np.float64)
    return np.asarray(folded, np.float64)
