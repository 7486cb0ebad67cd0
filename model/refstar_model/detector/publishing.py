"""From trained weights to the detector's folder that the service ships."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from torch import Tensor

from refstar_model.data.photos import PhotoSet
from refstar_model.detector.export_view import Detect, Refine
from refstar_model.detector.network import CROP, Finder, Refiner
from refstar_model.export.card import Publication, SystemCard, describe_model
from refstar_model.export.golden import golden_picture
from refstar_model.export.graph import Graph, round_weights, write_folder
from refstar_model.export.views import count_parameters

CARD = SystemCard(
    system="detector",
    limits=(
        "Trained on composites: heads are tilted by at most 35 degrees.",
        "It says where a face is, never whose.",
    ),
)


def export_detector(
    finder: Finder,
    refiner: Refiner,
    model: Publication,
    steps: int,
    folder: Path,
    photos: PhotoSet | None = None,
) -> dict[str, Any]:
    """Export both (weights rounded to fp16) into ``folder``; returns the manifest. Raises ParityError."""
    detect, refine = Detect(finder).eval(), Refine(refiner).eval()
    round_weights(detect)
    round_weights(refine)
    view, crops = _draw_examples(photos)
    golden = torch.from_numpy(golden_picture(CROP).copy())[None]
    with torch.no_grad():
        points = refine(golden)[1][0]
    graphs = [
        Graph("detect", detect, {"image": view}, ("scores", "boxes", "points"), view_input="image"),
        Graph("refine", refine, {"crops": crops}, ("scores", "points")),
    ]
    golden_points = [[round(float(v), 2) for v in p] for p in points]
    description = describe_model(
        CARD,
        model,
        steps,
        CROP,
        count_parameters((detect, refine)),
        {"points": golden_points, "tolerance": 0.5},
    )
    return write_folder(folder, graphs, description)


def _draw_examples(photos: PhotoSet | None) -> tuple[Tensor, Tensor]:
    """A view [1, 96, 128, 3] and four crops [4, 64, 64, 3], uint8."""
    if photos is None:
        pictures = [np.roll(golden_picture(64), 11 * i, (0, 1)) for i in range(4)]
    else:
        files = [p.file for p in photos.split("val").photos][:4]
        pictures = [
            cv2.resize(photos.read(f, 256), (CROP, CROP), interpolation=cv2.INTER_AREA) for f in files
        ]
    view = np.zeros((96, 128, 3), np.uint8)
    view[16:80, :64], view[16:80, 64:] = pictures[0], pictures[1]
    return torch.from_numpy(view[None]), torch.from_numpy(np.stack(pictures))
