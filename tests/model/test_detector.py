"""The detector learns from scenes whose labels are right, and the service runs what was exported."""

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from documented import DOCS, find_command, swap_words
from refstar_model import cli
from refstar_model.data.credits import RECORD
from refstar_model.data.photos import PhotoSet
from refstar_model.detector import geometry
from refstar_model.detector.backgrounds import draw_background, draw_patchwork, read_folder
from refstar_model.detector.export_view import Detect, Refine
from refstar_model.detector.labels import SIDE, FaceLabel
from refstar_model.detector.losses import finder_loss, refiner_loss
from refstar_model.detector.network import DetectorParams, Finder, Refiner
from refstar_model.detector.samples import (
    Cast,
    FinderSamples,
    RefinerSamples,
    Views,
    label_places,
)
from refstar_model.detector.scenes import Actor, PlacedFace, place, vary_actor
from refstar_model.detector.training import DetectorTraining, finder_step, load, train
from refstar_model.export.graph import round_weights
from refstar_model.training import Moment, Run
from refstar_service.engine.manifest import load_manifest
from refstar_service.faces import detect as runtime

SMALL = DetectorParams(8, 16, 1, (8, 8, 8, 8))
POINTS = (geometry.TEMPLATE / 2).astype(np.float32)
BOX = np.array([59, 48, 138, 187], np.float32)


@pytest.fixture(scope="module")
def cast(photos: PhotoSet) -> Cast:
    train_people = photos.split("train")
    return Cast(train_people, tuple(FaceLabel(p.file, POINTS, BOX) for p in train_people.photos), None)


def dotted() -> Actor:
    """A black picture with one bright spot on each of the five points."""
    picture = np.zeros((SIDE, SIDE, 3), np.uint8)
    for x, y in POINTS:
        cv2.circle(
            picture, (round(float(x) * 16), round(float(y) * 16)), 5 * 16, (255, 255, 255), -1, shift=4
        )
    return Actor(picture, POINTS, BOX)


def spot(picture: np.ndarray, near: np.ndarray, reach: int) -> np.ndarray:
    """Center of brightness around a place."""
    x, y = (round(float(v)) for v in near)
    part = picture[y - reach : y + reach + 1, x - reach : x + reach + 1].astype(float).mean(-1)
    rows, columns = np.mgrid[y - reach : y + reach + 1, x - reach : x + reach + 1]
    return np.array([(part * columns).sum(), (part * rows).sum()]) / part.sum()


@pytest.mark.parametrize("size", [60.0, 130.0])
@pytest.mark.parametrize("turn", [-30.0, 0.0, 20.0])
def test_the_labels_of_a_placed_face_are_where_its_points_were_painted(size: float, turn: float) -> None:
    rng = np.random.default_rng(4)
    for _ in range(4):  # edges are drawn at random
        scene = np.zeros((300, 320, 3), np.uint8)
        face = place(scene, dotted(), (150.3, 140.7), size, turn, rng)
        for point in face.points:
            assert np.linalg.norm(spot(scene, point, int(size / 14)) - point) < 0.3
        assert np.allclose(face.box[:2] + face.box[2:] / 2, (150.3, 140.7), atol=0.6)


def test_a_varied_face_carries_its_points_along() -> None:
    for seed in range(30):
        rng = np.random.default_rng(seed)
        actor = vary_actor(dotted(), rng)
        left, right, nose, *mouth = actor.points
        assert left[0] < right[0], "the first eye stays at the picture's left when the face is mirrored"
        assert mouth[0][0] < mouth[1][0]
        if actor.picture[round(float(nose[1])), round(float(nose[0]))].max() > 90:  # not covered, not dark
            assert np.linalg.norm(spot(actor.picture, nose, 10) - nose) < 6


