"""The lattice of a network: measured on faces, and taken out of the graphs of its folder.

A decoder that draws blocks of pixels at once can learn to print the same faint marks into each of them (`pattern`).
Nearly all of it is one tile, more or less strong by the place, the face and the knob ``fidelity``. It is measured on
smooth skin at fidelity 0, where it is strongest. A network that was trained with a pattern loss has none.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.evaluation.pattern import FEWEST, smooth_skin
from refstar_model.export.folder import revise_folder
from refstar_model.export.lattice import PERIOD, Tile, subtract_lattice
from refstar_model.export.restorers import SIDE, FolderModel, Restorer

Pixels = NDArray[np.uint8]


def remove_lattice(folder: Path, faces: Iterable[Pixels], version: str) -> dict[str, Any]:
    """Measure the lattice of a model folder on ``faces``, subtract it in all its graphs, and call that ``version``.

    Returns the manifest; its ``lattice`` is the peak to trough of the tile, in gray levels. Raises ValueError for a
    folder whose lattice was removed before, of another size than 512, or whose graphs do not end as the exported ones.
    """
    with revise_folder(folder) as (part, manifest):
        if "lattice" in manifest:
            raise ValueError(f"{folder}: its lattice was removed before")
        if manifest["input_size"] != SIDE:
            raise ValueError(
                f"{folder}: lattices are measured at {SIDE} pixels, not {manifest['input_size']}"
            )
        tile = measure_lattice(FolderModel(part), faces)
        for name, graph in manifest["graphs"].items():
            if name.startswith("restore"):
                subtract_lattice(part / graph["file"], tile)
        manifest |= {"version": version, "lattice": round(float(np.ptp(tile.mean(-1))), 2)}
    return manifest


def measure_lattice(model: Restorer, faces: Iterable[Pixels]) -> Tile:
    """What the model adds to the same phase of all tiles on smooth skin of the faces [512, 512, 3], restored alone:
    [16, 16, 3], gray levels, of mean 0. Raises ValueError where the faces have too little such skin."""
    total, count = np.zeros((PERIOD, PERIOD, 3)), np.zeros((PERIOD, PERIOD, 1))
    for face in faces:
        answer = model(face, [], fidelity=0.0)
        change = answer.picture.astype(np.float32) - face
        change -= cv2.blur(change, (PERIOD, PERIOD))
        skin = smooth_skin(face).astype(np.float32)[..., None]
        total += _fold(skin * change)
        count += _fold(skin)
    if count.min() < FEWEST:
        raise ValueError("the faces have too little smooth skin to measure a lattice on")
    tile = total / count
    return np.asarray(tile - tile.mean((0, 1)), np.float32)


def _fold(values: NDArray[np.float32]) -> NDArray[np.float64]:
    tiles = len(values) // PERIOD
    folded = values.reshape(tiles, PERIOD, tiles, PERIOD, -1).sum((0, 2), np.float64)
    return np.asarray(folded, np.float64)
