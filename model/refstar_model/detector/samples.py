"""What the two networks learn from: views with their places labeled, and candidate crops."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import cv2
import numpy as np
import torch
from numpy.typing import NDArray
from torch.utils.data import IterableDataset

from refstar_model.data.batch import TensorBatch
from refstar_model.data.photos import PhotoSet
from refstar_model.detector.backgrounds import draw_background, draw_patchwork, read_folder
from refstar_model.detector.geometry import CROP_TEMPLATE, cut_crop, similarity
from refstar_model.detector.labels import SIDE, FaceLabel
from refstar_model.detector.network import CROP, STRIDE, UNIT
from refstar_model.detector.scenes import Actor, PlacedFace, place, spoil, vary_actor

Pixels = NDArray[np.uint8]
SMALLEST, LARGEST = 9.0, 48.0  # side of the box in a view: what the finder must find
UNSURE = (6.5, 66.0)  # between these and the former, finding is neither right nor wrong
STEEPEST = 35.0  # degrees


@dataclass(frozen=True)
class Cast:
    """Where faces and backgrounds come from. Pictures are read where they are used: in the loader's process."""

    photos: PhotoSet
    labels: tuple[FaceLabel, ...]
    backgrounds: Path | None
    mined: Path | None = None  # crops of what the finder took for faces, an .npy of [n, 64, 64, 3]

    @cached_property
    def mistakes(self) -> Pixels:
        return np.load(self.mined, mmap_mode="r") if self.mined else np.zeros((0, CROP, CROP, 3), np.uint8)

    @cached_property
    def actors(self) -> list[Actor]:
        return [Actor(self.photos.read(x.file, SIDE), x.points, x.box) for x in self.labels]

    @cached_property
    def scenery(self) -> list[Pixels]:
        return read_folder(self.backgrounds) if self.backgrounds else []

    def background(self, height: int, width: int, rng: np.random.Generator) -> Pixels:
        """A picture without a face."""
        if rng.random() < 0.35:
            return draw_background(height, width, rng)
        faces = [self.actors[int(i)].picture for i in rng.integers(len(self.actors), size=4)]
        return draw_patchwork(height, width, faces, self.scenery, rng)

    def actor(self, rng: np.random.Generator) -> Actor:
        return vary_actor(self.actors[int(rng.integers(len(self.actors)))], rng)


@dataclass(frozen=True)
class Views(TensorBatch):
    """view uint8 [N, 3, V, V]; wanted float [N, 15, V / 8, V / 8], of which [:, 0] is 1 face, 0 none, -1 not judged;
    the rest as the finder's outputs, meaningful where there is a face; size float [N, V / 8, V / 8], the face's side in
    units.
    """

    view: torch.Tensor
    wanted: torch.Tensor
    size: torch.Tensor


@dataclass(frozen=True)
class Candidates(TensorBatch):
    """crop uint8 [N, 3, 64, 64]; face bool [N]; points float [N, 5, 2] in crop pixels, where ``face``."""

    crop: torch.Tensor
    face: torch.Tensor
    points: torch.Tensor


def angle(rng: np.random.Generator) -> float:
    return float(rng.normal(0, 8) if rng.random() < 0.6 else rng.uniform(-STEEPEST, STEEPEST))


def draw_view(cast: Cast, side: int, rng: np.random.Generator) -> tuple[Pixels, list[PlacedFace]]:
    """A view [side, side, 3] and its faces, of sizes that the finder must, may and must not find."""
    scene = cast.background(side, side, rng)
    placed: list[PlacedFace] = []
    kind = rng.random()
    count = 0 if kind < 0.15 else int(rng.integers(1, 4)) if kind < 0.7 else int(rng.integers(3, 9))
    common = float(np.exp(rng.uniform(np.log(SMALLEST), np.log(LARGEST))))
    for _ in range(count):
        if rng.random() < 0.12:
            size = float(np.exp(rng.uniform(np.log(LARGEST), np.log(1.2 * side))))
        else:
            size = float(np.clip(common * np.exp(rng.normal(0, 0.35)), UNSURE[0], UNSURE[1]))
        for _ in range(8):
            center = rng.uniform(-0.1 * size, side + 0.1 * size, 2)
            apart = 0.55 * size
            if all(
                np.abs(center - (f.box[:2] + f.box[2:] / 2)).max() > apart + 0.55 * f.size for f in placed
            ):
                placed.append(place(scene, cast.actor(rng), (center[0], center[1]), size, angle(rng), rng))
                break
    detail = min((f.size for f in placed), default=float(np.exp(rng.uniform(np.log(10), np.log(60)))))
    return spoil(scene, rng, float(np.clip(detail, 10, 80))), placed


