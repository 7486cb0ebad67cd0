"""Training the detector: ``refstar-model train detector --data FOLDER --teachers FOLDER --out runs/detector``.

First the finder, then the refiner, each with a checkpoint of its own below the folder. Before the refiner is trained,
the finder's mistakes on face-free pictures are collected: it must learn to tell those from faces. A later slice of its
training begins with collecting what both networks together still get wrong. An hour and a half on two CPU cores;
docs/training.md has the figures.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset

from refstar_model.data.photos import PhotoSet
from refstar_model.detector.labels import FaceLabel, Teachers, label_photos
from refstar_model.detector.losses import finder_loss, refiner_loss
from refstar_model.detector.mining import mine
from refstar_model.detector.network import DetectorParams, Finder, Refiner
from refstar_model.detector.samples import Candidates, Cast, FinderSamples, RefinerSamples, Views
from refstar_model.training import Loop, LoopParams

PARTS = ("finder", "refiner")
Step = Callable[[object, float], tuple[Tensor, dict[str, float]]]


@dataclass(frozen=True)
class DetectorTraining:
    network: DetectorParams = field(default_factory=DetectorParams)
    finder: LoopParams = field(
        default_factory=lambda: LoopParams(steps=9000, learning_rate=2e-3, clip=5.0, average=0.998)
    )
    refiner: LoopParams = field(
        default_factory=lambda: LoopParams(steps=7000, learning_rate=2e-3, clip=5.0, average=0.998)
    )
    views: int = 16  # a batch
    view_side: int = 192
    candidates: int = 48  # a batch
    mistakes: int = 12_000  # of the finder, collected for the refiner
    seed: int = 0
    loaders: int = 1  # processes that draw samples; 0: this one does


def train(
    photos: PhotoSet,
    teachers: Teachers | None,
    backgrounds: Path | None,
    how: DetectorTraining,
    folder: Path,
    minutes: float = float("inf"),
    parts: Sequence[str] = PARTS,
) -> Path:
    """Train on the photos' ``train`` people; returns the path of the averaged weights (``weights.pt``).

    Goes on where ``folder`` holds checkpoints; ``minutes`` bounds each of the ``parts``. ``backgrounds`` is a folder of
    face-free photographs, whose textures make the negatives richer. ``teachers`` are asked once, and their labels kept.
    """
    people = photos.split("train")
    folder.mkdir(parents=True, exist_ok=True)
    actors = Cast(people, tuple(_labels(people, teachers, folder / "labels.npz")), backgrounds)
    torch.manual_seed(how.seed)
    networks: dict[str, nn.Module] = {"finder": Finder(how.network), "refiner": Refiner(how.network)}
    state: dict[str, object] = {"params": how.network.to_dict()}
    for name, network in networks.items():
        params = how.finder if name == "finder" else how.refiner
        module = network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
        loop = Loop(module, params, folder / name)
        if loop.resume():
            print(f"{name}: resuming at step {loop.done} of {params.steps}")
        # A resumed run must not see the first run's draws again.
        seed = how.seed + 1_000_003 * loop.done
        if name in parts and loop.done < params.steps:
            samples: IterableDataset[Views] | IterableDataset[Candidates]
            if name == "finder":
                samples, step = FinderSamples(actors, how.views, how.view_side, seed), finder_step(module)
            else:
                taught = replace(actors, mined=_mined(actors, how, folder, loop.done))
                samples, step = RefinerSamples(taught, how.candidates, seed), refiner_step(module)
            # Spawned, not forked: a child forked from a process whose OpenCV has started threads hangs.
            apart: dict[str, Any] = {"prefetch_factor": 4, "multiprocessing_context": "spawn"}
            loader = DataLoader(
                samples, batch_size=None, num_workers=how.loaders, **(apart if how.loaders else {})
            )
            loop.run(cast(Iterator[object], iter(loader)), step, minutes)
        state[name], state[f"{name}_steps"] = loop.average, loop.done
    weights = folder / "weights.pt"
    torch.save(state, weights)
    return weights


def load(path: Path) -> tuple[Finder, Refiner, int]:
    """Both networks of a ``weights.pt`` in evaluation mode, and the steps they were trained for together."""
    state = torch.load(path, weights_only=True)
    params = DetectorParams.from_dict(state["params"])
    finder, refiner = Finder(params), Refiner(params)
    finder.load_state_dict(state["finder"])
    refiner.load_state_dict(state["refiner"])
    return finder.eval(), refiner.eval(), int(state["finder_steps"]) + int(state["refiner_steps"])


def finder_step(module: nn.Module) -> Step:
    """A training step on ``Views``."""

    def step(item: object, progress: float) -> tuple[Tensor, dict[str, float]]:
        views = cast(Views, item)
        return finder_loss(_answer(module, views.view), views)

    return step


def refiner_step(module: nn.Module) -> Step:
    """A training step on ``Candidates``."""

    def step(item: object, progress: float) -> tuple[Tensor, dict[str, float]]:
        batch = cast(Candidates, item)
        return refiner_loss(_answer(module, batch.crop), batch)

    return step


def _answer(module: nn.Module, pictures: Tensor) -> Tensor:
    with torch.autocast("cpu", torch.bfloat16):
        return cast(Tensor, module(pictures.float().contiguous(memory_format=torch.channels_last)))


def _mined(actors: Cast, how: DetectorTraining, folder: Path, done: int) -> Path:
    """The file of mistakes for the refiner: the finder's at first, later also three copies of those of both."""
    first, path = folder / "mistakes.npy", folder / f"mistakes-{done}.npy"
    finder = Finder(how.network)
    finder.load_state_dict(torch.load(folder / "finder/checkpoint.pt", weights_only=True)["average"])
    if not first.is_file():
        np.save(first, mine(finder, actors, how.mistakes, how.seed + 9))
    if not done:
        return first
    if not path.is_file():
        refiner = Refiner(how.network)
        refiner.load_state_dict(torch.load(folder / "refiner/checkpoint.pt", weights_only=True)["average"])
        stubborn = mine(finder, actors, how.mistakes // 5, how.seed + done, refiner)
        print(f"refiner: {len(stubborn)} mistakes of both networks")
        np.save(path, np.concatenate([np.load(first), *[stubborn] * 3]))
    return path


def _labels(photos: PhotoSet, teachers: Teachers | None, path: Path) -> list[FaceLabel]:
    """The teachers' labels, kept beside the checkpoints: they take half a minute."""
    if path.is_file():
        with np.load(path) as kept:
            return [
                FaceLabel(str(f), p, b)
                for f, p, b in zip(kept["name"], kept["points"], kept["box"], strict=True)
            ]
    if teachers is None:
        raise FileNotFoundError(f"{path}: no labels are kept there, and no teachers are given")
    labels = label_photos(photos, teachers)
    np.savez(
        path,
        name=[x.file for x in labels],
        points=np.stack([x.points for x in labels]),
        box=np.stack([x.box for x in labels]),
    )
    return labels
