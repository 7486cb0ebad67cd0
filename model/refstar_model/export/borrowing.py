"""A model whose graphs are those of another folder: RefSTAR's without references, where its self stream is the model.

One file of weights then serves both. The folder has a ``model.json`` only, whose graphs lie in the folder beside it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch

from refstar_model.data.photos import DataError
from refstar_model.export.card import Publication, SystemCard, describe_model
from refstar_model.export.folder import prepare_folder
from refstar_model.export.golden import golden_picture
from refstar_model.export.graph import ParityError, round_weights
from refstar_model.export.manifest import MANIFEST, lies_within, list_files, write_manifest
from refstar_model.export.session import start_session
from refstar_model.export.views import RestoringViews, count_parameters
from refstar_model.layers.folding import fold_modules

#: The graph that restores without references, and what the borrower calls it.
_ALONE, _RESTORE = "restore_alone", "restore"


def borrow_graphs(
    views: RestoringViews, card: SystemCard, model: Publication, steps: int, folder: Path, lender: Path
) -> dict[str, Any]:
    """Write ``folder``, whose graphs are those of the folder ``lender`` that restore without references.

    Returns the manifest. Raises DataError where the folders are not beside each other or ``lender`` has no such graph,
    and ParityError where that does not compute what the networks do, by more than a level of 255; ``folder`` is as it
    was then.
    """
    if folder.resolve().parent != lender.resolve().parent:
        raise DataError(f"{folder} must lie beside {lender}, whose graphs it is to use")
    path = lender / MANIFEST
    if not path.is_file():
        raise DataError(f"{lender} is no model folder: it has no {MANIFEST}")
    lent = json.loads(path.read_text())
    if _ALONE not in lent["graphs"]:
        raise DataError(f"{lender} has no graph {_ALONE}: it cannot restore without references")
    parameters = count_parameters(views.module)
    fold_modules(views.module)
    for module in views.module.eval():
        round_weights(module)
    _compare(views, lender / lent["graphs"][_ALONE]["file"])
    answers = lent["golden"]
    golden = {"block_means": answers["block_means_alone"]}
    golden |= {name: value for name, value in answers.items() if name.startswith("tolerance")}
    description = describe_model(card, model, steps, views.size, parameters, golden)

    def beside(entry: dict[str, Any]) -> dict[str, Any]:
        return entry | {"file": f"../{lender.resolve().name}/{entry['file']}"}

    graphs = {name: graph for name, graph in lent["graphs"].items() if name.startswith(_ALONE)}
    manifest = {
        **description,
        "graphs": {name.replace(_ALONE, _RESTORE): beside(graph) for name, graph in graphs.items()},
        **({"weights": beside(lent["weights"])} if "weights" in lent else {}),
    }
    own = _own_files(folder)
    with prepare_folder(folder) as part:
        write_manifest(part / MANIFEST, manifest)
    for file in own:
        file.unlink()
    return manifest


def _compare(views: RestoringViews, path: Path) -> None:
    picture = golden_picture(views.size)
    pictures = np.stack([picture, np.roll(picture, views.size // 4, 0)])
    given = {"low_quality": pictures, "fidelity": np.full(len(pictures), 0.5, np.float32)}
    session = start_session(str(path))
    theirs = session.run(["restored"], {one.name: given[one.name] for one in session.get_inputs()})[0]
    ours = views.restore.run({name: torch.from_numpy(given[name]) for name in views.restore.inputs})[
        "restored"
    ]
    apart = int(np.abs(theirs.astype(int) - ours.numpy()).max())
    if apart > 1:
        raise ParityError(
            f"{path}: restores other pictures than these weights, which are not its self stream: they differ by "
            f"{apart} of 255 levels, allowed 1"
        )


def _own_files(folder: Path) -> list[Path]:
    """What a model that was in the folder before has there, but its manifest: nothing would name it any more."""
    path = folder / MANIFEST
    if not path.is_file():
        return []
    old = json.loads(path.read_text())
    return [folder / one["file"] for one in list_files(old) if lies_within(one["file"])]
