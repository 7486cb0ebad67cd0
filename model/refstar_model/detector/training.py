"""Training the detector: ``refstar-model train detector --data FOLDER --teachers FOLDER --out runs/detector``.

First the finder, then the refiner, each with a checkpoint of its own below the folder. Before the refiner is trained,
the finder's mistakes on face-free pictures are collected: it must learn to tell those from faces. A later slice of its
training begins with collecting what both networks together still get wrong. An hour and a half on two CPU cores;
docs/training.md has the figures.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from refstar_model.data.credits import RECORD, Credit, credit_photos, record_training
from refstar_model.data.loading import open_loader
from refstar_model.data.photos import PhotoSet
from refstar_model.detector.backgrounds import SUFFIXES
from refstar_model.detector.labels import FaceLabel, Teachers, label_photos
from refstar_model.detector.losses import finder_loss, refiner_loss
from refstar_model.detector.mining import mine_mistakes
from refstar_model.detector.network import DetectorParams, Finder, Refiner
from refstar_model.detector.samples import Candidates, Cast, FinderSamples, RefinerSamples, Views
from refstar_model.layers.precision import autocast
from refstar_model.training import LoopParams, Loss, Moment, Run, Task, train_network
from refstar_model.training.checkpoint import read_average, write_whole
from refstar_model.training.loop import Step
from refstar_model.training.processes import Course

PARTS = ("finder", "refiner")
LABELS = "labels.npz"  # what the teachers said, in the folder of the run


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
    patience: int = 50  # batches of views without a mistake, after which no more are looked for
    seed: int = 0
    loaders: int = 1  # processes that draw samples; 0: this one does


def train(
    photos: PhotoSet,
    teachers: Teachers | None,
    backgrounds: Path | None,
    how: DetectorTraining,
    run: Run,
    parts: Sequence[str] = PARTS,
) -> Path:
    """Train on the photos' ``train`` people; returns the path of the averaged weights (``weights.pt``).

    Goes on where the folder of ``run`` holds checkpoints; the ``parts`` share its time. ``backgrounds`` is a
    folder of face-free photographs, whose textures make the negatives richer. ``teachers`` are asked once, and their
    labels kept.
    """
    people, folder = photos.split("train"), run.folder
    folder.mkdir(parents=True, exist_ok=True)
    actors = Cast(people, tuple(_read_labels(people, teachers, folder / LABELS)), backgrounds)
    if "finder" in parts:

        def build_finder(device: torch.device) -> Task[Views]:
            def open_batches(course: Course) -> Iterator[Views]:
                seed = _draw_seed(how, course)
                samples = FinderSamples(actors, how.views, how.view_side, seed)
                return open_loader(samples, how.loaders, device)

            module = Finder(how.network)
            return Task(module, open_batches, finder_step(module), weights=_read_start(run.start, "finder"))

        share = 0.5 if "refiner" in parts else 1.0
        train_network(build_finder, how.finder, run.below("finder", share), how.seed)
    if "refiner" in parts:

        def build_refiner(device: torch.device) -> Task[Candidates]:
            def open_batches(course: Course) -> Iterator[Candidates]:
                taught = replace(actors, mined=_collect_mistakes(actors, how, folder, course.start))
                samples = RefinerSamples(taught, how.candidates, _draw_seed(how, course))
                return open_loader(samples, how.loaders, device)

            module = Refiner(how.network)
            return Task(module, open_batches, refiner_step(module), weights=_read_start(run.start, "refiner"))

        train_network(build_refiner, how.refiner, run.below("refiner"), how.seed)
    given = (*credit_photos(people), *_credit_backgrounds(backgrounds))
    return _gather_weights(how, run, record_training(given, (run.start, run.previous)))


def _read_start(path: Path | None, name: str) -> dict[str, Tensor] | None:
    return None if path is None else torch.load(path, weights_only=True, map_location="cpu")[name]


def _draw_seed(how: DetectorTraining, course: Course) -> int:
    """A resumed run must not see the first run's draws again."""
    return how.seed + 1_000_003 * course.start


def _credit_backgrounds(folder: Path | None) -> Iterator[Credit]:
    if folder is not None:
        count = sum(path.suffix.lower() in SUFFIXES for path in folder.rglob("*"))
        yield Credit(f"photographs without faces from a folder {folder.name}", "license not on record", count)


def _gather_weights(how: DetectorTraining, run: Run, record: list[dict[str, Any]]) -> Path:
    """Both networks' averages in one file; one that was never trained is new."""
    torch.manual_seed(how.seed)
    networks: dict[str, nn.Module] = {"finder": Finder(how.network), "refiner": Refiner(how.network)}
    state: dict[str, object] = {"params": how.network.to_dict(), RECORD: record}
    for name, network in networks.items():
        average, done = read_average(run.folder / name) or (network.state_dict(), 0)
        state[name], state[f"{name}_steps"] = average, done
    write_whole(run.weights, state)
    return run.weights


def load(path: Path) -> tuple[Finder, Refiner, int]:
    """Both networks of a ``weights.pt`` in evaluation mode, and the steps they were trained for together."""
    state = torch.load(path, weights_only=True)
    params = DetectorParams.from_dict(state["params"])
    finder, refiner = Finder(params), Refiner(params)
    finder.load_state_dict(state["finder"])
    refiner.load_state_dict(state["refiner"])
    return finder.eval(), refiner.eval(), int(state["finder_steps"]) + int(state["refiner_steps"])


def finder_step(module: nn.Module) -> Step[Views]:
    """A training step on ``Views``."""

    def step(views: Views, moment: Moment) -> Loss:
        return finder_loss(_answer(module, views.view), views)

    return step


def refiner_step(module: nn.Module) -> Step[Candidates]:
    """A training step on ``Candidates``."""

    def step(batch: Candidates, moment: Moment) -> Loss:
        return refiner_loss(_answer(module, batch.crop), batch)

    return step


def _answer(module: nn.Module, pictures: Tensor) -> Tensor:
    with autocast(pictures.device):
        return cast(Tensor, module(pictures.float().contiguous(memory_format=torch.channels_last)))


def _collect_mistakes(actors: Cast, how: DetectorTraining, folder: Path, done: int) -> Path:
    """The file of mistakes for the refiner: the finder's at first, later also three copies of those of both."""
    first, path = folder / "mistakes.npy", folder / f"mistakes-{done}.npy"
    finder = Finder(how.network)
    if (seen := read_average(folder / "finder")) is None:
        raise FileNotFoundError(f"{folder / 'finder'}: no checkpoint; train the finder before the refiner")
    finder.load_state_dict(seen[0])
    if not first.is_file():
        np.save(first, mine_mistakes(finder, actors, how.mistakes, how.seed + 9, how.patience))
    if not done:
        return first
    if not path.is_file():
        refiner = Refiner(how.network)
        if (learned := read_average(folder / "refiner")) is not None:
            refiner.load_state_dict(learned[0])
        stubborn = mine_mistakes(finder, actors, how.mistakes // 5, how.seed + done, how.patience, refiner)
        print(f"refiner: {len(stubborn)} mistakes of both networks")
        np.save(path, np.concatenate([np.load(first), *[stubborn] * 3]))
    return path


def _read_labels(photos: PhotoSet, teachers: Teachers | None, path: Path) -> list[FaceLabel]:
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
