"""Faces that are turned a little further: what moves, what stays, and that both makers of samples do the same."""

import os
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from mesh_points import drawn_points
from pictures import aligned_face
from refstar_model import cli
from refstar_model.data import reliefs
from refstar_model.data.device_samples import DeviceSamples
from refstar_model.data.photos import DataError, PhotoSet
from refstar_model.data.plan import Planner, SampleMix
from refstar_model.data.reliefs import measure_reliefs
from refstar_model.data.samples import Samples
from refstar_model.data.stream import StreamParams, open_stream
from refstar_model.data.turning import (
    GRID,
    MOST_PITCH,
    MOST_TURNED,
    MOST_YAW,
    Relief,
    Turn,
    draw_turn,
    least_area,
    make_relief,
    turn_field,
    turn_picture,
)
from refstar_model.judges.landmarks import FaceMesh, MeshFace
from refstar_model.training.processes import Course

CELL = 256 / GRID
TURNED = SampleMix(alone=1.0, turned=1.0)


def head(yaw: float = 0.0, steep: float = 1.0) -> np.ndarray:
    """Mesh points of a head as deep as it is wide, [468, 3], that looks ``yaw`` degrees to the right."""
    flat = drawn_points()
    from_middle = (flat - (128, 145)) / (62, 82)
    depth = 60 * steep * (from_middle**2).sum(1)
    depth[1] = -40 * steep  # the tip of the nose
    turned = np.column_stack([flat, depth]).astype(np.float32)
    angle = np.radians(yaw)
    x, z = turned[:, 0] - 128, turned[:, 2].copy()
    turned[:, 0] = 128 + x * np.cos(angle) - z * np.sin(angle)
    turned[:, 2] = x * np.sin(angle) + z * np.cos(angle)
    return turned


def shift_of(field: np.ndarray, x: float, y: float) -> np.ndarray:
    """Where the picture's content at (x, y) comes from, as an offset."""
    return np.asarray(field[int(y / CELL), int(x / CELL)])


def test_a_turn_by_nothing_moves_nothing() -> None:
    relief = make_relief(head(10))
    assert relief.yaw == pytest.approx(10, abs=0.5)
    assert np.abs(turn_field(relief, Turn(0, 0))).max() < 1e-3
    picture = aligned_face()
    assert np.array_equal(turn_picture(picture, np.zeros((GRID, GRID, 2), np.float32)), picture)


def test_the_nose_goes_ahead_of_the_ears() -> None:
    right = turn_field(make_relief(head(2)), Turn(15, 0))
    assert shift_of(right, 128, 140)[0] < -2  # what is there came from further left
    assert shift_of(right, 70, 140)[0] > 2
    assert shift_of(right, 186, 140)[0] > 2
    left = turn_field(make_relief(head(-2)), Turn(15, 0))
    assert shift_of(left, 128, 140)[0] > 2
    down = turn_field(make_relief(head()), Turn(0, 8))
    assert shift_of(down, 128, 140)[1] < -1


def test_no_turn_folds_the_picture_or_moves_its_border() -> None:
    rng = np.random.default_rng(0)
    for steep in (0.7, 1.0, 2.0, 4.0):
        for yaw in (-30.0, 0.0, 20.0):
            relief = make_relief(head(yaw, steep))
            for turn in (Turn(MOST_YAW, MOST_PITCH), Turn(-MOST_YAW, -MOST_PITCH), draw_turn(rng)):
                field = turn_field(relief, turn)
                wide = cv2.resize(field, (256, 256), interpolation=cv2.INTER_CUBIC)
                # Where the picture shrinks to a third, the field that it is seen through has three times the slope.
                assert least_area(wide) > 0.1
                edges = (wide[0], wide[-1], wide[:, 0], wide[:, -1])
                assert max(np.abs(edge).max() for edge in edges) < 0.5


def test_a_face_is_turned_no_further_than_a_three_quarter_view() -> None:
    relief = make_relief(head(MOST_TURNED + 5))
    assert np.abs(turn_field(relief, Turn(MOST_YAW, 0))).max() < 1e-3
    assert np.abs(turn_field(relief, Turn(-MOST_YAW, 0))).max() > 2


def test_turns_lead_away_from_the_front_three_times_in_four() -> None:
    rng = np.random.default_rng(0)
    yaws = np.array([draw_turn(rng).yaw for _ in range(400)])
    assert 0.7 < (yaws > 0).mean() < 0.8
    assert MOST_YAW * 0.9 < np.abs(yaws).max() <= MOST_YAW


def of(photos: PhotoSet) -> dict[str, Relief]:
    return {p.file: make_relief(head(4 * index - 20)) for index, p in enumerate(photos.photos)}


def test_as_many_faces_are_turned_as_asked_and_none_without_relief(
    photos: PhotoSet,
) -> None:
    some = [p.file for p in photos.photos[:4]]
    planner = Planner(photos, replace(TURNED, turned=0.4), 200, turnable=some)
    faces = planner.draw(np.random.default_rng(0)).faces
    shares = [[f.turn is not None for f in faces if (f.file in some) is inside] for inside in (True, False)]
    assert 0.2 < np.mean(shares[0]) < 0.6
    assert not any(shares[1])
    with pytest.raises(DataError, match=r"100% of the faces are to be turned, but no relief is there"):
        Planner(photos, TURNED, 2)


