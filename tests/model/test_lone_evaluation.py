"""Judging without references: do no harm, old photographs, kinds of people, models that take no references at all."""

import csv
import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from drawn_eyes import FixedMesh, mesh_points
from numpy.typing import NDArray
from onnx import TensorProto, helper
from pictures import aligned_face
from refstar_model.commands.evaluate import read_sections
from refstar_model.data.photos import Kind, Photo, PhotoSet, PictureError
from refstar_model.evaluation import (
    Extent,
    FolderModel,
    Judges,
    NetModel,
    RestoredPicture,
    Section,
    Sheets,
    draw_quick_sheet,
    evaluate,
    markdown,
    quick_scores_alone,
    write_quality,
)
from refstar_model.evaluation.bars import bars
from refstar_model.evaluation.kinds import form_groups
from refstar_model.evaluation.lone_cases import (
    clean_case,
    degraded_case,
    historic_cases,
    spread,
    spread_over_kinds,
)
from refstar_model.evaluation.records import worst_tenth
from refstar_model.export.views import RestoringViews, View
from refstar_model.judges.recognition import Recognizer
from torch import nn

Pixels = NDArray[np.uint8]


def nothing(
    low_quality: Pixels, references: Sequence[Pixels], strength: float = 1.0, fidelity: float = 0.5
) -> RestoredPicture:
    """A model that changes nothing."""
    assert not references
    return RestoredPicture(low_quality, np.zeros((0, 1, 1), np.uint8), True)


def printer(
    low_quality: Pixels, references: Sequence[Pixels], strength: float = 1.0, fidelity: float = 0.5
) -> RestoredPicture:
    """A model that prints a lattice over everything."""
    printed, height = low_quality.astype(int), 24 if low_quality.mean() < 128 else -24
    for y in range(2):
        for x in range(2):
            printed[y::8, x::8] += height
    return RestoredPicture(np.clip(printed, 0, 255).astype(np.uint8), np.zeros((0, 1, 1), np.uint8), True)


class GrayLevel:
    """A second recognizer that knows people by their brightness."""

    def embed(self, picture: Pixels) -> NDArray[np.float64]:
        return np.array([picture.mean() / 255])


@pytest.fixture
def varied(photos: PhotoSet, tmp_path: Path) -> PhotoSet:
    """Person 4 is gray and 30, one of person 5's pictures is a profile; p0 is nobody. Two historic portraits."""
    changes = {
        "p4_0.png": {"gray": True},
        "p4_1.png": {"age": 30},
        "p5_1.png": {"yaw": 1.0},
        "p0_0.png": {"synthetic": True, "age": 70},
    }
    changed = tuple(replace(p, **changes.get(p.file, {})) for p in photos.photos)
    (tmp_path / "historic").mkdir()
    with (tmp_path / "historic.csv").open("w", newline="") as out:
        rows = csv.writer(out)
        rows.writerow(("file", "person"))
        for name, side in (("old.png", 256), ("older.png", 512)):
            rows.writerow((name, name))
            cv2.imwrite(
                str(tmp_path / "historic" / name), cv2.resize(aligned_face(), (side, side))[..., ::-1]
            )
    return replace(photos, photos=changed, roots=(*photos.roots, tmp_path))


def test_a_model_that_changes_nothing_does_no_harm(varied: PhotoSet, recognizer: Recognizer) -> None:
    extent = Extent(sections=frozenset({Section.HARM}), references=False)
    judges = Judges(recognizer, second=GrayLevel())
    table, _ = evaluate(nothing, varied, judges, extent=extent)
    harm = table["harm"]
    assert {name: row["cases"] for name, row in harm.items()} == {
        "val": 4,
        "val, front": 2,
        "val, profile": 1,
        "val, gray": 1,
        "historic": 2,
    }
    for row in harm.values():
        assert row["psnr"] == row["worst_psnr"] == 100
        assert (
            row["second"] < 1e-3
        )  # a picture enlarged and made small again is brighter or darker by a trace
        assert row["identity"] == row["worst_identity"] == pytest.approx(1, abs=1e-4)
        assert row["sharpness"] == pytest.approx(1, abs=1e-4)
        assert row["hatching"] == 0


