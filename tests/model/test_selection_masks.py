"""Labels of the selection from two clean photographs: what agrees, what conflicts, what is unsure."""

import os
from dataclasses import replace
from pathlib import Path
from typing import cast

import cv2
import numpy as np
import pytest
from mesh_points import drawn_points
from refstar_model import cli
from refstar_model.data.checked_masks import CheckedPair, load_checked
from refstar_model.data.dense_points import inverse_field, warp, warp_field
from refstar_model.data.face_parts import GRID, Part, part_regions, part_state
from refstar_model.data.mask_propagation import (
    PropagationParams,
    SeedMask,
    intersection_over_union,
    propagate,
)
from refstar_model.data.pair_comparison import CHANNELS, compare
from refstar_model.data.photos import DataError, PhotoSet, load_photos
from refstar_model.data.selection_masks import (
    BANDS,
    SelectionLabel,
    SelectionLabels,
    band_label,
    make_labels,
    pseudo_label,
    stranger,
)
from refstar_model.data.texture import likeness, shading
from refstar_model.judges.landmarks import FaceMesh


def textured(seed: int = 0) -> np.ndarray:
    """A picture with detail in every band."""
    rng = np.random.default_rng(seed)
    total = sum(
        cv2.resize(
            rng.normal(0, 18, (side, side, 3)).astype(np.float32), (256, 256), interpolation=cv2.INTER_CUBIC
        )
        for side in (8, 16, 32, 64, 128)
    )
    return np.clip(120 + total, 0, 255).astype(np.uint8)


def places() -> np.ndarray:
    axis = np.arange(256, dtype=np.float32)
    return np.stack(np.meshgrid(axis, axis), -1)


def test_the_warp_follows_the_points() -> None:
    points = drawn_points()
    assert np.abs(warp_field(points, points) - places()).max() < 1e-3
    moved = warp_field(points, points + np.float32([5, -3]))
    assert np.allclose(moved - places(), [5, -3], atol=1e-2)


def test_a_smooth_field_is_undone_by_its_inverse() -> None:
    x, y = places()[..., 0], places()[..., 1]
    field = np.stack([x + 6 * np.sin(y / 40), y + 4 * np.cos(x / 50)], -1).astype(np.float32)
    there_and_back = cv2.remap(field, *np.moveaxis(inverse_field(field), -1, 0), cv2.INTER_LINEAR)
    assert np.abs(there_and_back - places())[16:-16, 16:-16].max() < 0.1


def test_the_same_texture_is_alike_in_other_light_and_another_is_not() -> None:
    light = textured().astype(np.float32).mean(-1) / 255
    structure, amount = likeness(light, np.asarray(light * 0.9 + 0.05, np.float32))
    assert min(structure.mean((1, 2)).min(), amount.mean((1, 2)).min()) > 0.95
    other = textured(1).astype(np.float32).mean(-1) / 255
    structure, amount = likeness(light, other)
    assert structure.mean() < 0.5
    assert amount.mean() > 0.8
    flat = np.full((256, 256), 0.5, np.float32)
    assert np.allclose(likeness(flat, flat), 1)


def test_shading_ignores_exposure_and_color_but_not_light_from_a_side() -> None:
    picture, face = textured(), np.ones((GRID, GRID), np.float32)
    # The small offset inside the logarithm leaves a little of a pure gain.
    assert shading(picture, (picture * np.array([0.9, 0.8, 0.85])).astype(np.uint8), face).mean() < 0.05
    side = np.linspace(0.5, 1.5, 256)[None, :, None]
    assert shading(picture, np.clip(picture * side, 0, 255).astype(np.uint8), face).mean() > 0.15


