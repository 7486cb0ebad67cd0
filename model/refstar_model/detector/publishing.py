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
from refstar_model.export import Graph, commit, round_weights, write_folder
from refstar_model.golden import golden_picture
from refstar_model.refstar.publishing import TRAINING_DATA

VERSION = "0.1.0"
SCENERY = (
    "Face-free pictures that scikit-image ships (brick, chelsea, coffee, grass, gravel, hubble deep field, moon, "
    "retina), CC0 or public domain; the raccoon of SciPy, public domain",
    "china.jpg by danielbuechele and flower.jpg by vultilion, of scikit-learn, CC BY 2.0",
)
LIMITS = (
    "Trained on composites of 716 photographs of 560 adults, mostly frontal: no profiles, no children, tilted by at "
    "most 35 degrees.",
    "It says where a face is, never whose.",
)


def publish(
    finder: Finder, refiner: Refiner, steps: int, folder: Path, photos: PhotoSet | None = None
) -> dict[str, Any]:
    """Export both (weights rounded to fp16) into ``folder``; returns the manifest. Raises ParityError."""
    detect, refine = Detect(finder).eval(), Refine(refiner).eval()
    round_weights(detect)
    round_weights(refine)
    view, crops = _examples(photos)
    golden = torch.from_numpy(golden_picture(CROP).copy())[None]
    with torch.no_grad():
        points = refine(golden)[1][0]
    graphs = [
        Graph("detect", detect, {"image": view}, ("scores", "boxes", "points"), view_input="image"),
        Graph("refine", refine, {"crops": crops}, ("scores", "points")),
    ]
    description = {
        "name": "refstar-detector",
        "version": VERSION,
        "system": "detector",
        "license": "Apache-2.0",
        "training_data": (*TRAINING_DATA, *SCENERY),
        "commit": commit(),
        "steps": steps,
        "input_size": CROP,
        "precision": "fp32 arithmetic, fp16 weights",
        "max_references": 0,
        "needs_references": False,
        "parameters": sum(p.numel() for m in (detect, refine) for p in m.parameters()),
        "quality": {},
        "limits": LIMITS,
        "golden": {"points": [[round(float(v), 2) for v in p] for p in points], "tolerance": 0.5},
    }
    return write_folder(folder, graphs, description)


def _examples(photos: PhotoSet | None) -> tuple[Tensor, Tensor]:
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