def label_places(faces: Sequence[PlacedFace], side: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """[15, side / 8, side / 8] and sizes [side / 8, side / 8], as ``Views`` has them."""
    cells = side // STRIDE
    wanted = np.zeros((15, cells, cells), np.float32)
    sizes = np.ones((cells, cells), np.float32)
    axis = np.arange(cells) * STRIDE + (STRIDE - 1) / 2
    at = np.stack(np.meshgrid(axis, axis), -1)  # [cells, cells, 2]
    for face in sorted(faces, key=lambda f: -f.size):
        middle = face.box[:2] + face.box[2:] / 2
        far = np.linalg.norm(at - middle, axis=-1)
        if not UNSURE[0] < face.size < UNSURE[1]:
            if face.size <= UNSURE[0]:
                wanted[0][far < STRIDE] = -1
            continue
        seen = np.clip(np.minimum(face.box[:2] + face.box[2:], side) - np.maximum(face.box[:2], 0), 0, None)
        whole = seen.prod() / face.box[2:].prod()
        near = far <= 0.2 * face.size
        near[np.unravel_index(far.argmin(), far.shape)] = True
        wanted[0][(far < 0.5 * face.size) & (wanted[0] == 0)] = -1
        if (
            not (SMALLEST <= face.size <= LARGEST)
            or whole < 0.7
            or not ((middle > 0) & (middle < side)).all()
        ):
            wanted[0][near] = -1
            continue
        wanted[0][near] = 1
        sizes[near] = face.size / UNIT
        wanted[1:3, near] = ((middle - at[near]) / UNIT).T
        wanted[3:5, near] = np.log(face.box[2:] / UNIT)[:, None]
        wanted[5:, near] = ((face.points[None] - at[near][:, None]) / UNIT).reshape(-1, 10).T
    return wanted, sizes


class FinderSamples(IterableDataset[Views]):
    """An endless stream of batches of views, the same for the same seed."""

    def __init__(self, cast: Cast, batch: int, side: int, seed: int) -> None:
        self.cast, self.batch, self.side, self.seed = cast, batch, side, seed

    def __iter__(self) -> Iterator[Views]:
        rng = np.random.default_rng(self.seed)
        cv2.setNumThreads(1)
        while True:
            views, wanted, sizes = [], [], []
            for _ in range(self.batch):
                view, faces = draw_view(self.cast, self.side, rng)
                answers, size = label_places(faces, self.side)
                views.append(view.transpose(2, 0, 1))
                wanted.append(answers)
                sizes.append(size)
            yield Views(*(torch.from_numpy(np.stack(part)) for part in (views, wanted, sizes)))


def draw_candidate(cast: Cast, rng: np.random.Generator) -> tuple[Pixels, bool, NDArray[np.float32]]:
    """A crop as the refiner meets it, whether it is a face, and the five points in the crop.

    Faces lie roughly where the finder would say; others are face-free, or beside the mark: a part of a face, a face far
    too large or too small for the crop.
    """
    size = float(np.exp(rng.uniform(np.log(11), np.log(110))))
    side = int(2.6 * size) + 8
    kind = rng.random()
    points: NDArray[np.float32] = CROP_TEMPLATE.astype(np.float32)
    if kind < 0.28 and len(cast.mistakes):
        return _alter_crop(cast.mistakes[int(rng.integers(len(cast.mistakes)))], rng), False, points
    scene = cast.background(side, side, rng)
    if kind < 0.14:
        own = similarity(CROP_TEMPLATE * (size / 40) + rng.uniform(0, 0.4, 2) * side, CROP_TEMPLATE)
        return cut_crop(spoil(scene, rng, size), own), False, points
    middle = rng.uniform(0.42, 0.58, 2) * side
    face = place(scene, cast.actor(rng), (middle[0], middle[1]), size, angle(rng), rng)
    if rng.random() < 0.3:  # a neighbor that covers a part
        way = np.array([rng.choice([-1, 1]), rng.uniform(-0.4, 0.4)])
        beside = middle + way * rng.uniform(0.9, 1.2) * size
        place(scene, cast.actor(rng), (beside[0], beside[1]), size * rng.uniform(0.7, 1.2), angle(rng), rng)
    real = kind < 0.86
    found = _miss_points(face.points, rng) if not real else _nudge_points(face.points, rng)
    matrix = similarity(found, CROP_TEMPLATE)
    points = (face.points @ matrix[:, :2].T + matrix[:, 2]).astype(np.float32)
    return cut_crop(spoil(scene, rng, size), matrix), real, points


def _alter_crop(crop: Pixels, rng: np.random.Generator) -> Pixels:
    """A mined crop mirrored, in other colors and slightly moved, so that it is not learnt by heart."""
    out = crop[:, ::-1] if rng.random() < 0.5 else crop
    gain = rng.uniform(0.6, 1.4) * (rng.uniform(0.8, 1.2, 3) if rng.random() < 0.5 else np.ones(3))
    if rng.random() < 0.3:
        out = out[..., rng.permutation(3)]
    out = np.clip(out * gain + rng.uniform(-25, 25), 0, 255).astype(np.uint8)
    turn, zoom = rng.normal(0, 5), np.exp(rng.normal(0, 0.08))
    matrix = cv2.getRotationMatrix2D(((CROP - 1) / 2, (CROP - 1) / 2), turn, zoom)
    matrix[:, 2] += rng.normal(0, 1.5, 2)
    return np.asarray(
        cv2.warpAffine(np.ascontiguousarray(out), matrix, (CROP, CROP), borderMode=cv2.BORDER_REFLECT_101),
        np.uint8,
    )


def _nudge_points(points: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Points as a finder might have them: turned, scaled and moved a little."""
    return _move_points(points, rng.normal(0, 6), np.exp(rng.normal(0, 0.1)), rng.normal(0, 0.1, 2))


def _miss_points(points: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Points that are no face's: far beside it, or of another size by half and more."""
    if rng.random() < 0.5:
        way = rng.uniform(0, 2 * np.pi)
        shift = rng.uniform(0.8, 1.8) * np.array([np.cos(way), np.sin(way)])
        return _move_points(points, rng.normal(0, 12), np.exp(rng.normal(0, 0.2)), shift)
    larger = rng.random() < 0.35
    scale = (
        np.exp(rng.uniform(np.log(2.0), np.log(3.0)))
        if larger
        else np.exp(rng.uniform(np.log(0.15), np.log(0.5)))
    )
    return _move_points(points, rng.normal(0, 12), scale, rng.uniform(-0.8, 0.8, 2))


def _move_points(
    points: NDArray[np.float32], turn: float, scale: float, shift: NDArray[np.float64]
) -> NDArray[np.float32]:
    """``shift`` in inter-ocular distances, ``turn`` in degrees."""
    middle, iod = points.mean(0), np.linalg.norm(points[1] - points[0])
    radians = np.deg2rad(turn)
    linear = scale * np.array([[np.cos(radians), -np.sin(radians)], [np.sin(radians), np.cos(radians)]])
    return np.asarray((points - middle) @ linear.T + middle + shift * iod, np.float32)


class RefinerSamples(IterableDataset[Candidates]):
    """An endless stream of batches of candidates, the same for the same seed."""

    def __init__(self, cast: Cast, batch: int, seed: int) -> None:
        self.cast, self.batch, self.seed = cast, batch, seed

    def __iter__(self) -> Iterator[Candidates]:
        rng = np.random.default_rng(self.seed)
        cv2.setNumThreads(1)
        while True:
            crops, faces, points = zip(
                *(draw_candidate(self.cast, rng) for _ in range(self.batch)), strict=True
            )
            yield Candidates(
                torch.from_numpy(np.stack([c.transpose(2, 0, 1) for c in crops])),
                torch.tensor(faces),
                torch.from_numpy(np.stack(points)),
            )