def test_parts_do_not_overlap_and_an_open_mouth_conflicts_with_a_closed_one() -> None:
    closed, opened = drawn_points(), drawn_points(mouth_gap=16)
    regions = part_regions(closed)
    assert sum(regions.values()).max() < 1 + 1e-5
    assert all(regions[part].sum() > 4 for part in Part)
    picture = textured()
    states = [part_state(picture, points, part_regions(points)) for points in (closed, opened)]
    assert states[0].conflict(states[1], Part.MOUTH) > 0.9
    assert states[0].conflict(states[0], Part.MOUTH) < 0.1
    assert states[0].conflict(states[1], Part.EYES) < 0.1
    asleep = part_state(picture, drawn_points(eye_height=1), regions)
    assert states[0].conflict(asleep, Part.EYES) > 0.9


def test_the_same_photograph_may_be_taken_all_over_the_head() -> None:
    points, picture = drawn_points(), textured()
    seen = compare(picture, picture, points, points)
    assert seen.channels().shape == (CHANNELS, GRID, GRID)
    assert seen.take()[seen.head > 0.9].min() > 0.8
    assert seen.take()[seen.head < 0.1].max() < 0.1
    label = band_label(seen, seen.take(), np.zeros((GRID, GRID), np.float32))
    assert label.take[:, seen.head > 0.9].all()


def test_a_mouth_in_another_state_is_left() -> None:
    picture = textured()
    seen = compare(picture, picture, drawn_points(), drawn_points(mouth_gap=16))
    assert seen.take()[seen.regions[Part.MOUTH] > 0.9].max() < 0.2
    assert seen.take()[seen.regions[Part.EYES] > 0.9].min() > 0.5


def test_a_blurred_reference_lends_no_fine_detail() -> None:
    points, picture = drawn_points(), textured()
    blurred = cv2.GaussianBlur(picture, (0, 0), 3.0)
    label = pseudo_label(picture, blurred, places(), points)
    head = np.asarray(sum(part_regions(points).values())) > 0.9
    assert label.take[0][head].mean() < 0.05
    assert label.take[5][head].mean() > 0.95


def test_a_moved_pseudo_reference_is_taken_only_by_who_can_move_it_back() -> None:
    points, picture = drawn_points(), textured()
    field = places() + np.float32([6, 0])
    moved = warp(picture, inverse_field(field))
    label = pseudo_label(picture, moved, field, points)
    face = part_regions(points)[Part.SKIN] > 0.9
    assert label.displacement[face] == pytest.approx(12, abs=0.2)
    assert label.within(12).take[0][face].mean() > 0.9
    stiff = label.within(0)
    assert not stiff.take[0].any()
    assert (stiff.confidence[0] == 1).all()
    assert stiff.take[4][face].mean() > 0.9


def test_a_wrong_person_lends_nothing_for_sure() -> None:
    label = stranger()
    assert label.take.shape == (BANDS, GRID, GRID)
    assert not label.take.any()
    assert label.confidence.min() == 1