def test_harm_is_seen_and_its_worst_tenth_shown(
    varied: PhotoSet, recognizer: Recognizer, tmp_path: Path
) -> None:
    extent = Extent(sections=frozenset({Section.HARM, Section.OLD}), references=False)
    sheets = Sheets(tmp_path / "sheets")
    table, _ = evaluate(printer, varied, Judges(recognizer), extent=extent, show=sheets.show)
    sheets.close()
    # 24 levels in 4 of 64 pixels.
    expected = 10 * np.log10(255**2 * 16 / 24**2)
    assert table["harm"]["val, profile"]["psnr"] == pytest.approx(expected, abs=0.2)
    historic = table["harm"]["historic"]
    assert historic["pattern"] > historic["input_pattern"] + 10
    assert historic["common_pattern"] > 15
    assert historic["hatching"] > 10
    old = table["old"]
    assert old["cases"] == 1
    assert old["means"]["none"]["pattern"] > old["means"]["input"]["pattern"] + 10
    assert old["means"]["none"]["gain"] < 0
    assert "identity_to_reference" not in old["means"]["none"]
    text = markdown(table)
    for part in (
        "| do no harm, to the input itself |",
        "| old, 1 cases |",
        "Second recognizer: off",
        "none - input",
    ):
        assert part in text
    sheet = cv2.imread(str(tmp_path / "sheets/harm-historic-alone-0.png"))
    assert sheet is not None
    assert sheet.shape == (20 + 2 * (20 + 256), 3 * 256, 3)


def test_a_missing_historic_picture_is_named(varied: PhotoSet) -> None:
    (varied.roots[-1] / "historic/older.png").unlink()
    with pytest.raises(PictureError, match=r"older\.png"):
        historic_cases(varied)


def test_a_small_photograph_is_compared_with_what_the_model_was_given() -> None:
    small = cv2.resize(aligned_face(), (256, 256), interpolation=cv2.INTER_AREA)
    case = clean_case("a", "a", small)
    assert (len(case.low_quality), len(case.truth)) == (512, 256)
    assert np.abs(case.truth.astype(int) - small).mean() < 2


def test_a_degraded_photograph_depends_on_file_seed_and_level_only(varied: PhotoSet) -> None:
    one, two = (p for p in varied.photos if p.person == "p3")

    def drawn(photo: Photo, level: str = "severe", seed: int = 7) -> Pixels:
        return degraded_case(varied, photo, level, seed).low_quality

    assert np.array_equal(drawn(one), drawn(one))
    for other in (drawn(one, seed=8), drawn(one, "moderate"), drawn(one, "old"), drawn(two)):
        assert not np.array_equal(drawn(one), other)


def test_people_are_told_apart_by_kind_age_and_tone(varied: PhotoSet, recognizer: Recognizer) -> None:
    judges = Judges(recognizer, mesh=FixedMesh(mesh_points()), second=GrayLevel())
    groups = {name: [p.file for p in members] for name, members in form_groups(varied, judges, 16)}
    tones = {name: files for name, files in groups.items() if "tone" in name}
    assert {name: files for name, files in groups.items() if name not in tones} == {
        "front": ["p4_1.png", "p5_0.png"],
        "profile": ["p5_1.png"],
        "gray": ["p4_0.png"],
        "age 25 to 39": ["p4_1.png"],
        "synthetic, age 60 to 120": ["p0_0.png"],
    }
    assert sorted(f for name, files in tones.items() for f in files if name.startswith("tone")) == [
        "p4_1.png",
        "p5_0.png",
    ]
    assert [files for name, files in tones.items() if name.startswith("synthetic")] == [["p0_0.png"]]
    extent = Extent(sections=frozenset({Section.KINDS}), levels=("moderate",), references=False)
    table, _ = evaluate(nothing, varied, judges, extent=extent)
    rows = table["kinds"]["moderate"]
    assert rows["front"]["cases"] == 2
    assert rows["front"]["gain"] == 0
    assert rows["front"]["second"] == rows["front"]["second_input"]
    assert rows["front"]["second_same"] == 1
    assert not {"identity", "second", "second_same", "pattern"} & rows["profile"].keys()
    assert "| moderate, by kind, without a reference | cases | PSNR gain |" in markdown(table)


