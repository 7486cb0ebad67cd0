"""Training RefSTAR: ``refstar-model train refstar --data FOLDER --recognizer mobileface_v3.onnx --out runs/refstar``.

Two CPU cores do about 1.3 steps of four faces a second; docs/training.md has the learning curve.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import torch
from torch import Tensor
from torch.utils.data import DataLoader

from refstar_model.data.pairs import Batch, SampleMix, Samples
from refstar_model.data.photos import PhotoSet
from refstar_model.layers.pyramid import down
from refstar_model.recognition import Recognizer
from refstar_model.refstar.losses import LossWeights, Target, restoration_loss
from refstar_model.refstar.network import SMALL, RefStar, RefStarParams
from refstar_model.training import Loop, LoopParams


@dataclass(frozen=True)
class RefStarTraining:
    network: RefStarParams = SMALL
    loop: LoopParams = field(default_factory=LoopParams)
    mix: SampleMix = field(default_factory=SampleMix)
    losses: LossWeights = field(default_factory=LossWeights)
    batch: int = 4
    seed: int = 0
    identity_from: float = 0.5  # share of the run after which the identity loss fades in


def train(
    photos: PhotoSet,
    recognizer: Recognizer | None,
    how: RefStarTraining,
    folder: Path,
    minutes: float = float("inf"),
) -> Path:
    """Train on the photos' ``train`` people; returns the path of the averaged weights (``weights.pt``).

    Goes on from ``folder`` when it holds a checkpoint. ``recognizer`` gives the identity loss and the look-alikes;
    without one both are off.
    """
    torch.manual_seed(how.seed)
    people = photos.split("train")
    module = RefStar(how.network).to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    loop = Loop(module, how.loop, folder)
    if loop.resume():
        print(f"resuming at step {loop.done} of {how.loop.steps}")
    alike = lookalikes(people, recognizer) if recognizer is not None else {}
    # A resumed run must not see the first run's draws again.
    samples = Samples(people, how.mix, how.batch, how.seed + 1_000_003 * loop.done, alike)
    # Spawned, not forked: a child forked from a process whose OpenCV has started threads hangs in its first warp.
    loader = DataLoader(
        samples, batch_size=None, num_workers=1, prefetch_factor=4, multiprocessing_context="spawn"
    )

    def step(item: object, progress: float) -> tuple[Tensor, dict[str, float]]:
        fade = (progress - how.identity_from) / 0.1
        return training_step(module, cast(Batch, item), how.losses, recognizer, min(1.0, max(0.0, fade)))

    loop.run(cast(Iterator[object], iter(loader)), step, minutes)
    weights = folder / "weights.pt"
    torch.save({"params": how.network.to_dict(), "step": loop.done, "weights": loop.average}, weights)
    return weights


def training_step(
    module: RefStar, batch: Batch, losses: LossWeights, recognizer: Recognizer | None, identity_share: float
) -> tuple[Tensor, dict[str, float]]:
    truth = batch.truth.float() / 255
    references = batch.references.float() / 255
    low_quality = (batch.low_quality.float() / 255).contiguous(memory_format=torch.channels_last)
    skip = (low_quality.shape[-1] // truth.shape[-1]).bit_length() - 1
    weight = batch.present.float()
    with torch.autocast("cpu", torch.bfloat16):
        features = module.encode(references)
        result = module(low_quality, references, features, weight, batch.fidelity, skip)
    seen = references
    for _ in range(skip):
        seen = down(seen.flatten(0, 1)).unflatten(0, seen.shape[:2])
    target = Target(truth, batch.present, batch.right, batch.fidelity)
    return restoration_loss(result, target, seen, losses, recognizer, identity_share)


def lookalikes(photos: PhotoSet, recognizer: Recognizer, count: int = 8) -> dict[str, list[str]]:
    """For every file, the files of other people whose faces the recognizer finds most alike."""
    files = [p.file for p in photos.photos]
    people = [p.person for p in photos.photos]
    with torch.no_grad():
        rows = []
        for start in range(0, len(files), 32):
            pictures = [torch.from_numpy(photos.read(f, 256)) for f in files[start : start + 32]]
            rows.append(recognizer.embed(torch.stack(pictures).permute(0, 3, 1, 2).float() / 255))
        cosine = torch.cat(rows) @ torch.cat(rows).T
    same = torch.tensor([[a == b for b in people] for a in people])
    best = cosine.masked_fill(same, -2).topk(count, 1).indices
    return {file: [files[int(i)] for i in row] for file, row in zip(files, best, strict=True)}


def load(path: Path) -> tuple[RefStar, int]:
    """The net of a ``weights.pt`` in evaluation mode, and how many steps it was trained for."""
    state = torch.load(path, weights_only=True)
    module = RefStar(RefStarParams.from_dict(state["params"]))
    module.load_state_dict(state["weights"])
    return module.eval(), int(state["step"])
