"""A table for a model that is known to copy, its bars, and what goes into a manifest."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from copying_model import ColorRecognizer, copier
from drawn_eyes import mesh_points
from pictures import aligned_face
from refstar_model.data.photos import PhotoSet
from refstar_model.evaluation import (
    Extent,
    Judges,
    NetModel,
    RestoredPicture,
    Section,
    Sheets,
    evaluate,
    markdown,
    quick_scores,
    write_quality,
    write_report,
)
from refstar_model.evaluation.bars import bars
from refstar_model.evaluation.cases import (
    few_cases,
)
from refstar_model.evaluation.gate import Said, measure_reliability
from refstar_model.evaluation.records import Record, differences
from refstar_model.judges.landmarks import (
    FaceMesh,
    MeshFace,
)
from refstar_model.refstar.export_view import view_network
from refstar_model.refstar.network import TINY, RefStar


def test_standard_errors_count_people_not_cases() -> None:
    records = []
    for person, gain in (("a", 0.1), ("b", 0.3)):
        for case in range(2):
            for variant, value in (("right", 0.5 + gain), ("none", 0.5)):
                records.append(Record(f"{person}{case}", person, False, variant, {"identity": value}))
    found = differences(records)["right - none"]["identity"]
    assert found == {"mean": 0.2, "standard_error": 0.1, "better": 1.0}


def test_bars_say_by_how_much_they_are_missed() -> None:
    right = {
        "identity": 0.75,
        "psnr": 25.0,
        "sharpness": 0.7,
        "sharpness_outside": 0.4,
        "mean_mask": 0.2,
        "landmarks": 0.05,
        "identity_distinct_pictures": 0.71,
        "second": 0.31,
        "hatching": 4.0,
    }
    none = right | {"identity": 0.3, "psnr": 25.1, "landmarks": 0.04}
    wrong = right | {"identity": 0.29, "mean_mask": 0.11}
    found = {
        b.name: b
        for b in bars(
            {"severe": {"input": right | {"psnr": 22.0}, "right": right, "none": none, "wrong": wrong}}
        )
    }
    assert found["identity"].missed_by == pytest.approx(0.08)
    assert found["identity over none"].met
    assert found["PSNR over none"].missed_by == pytest.approx(0.1)
    assert found["landmarks: distance, at most none's"].missed_by == pytest.approx(0.01)
    assert found["sharpness outside it"].missed_by == pytest.approx(0.3)
    assert found["second recognizer, distance"].missed_by == pytest.approx(0.01)
    assert found["hatching"].met
    assert found["wrong: identity over none"].met
    assert found["wrong: mean mask, at most half of right's"].missed_by == pytest.approx(0.01)


def test_the_whole_evaluation_of_a_model_that_copies(photos: PhotoSet, tmp_path: Path) -> None:
    sheets = Sheets(tmp_path / "sheets")
    judge = ColorRecognizer()
    extent = Extent(
        levels=("severe",), cases=2, knobs_every=2, sections=frozenset({Section.PAIRS, Section.KNOBS})
    )
    table, records = evaluate(copier, photos, Judges(judge), judge, extent, sheets.show)
    sheets.close()
    assert (table["cases"], table["people"]) == (2, 2)
    of = table["severe"]
    assert of["right"]["identity_to_reference"] > of["none"]["identity_to_reference"]
    assert of["none"]["psnr"] == of["input"]["psnr"]
    assert of["right"]["mean_mask"] == pytest.approx(128 / 255, abs=1e-3)
    assert of["4 references"]["failures"] == 2  # the copier says of four references that it is not finite
    assert of["right"]["failures"] == 0
    knobs = table["knobs"]["severe"]
    assert knobs["fidelity 1"]["change"] == 0
    assert knobs["reference_strength 0.25"]["change"] > knobs["reference_strength 0.75"]["change"] > 1
    failed = {b["name"] for b in table["bars"] if not b["met"]}
    assert "fidelity 1 changes the picture (levels)" in failed
    assert "reference_strength 0.5 changes the picture (levels)" not in failed
    assert (table["lpips"], table["fid"]) == ("off (no weights given)",) * 2
    text = markdown(table)
    for part in ("| look-alike |", "LPIPS: off", "| right - none |", "| severe, fixed mask |", "missed by"):
        assert part in text
    write_report(tmp_path / "report", table, records)
    kept = json.loads((tmp_path / "report/evaluation.json").read_text())
    assert len(kept["records"]) == len(records) == 2 * 13
    sheet = cv2.imread(str(tmp_path / "sheets/severe-0.png"))
    assert sheet is not None
    assert sheet.shape == (20 + 2 * (20 + 256), 6 * 256, 3)


def test_what_a_gate_says_is_held_against_who_it_was(photos: PhotoSet) -> None:
    made = few_cases(photos.split("val"), "severe", 2)

    def tell(low_quality: np.ndarray, references: Sequence[np.ndarray], *knobs: float) -> RestoredPicture:
        (case,) = (one for one in made if np.array_equal(one.low_quality, low_quality))
        same = 0.95 if np.array_equal(references[0], case.right) else 0.05
        said = {"same_person": np.array([same], "f"), "likeness": np.array([0.5], "f")}
        return copier(low_quality, references)._replace(**said)

    extent = Extent(levels=("severe",), cases=2, sections=frozenset({Section.GATE}))
    table, records = evaluate(tell, photos, Judges(), extent=extent)
    told = table["gate"]["severe"]
    assert (told["cases"], records) == (2, [])
    assert told["means"]["right"]["same_person"] == pytest.approx(0.95)
    assert told["means"]["wrong"]["same_person"] == pytest.approx(0.05)
    assert told["means"]["wrong"]["likeness"] == 0.5
    assert told["means"]["right"]["mistaken"] == told["means"]["wrong"]["mistaken"] == 0
    told["means"]["wrong"]["mistaken"] = 0.05
    assert [b.missed_by for b in bars(table) if not b.met] == [pytest.approx(0.02)]
    assert list(told["reliability"]) == ["0.0 to 0.1", "0.9 to 1.0", "all"]
    assert told["reliability"]["all"]["apart"] == pytest.approx(0.05)
    text = markdown(table)
    assert (
        "| severe, who references show | cases | same person | likeness | mistaken | right person | apart |"
        in text
    )
    assert "| same person, 0.9 to 1.0 | 2 | 0.950 | 0.500 |  | 1.000 |  |" in text
    silent, _ = evaluate(copier, photos, Judges(), extent=extent)
    assert "gate" not in silent


def test_good_photographs_are_judged_with_a_reference_too(photos: PhotoSet) -> None:
    extent = Extent(sections=frozenset({Section.HARM}))
    table, _ = evaluate(copier, photos, Judges(), extent=extent)
    row = table["harm"]["val, with a reference"]
    assert row["cases"] == table["harm"]["val"]["cases"] == 4
    assert row["psnr"] < table["harm"]["val"]["psnr"] == 100
    assert [b.name for b in bars(table)] == ["PSNR to itself"]
    alone, _ = evaluate(copier, photos, Judges(), extent=replace(extent, references=False))
    assert "val, with a reference" not in alone["harm"]


def test_tenths_are_compared_with_how_often_they_are_right() -> None:
    said = [
        Said("right", 0.72, 0.0),
        Said("wrong", 0.78, 0.0),
        Said("right", 1.0, 0.0),
        Said("wrong", 0.0, 0.0),
    ]
    rows = measure_reliability(said)
    assert rows["0.7 to 0.8"] == pytest.approx(
        {"cases": 2, "same_person": 0.75, "likeness": 0, "right_share": 0.5}
    )
    assert rows["0.9 to 1.0"]["right_share"] == 1
    assert rows["all"] == pytest.approx({"cases": 4, "apart": 2 * 0.25 / 4})
    assert measure_reliability([]) == {}


class BrightnessMesh(FaceMesh):
    """The brighter the picture, the wider open the mouth."""

    def __init__(self) -> None:
        pass

    def look(self, picture: np.ndarray) -> MeshFace:
        return MeshFace(mesh_points(gap=float(picture.mean()) / 50), 1.0)


def test_a_mouth_that_is_copied_from_the_reference_shows(photos: PhotoSet) -> None:
    extent = Extent(levels=("moderate",), cases=2, sections=frozenset({Section.PAIRS}))
    table, _ = evaluate(copier, photos, Judges(ColorRecognizer(), mesh=BrightnessMesh()), extent=extent)
    of = table["moderate"]
    assert of["right"]["mouth_copied"] == pytest.approx(0.5, abs=0.05)
    assert of["wrong"]["mouth_copied"] == pytest.approx(0.5, abs=0.05)
    assert of["none"]["mouth_copied"] == of["input"]["mouth_copied"] == pytest.approx(0, abs=0.05)
    assert of["right"]["mouth_openness"] > 5 * of["none"]["mouth_openness"]
    assert "| moderate, parts | lips | lids | mouth's openness | mouth copied |" in markdown(table)


def test_what_is_measured_goes_into_the_manifest(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps({"name": "x", "quality": {}}))
    bar = {"name": "identity", "met": True}
    table = {"cases": 2, "severe": {"right": {"psnr": 25.0}}, "bars": [bar], "knobs": {"severe": {}}}
    write_quality(tmp_path, table)
    manifest = json.loads((tmp_path / "model.json").read_text())
    assert manifest["name"] == "x"
    assert manifest["quality"] == {"cases": 2, "severe": {"right": {"psnr": 25.0}}, "bars": [bar]}


def test_each_precision_has_a_table_of_its_own_whatever_the_order(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps({"quality": {}}))
    for precision, psnr in (("fp16", 24.0), ("fp32", 25.0), ("int8", 23.0)):
        levels = {level: {"right": {"psnr": psnr}} for level in ("moderate", "severe")}
        write_quality(tmp_path, {"cases": 2, **levels}, precision)
    quality = json.loads((tmp_path / "model.json").read_text())["quality"]
    assert [quality[p]["severe"]["right"]["psnr"] for p in ("fp16", "int8")] == [24.0, 23.0]
    assert quality["severe"]["right"]["psnr"] == 25.0
    assert quality["cases"] == 2


def test_quick_scores_are_a_few_named_figures(photos: PhotoSet) -> None:
    val, judge = photos.split("val"), ColorRecognizer()
    scores = quick_scores(copier, val, judge, cases=2)
    assert scores == quick_scores(copier, val, judge, cases=2)
    assert scores["severe/identity/right"] > scores["severe/identity/wrong"]
    assert scores["moderate/mask/right"] == pytest.approx(128 / 255, abs=1e-3)
    assert {"score", "severe/psnr/none", "moderate/psnr/input", "severe/sharpness/right"} <= set(scores)


def test_a_net_in_training_is_judged_as_exported_and_trains_on() -> None:
    torch.manual_seed(0)
    net = RefStar(TINY).train()
    torch.nn.init.normal_(net.selection.out.weight, std=0.1)
    model = NetModel(view_network(net))
    soft = cv2.GaussianBlur(aligned_face(), (0, 0), 8)
    alone, helped = model(soft, []), model(soft, [aligned_face(), soft])
    assert net.training
    assert alone.picture.shape == (512, 512, 3)
    assert alone.finite
    assert not alone.selection.any()
    assert helped.selection.shape == (2, 16, 16)
    assert helped.selection.any()
    assert not np.array_equal(alone.picture, helped.picture)
