"""Lists of photographs: several folders as one set, what is refused, and how often each kind is drawn."""

import csv
import os
import shutil
from collections import Counter
from pathlib import Path

import cv2
import numpy as np
import pytest
from refstar_model.data.photos import (
    DataError,
    Kind,
    Photo,
    PhotoSet,
    PhotoWeights,
    PictureError,
    load_photos,
)

FACE = np.full((256, 256, 3), 120, np.uint8)
FIELDS = ("file", "split", "person", "in512", "licence", "gray", "synthetic", "yaw", "age_hint", "iod_eff")


def write_folder(folder: Path, faces: list[dict[str, str]], pairs: list[dict[str, str]]) -> Path:
    """A data folder of gray squares; what a row leaves out is filled in."""
    (folder / "faces256").mkdir(parents=True)
    plain = {"split": "train", "in512": "0", "licence": "CC0", "gray": "0", "synthetic": "0", "yaw": "0.01"}
    write_rows(folder / "faces.csv", [plain | row for row in faces], FIELDS)
    names = ("person", "split", "file_a", "file_b", "emb_sim", "b_in")
    write_rows(folder / "pairs.csv", [{"split": "train", "emb_sim": "0.8"} | row for row in pairs], names)
    for row in faces:
        cv2.imwrite(str(folder / "faces256" / row["file"]), FACE)
    return folder


def write_rows(path: Path, rows: list[dict[str, str]], fields: tuple[str, ...]) -> None:
    with path.open("w", newline="") as out:
        writer = csv.DictWriter(out, fields)
        writer.writeheader()
        writer.writerows(rows)


@pytest.fixture
def first(tmp_path: Path) -> Path:
    faces = [
        {"file": "a0.png", "person": "a"},
        {"file": "a1.png", "person": "a"},
        {"file": "b0.png", "person": "b"},
    ]
    return write_folder(tmp_path / "one", faces, [{"person": "a", "file_a": "a0.png", "file_b": "a1.png"}])


@pytest.fixture
def second(tmp_path: Path) -> Path:
    faces = [
        {"file": "a2.png", "person": "a", "yaw": "-0.4", "age_hint": "31", "iod_eff": "120.5"},
        {"file": "g0.png", "person": "g", "gray": "1"},
        {"file": "s0.png", "person": "s", "synthetic": "1"},
        {"file": "t0.png", "person": "t", "yaw": "1.3"},
    ]
    pairs = [{"person": "a", "file_a": "a2.png", "file_b": "a0.png", "b_in": "shared/one"}]
    return write_folder(tmp_path / "two", faces, pairs)


def test_several_folders_make_one_set_with_pairs_across_them(first: Path, second: Path) -> None:
    photos = load_photos(first, second)
    assert len(photos.photos) == 7
    assert [(p.first, p.second) for p in photos.pairs] == [("a0.png", "a1.png"), ("a2.png", "a0.png")]
    turned = photos.by_file["a2.png"]
    assert (turned.kind, turned.yaw, turned.age, turned.eye_distance) == (Kind.TURNED, 0.4, 31, 120.5)
    assert [photos.by_file[f].kind for f in ("b0.png", "g0.png", "s0.png", "t0.png")] == [
        Kind.FRONT,
        Kind.GRAY,
        Kind.SYNTHETIC,
        Kind.PROFILE,
    ]
    assert photos.read("g0.png", 256).shape == (256, 256, 3)


def test_the_folder_that_holds_the_folders_may_be_named_instead(first: Path, second: Path) -> None:
    assert first.parent == second.parent
    assert load_photos(first.parent).roots == load_photos(first, second).roots
    with pytest.raises(DataError, match="neither a folder of face photographs"):
        load_photos(first / "faces256")


def test_pairs_of_a_kind_need_both_photographs(first: Path, second: Path) -> None:
    photos = load_photos(first, second).of_kinds(Kind.FRONT)
    assert {p.file for p in photos.photos} == {"a0.png", "a1.png", "b0.png"}
    assert [(p.first, p.second) for p in photos.pairs] == [("a0.png", "a1.png")]


def test_a_row_without_its_picture_is_named(first: Path) -> None:
    (first / "faces256" / "b0.png").unlink()
    with pytest.raises(PictureError, match=r"b0\.png is missing"):
        load_photos(first)