def test_truth_and_input_are_turned_alike(photos: PhotoSet) -> None:
    def draw(mix: SampleMix) -> tuple[torch.Tensor, torch.Tensor]:
        samples = Samples(photos, mix, 2, 0, reliefs=of(photos))
        batch = samples.make(replace(plan, faces=tuple(replace(f, turn=turn) for f in plan.faces)))
        return batch.truth.float(), batch.low_quality.float()

    plan = Planner(photos, replace(TURNED, full_size=1.0), 2, turnable=of(photos)).draw(
        np.random.default_rng(1)
    )
    turn = None
    truth, seen = draw(TURNED)
    turn = Turn(18, 0)
    turned_truth, turned_seen = draw(TURNED)
    moved = (turned_truth - truth).abs().mean((1, 2, 3))
    assert (moved > 0.3).all()
    as_far = (turned_seen - turned_truth).abs().mean() / (seen - truth).abs().mean()
    assert 0.8 < as_far < 1.2


def test_both_makers_turn_alike(photos: PhotoSet) -> None:
    mix = replace(TURNED, full_size=0.5)
    samples = Samples(photos, mix, 2, 3, reliefs=of(photos))
    device = DeviceSamples(photos, mix, 2, 3, torch.device("cpu"), reliefs=of(photos))
    for index in (0, 5):
        plan = samples.planner.draw_number(3, index)
        one, two = samples.make(plan), device.draw(index)
        assert all(face.turn is not None for face in plan.faces)
        # OpenCV places the finest steps on a raster of 1/32 pixel.
        assert (one.truth.float() - two.truth.float()).abs().mean() < 0.5


def test_the_stream_asks_for_reliefs_where_faces_are_turned(photos: PhotoSet) -> None:
    params = StreamParams(2, 0, TURNED, loaders=0)
    with pytest.raises(DataError, match="no relief"):
        open_stream(photos, params, Course(0, 1, 1), torch.device("cpu"))
    batch = next(open_stream(photos, params, Course(0, 1, 1), torch.device("cpu"), reliefs=of(photos)))
    assert len(batch.truth) == 2


def test_reliefs_are_measured_once(photos: PhotoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    looked: list[int] = []

    class Counting(FaceMesh):
        """Sees the same head everywhere, but in the first picture."""

        def __init__(self, path: Path) -> None:
            pass

        def look_in_depth(self, picture: np.ndarray) -> MeshFace:
            looked.append(len(picture))
            return MeshFace(head(5), 1.0 if len(looked) > 1 else -1.0)

    mesh = tmp_path / "mesh.tflite"
    with pytest.raises(DataError, match=r"face mesh, and .*mesh\.tflite is missing"):
        measure_reliefs(photos, mesh, tmp_path)
    mesh.touch()
    monkeypatch.setattr(reliefs, "FaceMesh", Counting)
    first = measure_reliefs(photos, mesh, tmp_path)
    assert len(looked) == len(photos.photos) == len(first) + 1
    again = measure_reliefs(photos, None, tmp_path)
    assert len(looked) == len(photos.photos)
    assert first.keys() == again.keys()
    for file, relief in first.items():
        assert np.allclose(relief.depth, again[file].depth, atol=0.05)
        assert np.allclose(relief.anchors, again[file].anchors)
    kept = next(tmp_path.glob("reliefs-*.npz"))
    kept.write_bytes(b"no archive")
    with pytest.raises(DataError, match="remove it"):
        measure_reliefs(photos, mesh, tmp_path)


def test_a_command_that_is_to_turn_or_sharpen_faces_says_what_it_lacks(
    photos: PhotoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("REFSTAR_DATA", raising=False)
    command = ["refstar-model", "train", "ganprior", "--data", str(photos.roots[0]), "--out", str(tmp_path)]
    for option, share, said in (
        ("--turned", "0.5", "no folder of teachers is named"),
        ("--turned", "1.5", "--turned 1.5 is not within 0 and 1"),
        ("--adversarial-from", "-1", "--adversarial-from -1.0 is not within 0 and 1"),
    ):
        monkeypatch.setattr(sys, "argv", [*command, option, share])
        with pytest.raises(SystemExit, match=said):
            cli.main()


@pytest.mark.skipif("REFSTAR_DATA" not in os.environ, reason="needs the mesh (REFSTAR_DATA)")
def test_the_mesh_sees_a_turned_face_turned() -> None:
    mesh = FaceMesh(Path(os.environ["REFSTAR_DATA"]) / "models/mediapipe/face_landmark.tflite")
    picture = aligned_face()
    before = make_relief(mesh.look_in_depth(picture).points)
    seen = mesh.look_in_depth(turn_picture(picture, turn_field(before, Turn(12, 0))))
    after = make_relief(seen.points)
    assert seen.presence > 0
    assert abs(after.yaw) - abs(before.yaw) > 6
    assert np.linalg.norm(after.anchors[:, :2].mean(0) - before.anchors[:, :2].mean(0)) < 3