def test_a_view_asks_for_faces_of_its_size_and_leaves_doubtful_ones_unjudged() -> None:
    def face(size: float, x: float) -> PlacedFace:
        box = np.array([x - size / 2, 50 - size / 2, size, size], np.float32)
        return PlacedFace(np.full((5, 2), (x, 50), np.float32), box)

    faces = [face(24, 40), face(7, 100), face(120, 190)]
    wanted, sizes = label_places(faces, 256)
    at_40, at_100, at_190 = (wanted[0, 6, x // 8] for x in (40, 100, 190))
    assert (at_40, at_100, at_190) == (1, -1, 0)
    assert sizes[6, 5] == pytest.approx(1.0)
    center = np.array([5, 6]) * 8 + 3.5
    assert np.allclose(center + 24 * wanted[1:3, 6, 5], (40, 50), atol=1e-3)
    assert np.allclose(np.exp(wanted[3:5, 6, 5]) * 24, 24)


def test_samples_are_the_same_for_the_same_seed(cast: Cast) -> None:
    first, again = (next(iter(FinderSamples(cast, 2, 96, seed=5))) for _ in range(2))
    assert torch.equal(first.view, again.view)
    assert torch.equal(first.wanted, again.wanted)
    other = next(iter(FinderSamples(cast, 2, 96, seed=6)))
    assert not torch.equal(first.view, other.view)


def test_candidates_hold_faces_near_the_template_and_others(cast: Cast) -> None:
    batch = next(iter(RefinerSamples(cast, 40, seed=1)))
    assert batch.crop.shape == (40, 3, 64, 64)
    assert 10 < int(batch.face.sum()) < 36
    off = (batch.points[batch.face] - torch.tensor(geometry.CROP_TEMPLATE)).norm(dim=-1)
    assert float(off.median()) < 8


def test_a_face_free_picture_is_drawn_of_any_size(cast: Cast, tmp_path: Path) -> None:
    cv2.imwrite(str(tmp_path / "a.png"), np.full((40, 90, 3), 7, np.uint8))
    scenery = read_folder(tmp_path)
    faces = [a.picture for a in cast.actors]
    for seed in range(20):
        rng = np.random.default_rng(seed)
        for picture in (draw_background(33, 71, rng), draw_patchwork(33, 71, faces, scenery, rng)):
            assert picture.shape == (33, 71, 3)
            assert picture.dtype == np.uint8


def test_no_val_person_is_in_a_training_scene(photos: PhotoSet) -> None:
    people = {p.person for p in photos.split("train").photos}
    assert not people & {p.person for p in photos.split("val").photos}


def test_right_answers_cost_nothing_and_wrong_ones_do(cast: Cast) -> None:
    views = next(iter(FinderSamples(cast, 4, 96, seed=3)))
    right = views.wanted.clone()
    right[:, 0] = torch.where(views.wanted[:, 0] == 1, 12.0, -12.0)
    assert float(finder_loss(right, views)[0]) < 1e-3
    wrong = right.clone()
    wrong[:, 0] *= -1
    assert float(finder_loss(wrong, views)[0]) > 1
    batch = next(iter(RefinerSamples(cast, 8, seed=3)))
    template = torch.tensor(geometry.CROP_TEMPLATE, dtype=torch.float32)
    answer = torch.cat(
        [torch.where(batch.face, 12.0, -12.0)[:, None], ((batch.points - template) / 8).flatten(1)], 1
    )
    assert float(refiner_loss(answer, batch)[0]) < 1e-3
    assert float(refiner_loss(answer + 0.5, batch)[0]) > 0.1


def test_steps_lower_the_loss(cast: Cast) -> None:
    torch.manual_seed(0)
    module = Finder(SMALL)
    views: Views = next(iter(FinderSamples(cast, 4, 96, seed=3)))
    step, optimizer = finder_step(module), torch.optim.AdamW(module.parameters(), 5e-3)
    losses = []
    for _ in range(30):
        loss, _ = step(views, Moment(0, 0.0))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert losses[-1] < 0.5 * losses[0]


def test_training_stops_and_goes_on_and_is_read_back(cast: Cast, photos: PhotoSet, tmp_path: Path) -> None:
    labels = cast.labels
    np.savez(
        tmp_path / "labels.npz",
        name=[x.file for x in labels],
        points=np.stack([x.points for x in labels]),
        box=np.stack([x.box for x in labels]),
    )
    how = DetectorTraining(
        network=SMALL, views=2, view_side=64, candidates=4, loaders=0, mistakes=5, patience=2
    )
    for steps in (1, 2):
        short = replace(
            how, finder=replace(how.finder, steps=steps), refiner=replace(how.refiner, steps=steps)
        )
        weights = train(photos, None, None, short, Run(tmp_path))
    finder, refiner, steps = load(weights)
    assert steps == 4
    assert isinstance(finder, Finder)
    assert isinstance(refiner, Refiner)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Exported by the command of docs/training.md."""
    torch.manual_seed(1)
    weights, target = (
        tmp_path_factory.mktemp("run") / "weights.pt",
        tmp_path_factory.mktemp("zoo") / "detector",
    )
    networks = {"finder": Finder(SMALL).state_dict(), "refiner": Refiner(SMALL).state_dict()}
    torch.save(
        {"params": SMALL.to_dict(), "finder_steps": 0, "refiner_steps": 0, RECORD: [], **networks}, weights
    )
    command = find_command(DOCS / "training.md", "export", "detector")
    paths = {"runs/detector/weights.pt": weights, "zoo/detector": target}
    named = ["--name", "refstar-detector", "--version", "0.1.0"]
    with pytest.MonkeyPatch.context() as patch:
        patch.delenv("REFSTAR_DATA", raising=False)
        patch.setattr(sys, "argv", [*swap_words(command, paths), *named])
        cli.main()
    return target


def test_the_exported_detector_is_one_that_the_service_loads(folder: Path) -> None:
    detector = runtime.load_detector(folder.parent)
    assert detector.label == "refstar-detector 0.1.0"
    picture = np.random.default_rng(0).integers(0, 255, (123, 217, 3)).astype(np.uint8)
    assert detector.find(picture) == detector.find(picture)  # an untrained one finds what it finds, twice
    assert not {"ReduceMean", "ReduceSum"} & {
        n.op_type for name in ("detect", "refine") for n in onnx.load(str(folder / f"{name}.onnx")).graph.node
    }
    assert load_manifest(folder).system == "detector"


def test_views_of_any_size_go_through_the_exported_graph(folder: Path) -> None:
    import onnxruntime

    torch.manual_seed(1)
    module = Detect(Finder(SMALL).eval()).eval()
    round_weights(module)
    session = onnxruntime.InferenceSession(str(folder / "detect.onnx"), providers=["CPUExecutionProvider"])
    for height, width in ((32, 32), (48, 176), (160, 64)):
        view = torch.randint(0, 256, (1, height, width, 3), dtype=torch.uint8)
        with torch.no_grad():
            wanted = module(view)
        got = session.run(None, {"image": view.numpy()})
        for a, b in zip(wanted, got, strict=True):
            assert a.shape == b.shape == (1, height * width // 64, *a.shape[2:])
            assert np.abs(a.numpy() - b).max() < 1e-3


def test_folding_the_normalization_changes_nothing() -> None:
    torch.manual_seed(2)
    refiner = Refiner(SMALL)
    for module in refiner.modules():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.running_mean = torch.randn_like(module.bias) * 0.3
            module.running_var = torch.rand_like(module.bias) + 0.5
    refiner.eval()
    crops = torch.randint(0, 256, (3, 64, 64, 3), dtype=torch.uint8)
    with torch.no_grad():
        plain = refiner(crops.permute(0, 3, 1, 2).float())
        scores, _ = Refine(refiner)(crops)
    assert torch.allclose(plain[:, 0].sigmoid(), scores, atol=1e-5)


def test_the_service_cuts_crops_where_the_training_did(cast: Cast) -> None:
    assert np.allclose(runtime.CROP_TEMPLATE, geometry.CROP_TEMPLATE, atol=0.02)
    rng = np.random.default_rng(8)
    scene = cv2.GaussianBlur(rng.integers(0, 255, (200, 240, 3)).astype(np.uint8), (0, 0), 4)
    for scale in (0.3, 1.0, 2.5):
        points = POINTS * scale / 2 + 30
        crop, matrix = runtime._crop(
            [runtime.View(scene, 1.0, 1.0), *runtime.picture_views(scene)[1:]], points
        )
        wanted = geometry.similarity(points, geometry.CROP_TEMPLATE)
        assert np.allclose(matrix, wanted, atol=0.02)
        assert np.abs(crop.astype(int) - geometry.cut_crop(scene, wanted)).mean() < 2.5