def test_groups_are_cut_evenly() -> None:
    assert spread(range(100), 5) == [0, 24, 49, 74, 99]
    assert spread(range(3), 5) == [0, 1, 2]
    assert spread(range(3), None) == [0, 1, 2]
    assert worst_tenth(list(range(20))) == 0.5
    assert worst_tenth([3.0, 2.0]) == 2


def test_a_few_photographs_are_of_all_kinds(varied: PhotoSet) -> None:
    val = varied.split("val")
    assert [p.file for p in spread_over_kinds(val, 3)] == ["p4_1.png", "p5_1.png", "p4_0.png"]
    assert len(spread_over_kinds(val, 12)) == 4
    assert spread_over_kinds(varied.of_kinds(Kind.SYNTHETIC), 3) == []
    sheet = draw_quick_sheet(nothing, val, faces=3)
    assert sheet.shape == (3, 3 * 192, 11 * 192)
    clean = sheet[:, :192, :192]
    assert torch.equal(clean, sheet[:, :192, 192:384])  # the model changes nothing
    assert torch.equal(clean, sheet[:, :192, -192:])


def test_without_references_pairs_have_the_model_alone_and_the_truth(
    photos: PhotoSet, recognizer: Recognizer
) -> None:
    """``nothing`` fails if it is given a reference."""
    wanted = frozenset({Section.PAIRS, Section.KNOBS, Section.REAL})
    extent = Extent(levels=("severe",), cases=2, sections=wanted, references=False)
    judges = Judges(recognizer, mesh=FixedMesh(mesh_points()))
    table, records = evaluate(nothing, photos, judges, finder=recognizer, extent=extent)
    of = table["severe"]
    assert set(of) == {"input", "none", "truth"}
    assert len(records) == 6
    assert of["none"]["lips"] == of["none"]["mouth_openness"] == 0
    assert "psnr" not in of["truth"]
    assert of["truth"]["eyes_unlike"] >= 0
    missed = {b["name"]: b["missed_by"] for b in table["bars"] if not b["met"]}
    assert missed["PSNR over the input"] == 2.8
    assert "knobs" not in table
    text = markdown(table)
    assert "| severe, parts | lips |" in text
    assert "at the model's PSNR" not in text


def test_bars_without_references_are_those_of_gain_and_of_harm() -> None:
    given = {"psnr": 22.0, "second": 0.6}
    none = {"psnr": 24.9, "identity": 0.4, "sharpness": 0.8, "sharpness_outside": 0.7, "failures": 0}
    none |= {"second": 0.58, "pattern": 3.0, "hatching": 7.5, "eyes_unlike": 0.3}
    kept = {"psnr": 39.0, "identity": 0.985, "sharpness": 1.07}
    table = {
        "severe": {"input": given, "none": none, "truth": {"eyes_unlike": 0.2}},
        "harm": {"val": kept, "historic": kept},
    }
    missed = {(b.level, b.name): b.missed_by for b in bars(table) if not b.met}
    assert missed == {
        ("severe", "identity"): 0.1,
        ("severe", "second recognizer, nearer than the input"): 0.01,
        ("severe", "hatching"): 2.5,
        ("severe", "eyes unlike, times the truth's"): 0.2,
        ("no harm, val", "identity to itself"): 0.005,
        ("no harm, val", "sharpness changes by"): 0.02,
        ("no harm, historic", "sharpness changes by"): 0.02,
    }
    assert not bars({"harm": table["harm"]})  # of a model that nobody has judged at a level


def test_what_is_measured_alone_goes_into_the_manifest(
    varied: PhotoSet, recognizer: Recognizer, tmp_path: Path
) -> None:
    extent = Extent(
        sections=frozenset({Section.HARM, Section.OLD, Section.KINDS}), levels=("severe",), references=False
    )
    table, _ = evaluate(nothing, varied, Judges(recognizer), extent=extent)
    before = {"cases": 38, "bars": [{"name": "identity"}], "severe": {"right": {"psnr": 25.0}}}
    (tmp_path / "model.json").write_text(json.dumps({"quality": before}))
    write_quality(tmp_path, table)
    write_quality(tmp_path, table, "fp16")  # no pairs were judged
    quality = json.loads((tmp_path / "model.json").read_text())["quality"]
    assert {name: quality[name] for name in before} == before
    assert "fp16" not in quality
    assert quality["harm"]["historic"]["psnr"] == 100
    assert quality["old"]["cases"] == 1
    assert quality["old"]["none"]["gain"] == 0
    assert quality["kinds"]["severe"]["front"]["cases"] == 2


