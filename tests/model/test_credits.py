"""What a model says it was trained on is what its data said, and nothing else."""

import csv
import json
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import pytest
import torch
from narrow_nets import REFSTAR
from refstar_model import cli
from refstar_model.commands import publish
from refstar_model.data.credits import (
    Credit,
    credit_photos,
    describe_credits,
    is_complete,
    read_record,
    record_training,
)
from refstar_model.data.pack import open_pack, write_pack
from refstar_model.data.photos import PhotoSet, PhotoWeights, load_photos
from refstar_model.data.plan import SampleMix
from refstar_model.data.sources import name_source
from refstar_model.data.stream import StreamParams
from refstar_model.export.card import Publication, Ranks, SystemCard, describe_model
from refstar_model.refstar.training import RefStarTraining, train
from refstar_model.training import LoopParams, Run

ALBUM = Credit("the album of a family", "all rights reserved", 12, 3, {"front": 10, "gray": 2})


@pytest.fixture
def album(photos: PhotoSet, tmp_path: Path) -> PhotoSet:
    """The drawn faces with a source each: half from a museum, half from an album; one of each is gray."""
    root = tmp_path / "album"
    for size in (256, 512):
        (root / f"faces{size}").mkdir(parents=True)
    rows = []
    for number, photo in enumerate(photos.photos):
        for size in (256, 512) if photo.sharp_at_512 else (256,):
            cv2.imwrite(str(root / f"faces{size}" / photo.file), photos.read(photo.file, size)[..., ::-1])
        rows.append(
            {
                "file": photo.file,
                "split": photo.split,
                "person": photo.person,
                "in512": int(photo.sharp_at_512),
                "licence": "CC0-1.0" if number < 6 else "CC-BY-4.0",
                "source": "a museum" if number < 6 else "an album",
                "gray": int(number == 0),
            }
        )
    pairs = [
        {"person": one.person, "split": one.split, "file_a": one.first, "file_b": one.second, "emb_sim": 0.8}
        for one in photos.pairs
    ]
    for name, table in (("faces.csv", rows), ("pairs.csv", pairs)):
        with (root / name).open("w", newline="") as out:
            writer = csv.DictWriter(out, list(table[0]))
            writer.writeheader()
            writer.writerows(table)
    return load_photos(root)


def test_credits_count_what_may_be_drawn_by_source_and_license(album: PhotoSet) -> None:
    people = album.split("train")
    assert credit_photos(people) == (
        Credit("a museum", "CC0-1.0", 6, 3, {"gray": 1, "front": 5}),
        Credit("an album", "CC-BY-4.0", 2, 1, {"front": 2}),
    )
    [museum, _] = credit_photos(people, replace(PhotoWeights(), gray=0.0))
    assert (museum.photographs, museum.sentence) == (5, "a museum, CC0-1.0: 5 photographs of 3 people")


def test_a_pack_keeps_the_sources(album: PhotoSet, tmp_path: Path) -> None:
    write_pack(album, tmp_path / "pack")
    assert credit_photos(open_pack(tmp_path / "pack")) == credit_photos(album)


@pytest.mark.parametrize(
    ("row", "source"),
    [
        ({"source": " our own ", "repo": "a/b"}, "our own"),
        ({"repo": "a/b"}, "a/b"),
        ({"repo": "debruine/webmorphR.stim", "kind": "canada"}, "Young Adult White Faces"),
        ({"repo": "debruine/webmorphR.stim", "kind": "new"}, "debruine/webmorphR.stim"),
        ({}, "photographs whose source faces.csv does not name"),
    ],
)
def test_a_source_is_named_as_its_row_has_it(row: dict[str, str], source: str) -> None:
    assert name_source(row).startswith(source)


def test_a_training_records_its_data_and_that_of_the_weights_that_it_began_at(
    album: PhotoSet, tmp_path: Path
) -> None:
    how = RefStarTraining(REFSTAR, LoopParams(steps=1), StreamParams(2, 5, SampleMix(alone=1.0), loaders=0))
    weights = train(album, None, how, Run(tmp_path / "first"))
    first = read_record(weights)
    assert first == credit_photos(album.split("train"), PhotoWeights())
    assert is_complete(first)

    state = torch.load(weights, weights_only=True)
    state["data"] = record_training((ALBUM,), ())
    torch.save(state, tmp_path / "other.pt")
    second = read_record(train(album, None, how, Run(tmp_path / "second", start=tmp_path / "other.pt")))
    assert set(map(str, second)) == set(map(str, (*first, ALBUM)))

    del state["data"]
    torch.save(state, tmp_path / "old.pt")
    third = read_record(train(album, None, how, Run(tmp_path / "third", start=tmp_path / "old.pt")))
    assert not is_complete(third)
    assert third[-1].sentence == "what old.pt, where the training began, was trained on: not on record"