def test_labels_survive_their_file(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    label = SelectionLabel(
        (rng.random((BANDS, GRID, GRID)) > 0.5).astype(np.float32),
        rng.random((BANDS, GRID, GRID)).astype(np.float32),
        (20 * rng.random((GRID, GRID))).astype(np.float32),
    )
    SelectionLabels({("a", "b"): label}, {"a": drawn_points()}).save(tmp_path / "masks.npz")
    again = SelectionLabels.load(tmp_path / "masks.npz")
    found = again.get("a", "b")
    assert found is not None
    assert again.get("b", "a") is None
    assert np.array_equal(found.take, label.take)
    assert np.abs(found.confidence - label.confidence).max() <= 0.5 / 255 + 1e-6
    alone = SelectionLabels.load(tmp_path / "masks.npz", masks=False)
    assert (len(alone), list(alone.points)) == (0, ["a"])
    assert np.array_equal(again.points["a"], drawn_points())
    assert np.array_equal(found.mirror().mirror().take, label.take)


def test_what_a_person_checked_is_learnt_and_judged_on_people_left_out() -> None:
    rng = np.random.default_rng(0)
    seed = []
    for person in range(6):
        seen = rng.normal(0, 0.3, (CHANNELS, 16, 16)).astype(np.float32)
        take = np.zeros((16, 16), np.float32)
        take[4:12, person : person + 8] = 1
        seen[3] += take * 2 - 1
        known = np.ones((16, 16), np.float32)
        known[0] = 0
        seed.append(SeedMask(f"p{person}", seen, take, known))
    nets = propagate(seed, PropagationParams(width=8, steps=60, batch=4, folds=2, learning_rate=1e-2))
    assert min(intersection_over_union(nets.unseen(s), s.take, s.known) for s in seed) > 0.8
    mean, spread = nets(seed[0].seen)
    assert mean.shape == spread.shape == (16, 16)
    with pytest.raises(ValueError, match="6 people, 7 folds"):
        propagate(seed, PropagationParams(folds=7))


def test_a_checked_mask_leaves_parts_and_polygons() -> None:
    points = drawn_points()
    pair = CheckedPair(
        "val",
        "a",
        "b",
        frozenset({Part.MOUTH}),
        frozenset({Part.HAIR}),
        False,
        (((20, 40), (24, 40), (24, 44), (20, 44)),),
    )
    take, known = pair.mask(points)
    regions = part_regions(points)
    assert take[regions[Part.MOUTH] > 0.9].max() < 0.2
    assert known[regions[Part.HAIR] > 0.9].max() < 0.2
    assert take[41:43, 21:23].max() == 0
    assert take[regions[Part.EYES] > 0.9].min() > 0.9
    assert take[0, 0] == 0
    assert known[0, 0] == 1
    assert pair.reverse() is None


@pytest.mark.skipif("REFSTAR_DATA" not in os.environ, reason="REFSTAR_DATA names no folder of photographs")
def test_the_checked_pairs_are_real_and_keep_to_their_split() -> None:
    photos = load_photos(Path(os.environ["REFSTAR_DATA"]) / "faces")
    for split in ("train", "val"):
        pairs = {(p.first, p.second) for p in photos.split(split).pairs}
        checked = load_checked(split)
        assert len(checked) >= 12
        assert all((c.truth, c.reference) in pairs for c in checked)


def test_photographs_without_checked_masks_get_no_labels(photos: PhotoSet, tmp_path: Path) -> None:
    with pytest.raises(
        DataError, match=r"checked_masks.json, and the photographs have pairs of 0 of its people"
    ):
        make_labels(photos, cast(FaceMesh, None), tmp_path / "labels.npz")
    assert not list(tmp_path.glob("*.npz"))


@pytest.mark.skipif("REFSTAR_DATA" not in os.environ, reason="REFSTAR_DATA names no folder of photographs")
def test_labels_of_all_pairs_are_made_by_the_command(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Of the checked pairs alone, by nets that learn next to nothing: the real ones take a minute."""
    hasty = PropagationParams(width=8, steps=2)
    monkeypatch.setattr("refstar_model.data.selection_masks.propagate", lambda seed: propagate(seed, hasty))
    data = Path(os.environ["REFSTAR_DATA"])
    pairs = {(p.truth, p.reference) for split in ("train", "val") for p in load_checked(split)}
    photos = load_photos(data / "faces")
    few = replace(photos, pairs=tuple(p for p in photos.pairs if (p.first, p.second) in pairs))
    files = {file for pair in few.pairs for file in (pair.first, pair.second)}
    few = replace(few, photos=tuple(p for p in photos.photos if p.file in files))
    monkeypatch.setattr("refstar_model.commands.photographs.open_named_photos", lambda _: few)
    target = tmp_path / "labels.npz"
    monkeypatch.setattr("sys.argv", ["refstar-model", "data", "--labels", str(target)])
    cli.main()
    labels = SelectionLabels.load(target)
    train = few.split("train")
    assert len(labels) == 2 * len(train.pairs)
    assert labels.get(train.pairs[0].second, train.pairs[0].first) is not None
