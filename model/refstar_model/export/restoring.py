"""From a network that restores faces to its model folder: graphs in fp32 and fp16, with the golden answers."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from refstar_model.data.degradation import degrade, moderate
from refstar_model.data.photos import PhotoSet
from refstar_model.export.borrowing import borrow_graphs
from refstar_model.export.card import Publication, SystemCard, describe_model
from refstar_model.export.folder import prepare_folder
from refstar_model.export.golden import block_means, golden_picture
from refstar_model.export.graph import Graph, round_weights, write_folder
from refstar_model.export.half_precision import add_half_graphs
from refstar_model.export.restorers import NetModel
from refstar_model.export.views import (
    EXACT,
    FEATURE_PREFIX,
    GATE_STRENGTH,
    RestoringViews,
    View,
    count_parameters,
)
from refstar_model.layers.folding import fold_modules

FACES, REFERENCES = 2, 3  # of the parity check; references of each face
#: Levels of 255 that a block of the golden picture's answer may differ on another machine.
TOLERANCE = 1.0


@dataclass(frozen=True)
class TrainedRestorer:
    """Of a system that restores faces (`system.TrainedSystem`)."""

    views: RestoringViews
    card: SystemCard
    steps: int

    def export(self, folder: Path, model: Publication, photos: PhotoSet | None = None) -> dict[str, Any]:
        return export_restorer(self.views, self.card, model, self.steps, folder, photos)

    def borrow(self, folder: Path, model: Publication, lender: Path) -> dict[str, Any]:
        return borrow_graphs(self.views, self.card, model, self.steps, folder, lender)

    def open_restorer(self) -> NetModel:
        return NetModel(self.views)


def export_restorer(
    views: RestoringViews,
    card: SystemCard,
    model: Publication,
    steps: int,
    folder: Path,
    photos: PhotoSet | None = None,
) -> dict[str, Any]:
    """Write the model folder, the networks' weights folded and rounded to fp16 in place; returns the manifest.

    Parity is checked with real faces of ``photos`` where given, else with drawn pictures. Raises ParityError, and
    leaves ``folder`` as it was.
    """
    parameters = count_parameters(views.module)
    fold_modules(views.module)
    for module in views.module.eval():
        round_weights(module)
    examples = _draw_examples(views, photos)
    graphs = [
        Graph(
            name,
            view.module,
            {given: examples[given] for given in view.inputs},
            view.outputs,
            reference_inputs=tuple(n for n in view.inputs if _is_of_references(n)),
            check_only=tuple(n for n in view.outputs if n == EXACT),
        )
        for name, view in views.by_name.items()
    ]
    description = describe_model(card, model, steps, views.size, parameters, _golden_answers(views))
    given = {g.name: {name: value.numpy() for name, value in g.inputs.items()} for g in graphs}
    with prepare_folder(folder) as part:
        write_folder(part, graphs, description)
        return add_half_graphs(part, given)


def _is_of_references(name: str) -> bool:
    return name.startswith(FEATURE_PREFIX) or name == "reference_weight"


def _draw_examples(views: RestoringViews, photos: PhotoSet | None) -> dict[str, Tensor]:
    """Inputs of all graphs by name: two degraded faces, and three references for each."""
    rng = np.random.default_rng(0)
    size, count = views.size, FACES * REFERENCES
    pictures = [np.roll(golden_picture(size), 37 * i, (0, 1)) for i in range(count)]
    if photos is not None:
        files = [p.file for p in photos.split("val").photos][
            :count
        ]  # where they are fewer, drawn ones fill up
        pictures[: len(files)] = [
            np.asarray(cv2.resize(photos.read(f, 256), (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)
            for f in files
        ]
    bad = [degrade(p, moderate(rng), rng, size) for p in pictures[:FACES]]
    values = {
        "low_quality": torch.from_numpy(np.stack(bad)),
        "references": torch.from_numpy(np.stack(pictures)),
        # Row 1 of the second run, and the whole first run, have no reference at all.
        "reference_weight": torch.tensor([[0.0, 0.0, 0.0], [0.3, 1.0, 0.0]]),
        "fidelity": torch.tensor([0.5, 0.2]),
        GATE_STRENGTH: torch.tensor([1.0, 0.4]),
    }
    return values | _encode(views.encode_references, values["references"], REFERENCES)


def _golden_answers(views: RestoringViews) -> dict[str, Any]:
    golden = torch.from_numpy(golden_picture(views.size).copy())[None]
    values = {
        "low_quality": golden,
        "reference_weight": torch.ones(1, 1),
        "fidelity": torch.full((1,), 0.5),
        GATE_STRENGTH: torch.ones(1),
        **_encode(views.encode_references, golden.flip(2), 1),
    }
    answers = {"block_means": _measure(views.restore, values)}
    if views.restore_alone is not None:
        answers["block_means_alone"] = _measure(views.restore_alone, values)
    return {**answers, "tolerance": TOLERANCE}


def _measure(view: View, values: dict[str, Tensor]) -> list[float]:
    return [round(v, 2) for v in block_means(view.run(values)["restored"][0].numpy())]


def _encode(encoder: View | None, references: Tensor, count: int) -> dict[str, Tensor]:
    """Features [B, R, ...] of B * R references, R = ``count``; none without an encoder."""
    if encoder is None:
        return {}
    features = encoder.run({"references": references})
    return {name: value.unflatten(0, (-1, count)) for name, value in features.items()}
