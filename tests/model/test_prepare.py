"""`refstar-model prepare`: an album of folders becomes a data folder that training reads."""

import csv
import sys
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from refstar_model import cli
from refstar_model.commands.prepare import find_detector
from refstar_model.data.photos import load_photos
from refstar_model.preparing.finder import FaceSearch
from refstar_model.preparing.likeness import UNMEASURED
from refstar_model.preparing.lists import split_people
from refstar_service.faces.detect import load_detector
from refstar_service.settings import Settings


def prepare(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.delenv("REFSTAR_DATA", raising=False)
    monkeypatch.setattr(sys, "argv", ["refstar-model", "prepare", *map(str, arguments)])
    cli.main()


def write(path: Path, picture: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    cv2.imwrite(str(path), picture[..., ::-1])


@pytest.fixture
def album(tmp_path: Path) -> Path:
    """One astronaut in the part of three people, and what must be left out."""
    album, her = tmp_path / "album", cv2.resize(skimage.data.astronaut()[:256, 96:352], (512, 512))
    for person, light in (("Ada", 1.0), ("Ben B.", 0.8), ("Cleo", 0.6)):
        write(album / person / "1.png", np.asarray(her * light, np.uint8))
        write(album / person / "2.png", np.asarray(her[:, ::-1] * light, np.uint8))
    write(album / "Ada" / "blurred.png", cv2.GaussianBlur(her, (0, 0), 5))
    write(album / "Ada" / "small.png", cv2.resize(her, (128, 128)))
    write(album / "Ada" / "two.png", np.concatenate([her, her], 1))
    write(album / "Ada" / "wall.png", np.full_like(her, 90))
    (album / "Cleo" / "again.png").write_bytes((album / "Cleo" / "1.png").read_bytes())
    (album / "Cleo" / "broken.jpg").write_bytes(b"no picture")
    (album / "notes.txt").write_text("of no person")
    return album


def test_an_album_becomes_a_data_folder_and_what_is_left_out_has_a_reason(
    album: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "data"
    prepare(monkeypatch, album, "--out", out, "--license", "CC0-1.0", "--source", "our album")
    photos = load_photos(out)
    assert {photo.person for photo in photos.photos} == {"Ada", "Ben B.", "Cleo"}
    assert len(photos.photos) == 6
    assert len({photo.person for photo in photos.photos if photo.split == "val"}) == 1
    assert {(photo.license, photo.source) for photo in photos.photos} == {("CC0-1.0", "our album")}
    assert {pair.similarity for pair in photos.pairs} == {UNMEASURED}
    assert len(photos.pairs) == 3
    with (out / "left-out.csv").open(newline="") as file:
        reasons = {Path(row["photograph"]).name: row["reason"] for row in csv.DictReader(file)}
    assert reasons["blurred.png"].startswith("the face is too blurred")
    assert reasons["small.png"].startswith("the face is too small")
    assert reasons["two.png"].startswith("it shows 2 faces")
    assert reasons["wall.png"] == "no face was found"
    assert reasons["broken.jpg"].startswith("it cannot be read")
    assert len(reasons) == 6  # and one of two equal files
    assert "strangers in a folder are not noticed" in capsys.readouterr().out
    with pytest.raises(SystemExit, match="name another folder"):
        prepare(monkeypatch, album, "--out", out)


@pytest.mark.parametrize("name", ["gone", "empty"])
def test_a_folder_that_is_no_album_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(SystemExit, match="one folder for each person"):
        prepare(monkeypatch, tmp_path / name, "--out", tmp_path / "data")


def test_points_are_those_that_the_service_finds() -> None:
    picture = skimage.data.astronaut()
    detector = find_detector()
    assert detector is not None
    ours, theirs = (
        FaceSearch(detector).find(picture)[0],
        load_detector(Settings().models_dir).find(picture)[0],
    )
    assert np.abs(ours.points - theirs.points).max() < 1.5


def test_people_to_judge_by_have_two_photographs_and_leave_two_to_train_on() -> None:
    assert set(split_people("ab", {"a", "b"}, 0.5).values()) == {"train"}
    splits = split_people("abcd", {"c"}, 0.1)
    assert [person for person, split in splits.items() if split == "val"] == ["c"]
    assert set(split_people("abcd", {"c"}, 0.0).values()) == {"train"}


def test_what_resembles_a_face_from_one_point_of_view_is_none() -> None:
    detector = find_detector()
    assert detector is not None
    grass = np.ascontiguousarray(np.rot90(np.stack([skimage.data.grass()] * 3, -1), 3))
    search = FaceSearch(detector)
    assert search.find(grass) == []
    assert [face.score > 0.9 for face in search.find(skimage.data.astronaut())] == [True]