def test_a_picture_that_cannot_be_read_is_named(first: Path) -> None:
    photos = load_photos(first)
    (first / "faces256" / "b0.png").write_bytes(b"no picture at all")
    with pytest.raises(PictureError, match=r"b0\.png: the picture cannot be read"):
        photos.read("b0.png", 256)
    cv2.imwrite(str(first / "faces256" / "b0.png"), FACE[:100])
    with pytest.raises(PictureError, match="256x100 pixels, not 256x256"):
        photos.read("b0.png", 256)


def test_a_pair_into_a_folder_that_was_not_given_names_that_folder(second: Path) -> None:
    with pytest.raises(DataError, match=r"row 2: a0\.png is in none of the data folders; add --data for one"):
        load_photos(second)


def test_nobody_is_in_two_splits(first: Path, tmp_path: Path) -> None:
    other = write_folder(tmp_path / "more", [{"file": "b1.png", "person": "b", "split": "val"}], [])
    with pytest.raises(DataError, match=r"b is train in .*b0\.png and val in .*b1\.png"):
        load_photos(first, other)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"split": "test"}, "row 2: split 'test' is neither train nor val"),
        ({"yaw": "left"}, "row 2: could not convert"),
    ],
)
def test_a_row_that_makes_no_sense_is_named(tmp_path: Path, change: dict[str, str], message: str) -> None:
    folder = write_folder(tmp_path / "odd", [{"file": "a.png", "person": "a"} | change], [])
    with pytest.raises(DataError, match=message):
        load_photos(folder)


def test_a_name_that_two_folders_use_is_refused(first: Path, tmp_path: Path) -> None:
    shutil.copytree(first, tmp_path / "copy")
    with pytest.raises(DataError, match=r"a0\.png is in .*one and in .*copy"):
        load_photos(first, tmp_path / "copy")


def test_a_list_without_a_column_is_refused(first: Path) -> None:
    lines = (first / "faces.csv").read_text().splitlines()
    (first / "faces.csv").write_text("\n".join([lines[0].replace("person", "who"), *lines[1:]]))
    with pytest.raises(DataError, match="no column person"):
        load_photos(first)


def test_an_eighth_of_the_gray_people_is_kept_for_judging(tmp_path: Path) -> None:
    faces = [{"file": f"g{i}.png", "person": f"g{i}", "gray": "1"} for i in range(80)]
    faces += [{"file": f"both{i}.png", "person": "both", "gray": str(i)} for i in range(2)]
    photos = load_photos(write_folder(tmp_path / "gray", faces, []))
    held = {p.person for p in photos.split("val").photos}
    assert 4 <= len(held) <= 18
    assert "both" not in held
    again = load_photos(tmp_path / "gray")
    assert held == {p.person for p in again.split("val").photos}


def test_kinds_are_balanced_by_weight_and_not_by_their_number() -> None:
    def some(count: int, **what: object) -> list[Photo]:
        return [Photo(f"{what}{i}", f"p{i}", "train", True, "CC0", **what) for i in range(count)]  # type: ignore[arg-type]

    photos = some(70) + some(20, gray=True) + some(30, yaw=0.5) + some(500, synthetic=True)
    chances = PhotoWeights(front=0.5, turned=0.25, profile=0.5, gray=0.25).draw_chances(photos)
    drawn = Counter[Kind]()
    for photo, chance in zip(photos, chances, strict=True):
        drawn[photo.kind] += chance
    assert {k: round(v, 6) for k, v in drawn.items()} == {
        Kind.FRONT: 0.5,
        Kind.GRAY: 0.25,
        Kind.TURNED: 0.25,
        Kind.SYNTHETIC: 0,
    }
    few = some(99) + some(1, gray=True)
    chances = PhotoWeights(most=4).draw_chances(few)
    assert chances[-1] == pytest.approx(0.04)
    assert chances.sum() == pytest.approx(1)
    with pytest.raises(DataError, match="none of a kind with a weight"):
        PhotoWeights().draw_chances(some(3, synthetic=True))


@pytest.mark.skipif("REFSTAR_DATA" not in os.environ, reason="needs REFSTAR_DATA")
def test_nobody_of_the_val_people_is_trained_on() -> None:
    photos = load_photos(*(Path(part) for part in os.environ["REFSTAR_DATA"].split(os.pathsep)))
    train, val = photos.split("train"), photos.split("val")
    assert not {p.person for p in train.photos} & {p.person for p in val.photos}
    assert len(train.photos) + len(val.photos) == len(photos.photos)
    kept = {p.file for p in train.photos}
    assert all({pair.first, pair.second} <= kept for pair in train.pairs)
    assert isinstance(photos, PhotoSet)