def test_quick_scores_alone_make_harm_and_pattern_cost(varied: PhotoSet, recognizer: Recognizer) -> None:
    val = varied.split("val")
    idle, printed = (quick_scores_alone(model, val, recognizer, cases=3) for model in (nothing, printer))
    assert idle["severe/gain"] == idle["old/gain"] == 0
    assert idle["clean/psnr"] == 100
    levels = ("severe", "moderate", "old", "small", "noisy")
    assert idle["score"] == pytest.approx(
        np.mean([idle[f"{n}/identity"] / 2 + min(idle[f"{n}/sharpness"], 0.65) / 5 for n in levels]), abs=1e-3
    )
    assert printed["clean/psnr"] < 38
    assert printed["severe/pattern"] > 10
    assert printed["severe/hatching"] > idle["severe/hatching"] + 10
    assert printed["score"] < idle["score"] - 0.3


def test_only_gray_people_are_old(photos: PhotoSet, recognizer: Recognizer) -> None:
    scores = quick_scores_alone(nothing, photos.split("val"), recognizer, cases=2)
    assert "old/gain" not in scores
    table, _ = evaluate(
        nothing,
        photos,
        Judges(recognizer),
        extent=Extent(sections=frozenset({Section.OLD}), references=False),
    )
    assert table["old"] == {}
    assert not photos.of_kinds(Kind.GRAY).photos


def test_a_folder_without_encoder_is_a_model_without_references(tmp_path: Path) -> None:
    side = 64
    inputs = [
        helper.make_tensor_value_info("low_quality", TensorProto.UINT8, ["n", side, side, 3]),
        helper.make_tensor_value_info("fidelity", TensorProto.FLOAT, ["n"]),
    ]
    outputs = [
        helper.make_tensor_value_info("restored", TensorProto.UINT8, ["n", side, side, 3]),
        helper.make_tensor_value_info("finite", TensorProto.BOOL, ["n"]),
    ]
    nodes = [
        helper.make_node("Identity", ["low_quality"], ["restored"]),
        helper.make_node("Equal", ["fidelity", "fidelity"], ["finite"]),
    ]
    graph = helper.make_graph(nodes, "g", inputs, outputs)
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), str(tmp_path / "restore.onnx"))
    (tmp_path / "model.json").write_text(json.dumps({"input_size": side}))
    model = FolderModel(tmp_path)
    picture = np.full((512, 512, 3), 77, np.uint8)
    answer = model(picture, [])
    assert not model.takes_references
    assert np.array_equal(answer.picture, picture)
    assert answer.finite
    with pytest.raises(ValueError, match="1 references for a model that takes none"):
        model(picture, [picture])


def test_a_net_in_training_without_references_is_judged_through_its_view() -> None:
    class Shift(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.shift = nn.Parameter(torch.tensor(5.0))

        def forward(self, low_quality: torch.Tensor, fidelity: torch.Tensor) -> tuple[torch.Tensor, ...]:
            moved = low_quality.float() + self.shift * (2 if self.training else 1)
            return moved.to(torch.uint8), fidelity == 0.5

    view = Shift().train()
    views = RestoringViews(64, View(view, ("low_quality", "fidelity"), ("restored", "finite")))
    model = NetModel(views)
    answer = model(np.full((512, 512, 3), 70, np.uint8), [])
    assert (int(answer.picture.min()), int(answer.picture.max()), answer.finite) == (75, 75, True)
    assert view.training
    with pytest.raises(ValueError, match="takes none"):
        model(aligned_face(), [aligned_face()])


def test_sections_are_named_with_commas() -> None:
    assert read_sections("harm,old") == {Section.HARM, Section.OLD}
    with pytest.raises(
        Exception,
        match=r"'harms' is not a valid Section; there are pairs, knobs, gate, views, parts, real, harm",
    ):
        read_sections("harms")
