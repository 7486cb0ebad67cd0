"""Whom evaluation tries a model on, and the controls without a network."""

import csv
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
from copying_model import ColorRecognizer, copier
from pictures import aligned_face
from refstar_model.data.photos import PhotoSet
from refstar_model.evaluation import (
    Extent,
    Judges,
    Section,
    evaluate,
)
from refstar_model.evaluation.cases import (
    as_shown,
    cases,
    few_cases,
    nearest_strangers,
    pseudo_views,
    real_cases,
)
from refstar_model.evaluation.controls import band_transfer, fixed_mask, identity_at


def test_every_pair_is_judged_in_both_directions_with_strangers_beside(photos: PhotoSet) -> None:
    val = photos.split("val")
    alike = nearest_strangers(val, ColorRecognizer())
    assert {f[:2] for f in (alike["p4_0.png"], alike["p4_1.png"])} == {"p5"}
    made, again = cases(val, "severe", lookalikes=alike), cases(val, "severe")
    assert [case.name for case in made] == ["p4_0.png", "p4_1.png", "p5_0.png", "p5_1.png"]
    for one, two in zip(made, again, strict=True):
        assert np.array_equal(one.low_quality, two.low_quality)
        assert one.low_quality.shape == one.right.shape == one.wrong.shape == (512, 512, 3)
        assert one.lookalike is not None
        assert not np.array_equal(one.right, one.wrong)
    # Person 5's photographs are sharp at 512, person 4's only at 256.
    assert [len(case.truth) for case in made] == [256, 256, 512, 512]
    assert not np.array_equal(made[0].low_quality, cases(val, "moderate")[0].low_quality)
    assert not np.array_equal(made[0].low_quality, cases(val, "severe", seed=8)[0].low_quality)


def test_few_cases_are_some_of_all_cases(photos: PhotoSet) -> None:
    val = photos.split("val")
    everything = {case.name: case for case in cases(val, "moderate")}
    few = few_cases(val, "moderate", 12)
    assert [case.name for case in few] == ["p4_0.png", "p5_1.png"]
    assert all(np.array_equal(c.low_quality, everything[c.name].low_quality) for c in few)


def test_pseudo_views_are_three_other_pictures_and_always_the_same() -> None:
    picture = aligned_face()
    views = pseudo_views(picture)
    assert [v.shape for v in views] == [(512, 512, 3)] * 3
    assert all(not np.array_equal(v, picture) for v in views)
    assert all(np.array_equal(a, b) for a, b in zip(views, pseudo_views(picture), strict=True))


def test_controls_without_gain_change_nothing_else_only_the_face() -> None:
    soft = cv2.GaussianBlur(aligned_face(), (0, 0), 8)
    reference = np.ascontiguousarray(aligned_face()[:, ::-1])
    assert np.array_equal(band_transfer(soft, reference, gain=0), soft)
    assert np.array_equal(fixed_mask(soft, reference, 0), soft)
    for taken in (band_transfer(soft, reference), fixed_mask(soft, reference)):
        changed = np.abs(taken.astype(int) - soft).mean(-1)
        assert changed[200:400, 180:330].mean() > 3
        assert changed[:, :30].mean() < 1


def test_a_control_is_read_off_its_curve_at_the_same_psnr() -> None:
    curve = [(24.0, 0.2), (25.0, 0.4), (23.0, 0.8)]
    assert identity_at(24.0, curve) == pytest.approx(0.6)  # on the way from the second point to the third
    assert identity_at(22.0, curve) == 0.8
    assert identity_at(26.0, curve) == 0.4  # never as good: its best picture


def test_real_portraits_are_those_of_val_people_and_those_with_a_known_original(
    photos: PhotoSet, tmp_path: Path
) -> None:
    (tmp_path / "reallq").mkdir()
    rows = [
        {"file": "a.png", "person": "p4", "ref_different_photo": "p4_0.png", "same_photo_hq": ""},
        {"file": "b.png", "person": "p1", "ref_different_photo": "", "same_photo_hq": "p1_0.png"},
        {"file": "c.png", "person": "p2", "ref_different_photo": "p2_0.png", "same_photo_hq": ""},
        {"file": "d.png", "person": "p5", "ref_different_photo": "p5_0.png", "same_photo_hq": ""},
    ]
    for row in rows:
        small = cv2.resize(photos.read(f"{row['person']}_1.png", 256), (64, 64))
        cv2.imwrite(str(tmp_path / "reallq" / row["file"]), small[..., ::-1])
    with (tmp_path / "reallq.csv").open("w", newline="") as out:
        writer = csv.DictWriter(out, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    own = replace(photos, roots=(*photos.roots, tmp_path))
    found = real_cases(own)
    assert [(c.name, c.seen_in_training) for c in found] == [("a.png", 0), ("d.png", 0), ("b.png", 1)]
    assert found[2].right is None
    assert found[2].same_photo is not None
    table, _ = evaluate(
        copier, own, Judges(ColorRecognizer()), extent=Extent(sections=frozenset({Section.REAL}))
    )
    real = table["real"]
    assert {name: group["cases"] for name, group in real.items()} == {
        "val people": 2,
        "trained people without a reference": 1,
    }
    people = real["val people"]
    assert people["right"]["identity_to_reference"] > people["none"]["identity_to_reference"]
    assert real_cases(photos) == []


def test_an_original_is_mirrored_if_the_small_portrait_is() -> None:
    whole = aligned_face()
    mirrored = np.ascontiguousarray(whole[:, ::-1])
    small = cv2.resize(cv2.resize(whole, (48, 48), interpolation=cv2.INTER_AREA), (512, 512))
    assert np.array_equal(as_shown(whole, small), whole)
    assert np.array_equal(as_shown(mirrored, small), whole)