def test_the_same_source_in_two_trainings_counts_once_with_the_larger_numbers(tmp_path: Path) -> None:
    torch.save({"data": record_training((ALBUM,), ())}, tmp_path / "weights.pt")
    smaller = replace(ALBUM, photographs=5, people=2)
    [one] = record_training((smaller,), (tmp_path / "weights.pt", None))
    assert one["photographs"] == 12


@pytest.mark.parametrize(
    ("credit", "known"),
    [
        (ALBUM, True),
        (Credit("Faces, by A. Nobody", "PD (before 1931)", 1, 1), True),
        (Credit("Faces", "CC0-1.0", 1234), True),
        (Credit("what old.pt was trained on: not on record", ""), False),
    ],
)
def test_a_model_folder_says_what_its_weights_do(tmp_path: Path, credit: Credit, known: bool) -> None:
    (tmp_path / "model.json").write_text(json.dumps({"training_data": [credit.sentence]}))
    [read] = read_record(tmp_path)
    assert read.sentence == credit.sentence
    assert is_complete([read]) is known
    assert len(record_training((credit,), (tmp_path,))) == 1


def test_the_sentence_of_all_credits_says_what_was_lacking() -> None:
    assert describe_credits((ALBUM, Credit("one", "CC0-1.0", 1, 1, {"front": 1}))) == (
        "Trained on 13 photographs of 4 people: 11 from the front, 2 gray; no profiles."
    )


CARD = SystemCard("refstar", ("Detail may be invented.",), 8, Ranks(1, 2))


def test_a_manifest_claims_only_what_was_said() -> None:
    silent = describe_model(CARD, Publication("mine"), 10, 512, 1000, {})
    assert (silent["name"], silent["version"], silent["license"]) == ("mine", "0.0.0", "not stated")
    assert silent["training_data"] == ["not on record"]
    assert silent["limits"] == ["Detail may be invented."]
    told = Publication("mine", "1.2.0", "CC-BY-NC-4.0", (ALBUM,), ("No children.",), ranked=False)
    manifest = describe_model(CARD, told, 10, 512, 1000, {})
    assert manifest["training_data"] == [
        "the album of a family, all rights reserved: 12 photographs of 3 people"
    ]
    assert manifest["limits"][0].startswith("Trained on 12 photographs of 3 people")
    assert manifest["limits"][1:] == ["No children.", "Detail may be invented."]
    assert manifest["license"] == "CC-BY-NC-4.0"
    assert "ranks" in silent
    assert "ranks" not in manifest


@pytest.fixture
def recorded(tmp_path: Path) -> Path:
    torch.save({"data": record_training((ALBUM,), ())}, tmp_path / "recorded.pt")
    return tmp_path / "recorded.pt"


def publication(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> Publication:
    """What `export` would publish with these options; nothing is exported."""
    told: list[Publication] = []

    def describe(parsed: object) -> None:
        told.append(publish.describe_publication(parsed))  # type: ignore[arg-type]

    monkeypatch.setattr(publish, "export_weights", describe)
    monkeypatch.setattr(sys, "argv", ["refstar-model", "export", "refstar", *map(str, arguments)])
    cli.main()
    return told[0]


def test_export_takes_the_record_of_the_weights_and_the_name_of_the_folder(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = publication(monkeypatch, recorded, "--out", tmp_path / "grandma", "--license", "CC0-1.0")
    assert model == Publication("grandma", "0.0.0", "CC0-1.0", (ALBUM,))


def test_data_may_be_named_for_weights_that_have_no_record_only(
    recorded: Path,
    album: PhotoSet,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.save({"step": 1}, tmp_path / "old.pt")
    out = ("--out", tmp_path / "mine")
    assert publication(monkeypatch, tmp_path / "old.pt", *out).credits == ()
    assert "--trained-on DATA names it" in capsys.readouterr().out
    named = publication(monkeypatch, tmp_path / "old.pt", *out, "--trained-on", album.roots[0])
    assert named.credits == credit_photos(album.split("train"))
    with pytest.raises(SystemExit, match="leave out --trained-on"):
        publication(monkeypatch, recorded, *out, "--trained-on", album.roots[0])


def test_a_name_that_no_request_could_ask_for_is_refused(
    recorded: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(SystemExit, match="use --name"):
        publication(monkeypatch, recorded, "--out", tmp_path / "My Model")


def test_nothing_is_said_of_kinds_that_are_not_on_record() -> None:
    known = Credit("a", "CC0-1.0", 3, 2, {"front": 2, "gray": 1})
    assert describe_credits([known]) == (
        "Trained on 3 photographs of 2 people: 2 from the front, 1 gray; no profiles."
    )
    unknown = Credit("b", "CC0-1.0", 5, 4)
    assert describe_credits([known, unknown]) == "Trained on 8 photographs of 6 people."
