"""From trained weights to the model folder that the service ships."""

from pathlib import Path
from typing import Any

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from refstar_model.data.degradation import degrade, moderate
from refstar_model.data.photos import PhotoSet
from refstar_model.export import Graph, commit, round_weights, write_folder
from refstar_model.golden import block_means, golden_picture
from refstar_model.half_precision import halve
from refstar_model.model_folder import prepared
from refstar_model.refstar.export_view import EncodeReferences, Restore, RestoreAlone, features_of
from refstar_model.refstar.network import RefStar

VERSION = "0.3.2"
MAX_REFERENCES = 8
TRAINING_DATA = (
    "Face Research Lab London Set v5, DeBruine & Jones 2017, doi 10.6084/m9.figshare.5047666.v5, CC BY 4.0",
    "Young Adult White Faces with Manipulated Versions v1, DeBruine & Jones 2017, doi 10.6084/m9.figshare.4220517.v1, "
    "CC BY 4.0",
    "Self-portraits of L. DeBruine (webmorphR.stim), CC0 1.0",
    "Official portraits of members of the US Congress and presidents, US government works, presumed public domain",
)
LIMITS = (
    "Trained on 716 photographs of 560 adults, mostly frontal, smiling, well lit; no profiles, no children.",
    "Detail may be invented or carried over from the reference (expression, glasses, beard, age). "
    "Not for identification or evidence.",
    "Another person's reference is mostly, but not always, recognized as such and left alone.",
)


def publish(net: RefStar, steps: int, folder: Path, photos: PhotoSet | None = None) -> dict[str, Any]:
    """Export ``net`` (its weights are rounded to fp16) into ``folder``, as fp32 and as fp16; returns the manifest.

    Parity is checked with real faces of ``photos`` where given, else with drawn pictures. Raises ParityError,
    and leaves ``folder`` as it was.
    """
    round_weights(net)
    size = net.params.size
    low_quality, references = _examples(size, photos)
    encode, restore, alone = EncodeReferences(net).eval(), Restore(net).eval(), RestoreAlone(net).eval()
    count, names = 3, features_of(net)
    with torch.no_grad():
        features = [f.unflatten(0, (len(low_quality), count)) for f in encode(references)]
        golden = torch.from_numpy(golden_picture(size).copy())
        seen = [f.unflatten(0, (1, 1)) for f in encode(golden.flip(1)[None])]
        knob = torch.full((1,), 0.5)
        answer = restore(golden[None], torch.ones(1, 1), knob, *seen)[0]
        answer_alone = alone(golden[None], knob)[0]
    inputs = {
        "low_quality": low_quality,
        # Row 1 of the second run, and the whole first run, have no reference at all.
        "reference_weight": torch.tensor([[0.0, 0.0, 0.0], [0.3, 1.0, 0.0]]),
        "fidelity": torch.tensor([0.5, 0.2]),
        **dict(zip(names, features, strict=True)),
    }
    graphs = [
        Graph("encode_references", encode, {"references": references}, names),
        Graph(
            "restore",
            restore,
            inputs,
            ("restored", "selection", "finite", "exact"),
            reference_inputs=(*names, "reference_weight"),
            check_only=("exact",),
        ),
        Graph(
            "restore_alone",
            alone,
            {name: inputs[name] for name in ("low_quality", "fidelity")},
            ("restored", "finite", "exact"),
            check_only=("exact",),
        ),
    ]
    description = {
        "name": "refstar",
        "version": VERSION,
        "system": "refstar",
        "license": "Apache-2.0",
        "training_data": TRAINING_DATA,
        "commit": commit(),
        "steps": steps,
        "input_size": size,
        "precision": "fp32 arithmetic, fp16 weights",
        "max_references": MAX_REFERENCES,
        "needs_references": False,
        "ranks": {"with_references": 1, "without_references": 2},
        "parameters": sum(p.numel() for p in net.parameters()),
        "quality": {},
        "limits": LIMITS,
        "golden": {
            "block_means": [round(v, 2) for v in block_means(answer[0].numpy())],
            "block_means_alone": [round(v, 2) for v in block_means(answer_alone[0].numpy())],
            "tolerance": 1.0,
        },
    }
    examples = {g.name: {name: value.numpy() for name, value in g.inputs.items()} for g in graphs}
    with prepared(folder) as part:
        write_folder(part, graphs, description)
        return halve(part, examples)


def _examples(size: int, photos: PhotoSet | None) -> tuple[Tensor, Tensor]:
    """Two degraded faces [2, S, S, 3] and three references for each [6, S, S, 3], uint8."""
    rng = np.random.default_rng(0)
    if photos is None:
        pictures = [np.roll(golden_picture(size), 37 * i, (0, 1)) for i in range(6)]
    else:
        files = [p.file for p in photos.split("val").photos][:6]
        pictures = [_resized(photos.read(f, 256), size) for f in files]
    bad = [degrade(p, moderate(rng), rng, size) for p in pictures[:2]]
    return torch.from_numpy(np.stack(bad)), torch.from_numpy(np.stack(pictures))


def _resized(picture: NDArray[np.uint8], size: int) -> NDArray[np.uint8]:
    return np.asarray(cv2.resize(picture, (size, size), interpolation=cv2.INTER_CUBIC), np.uint8)
