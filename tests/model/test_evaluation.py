"""The judge: fixed cases, known scores for known pictures, a table for a model that is known to copy."""

import csv
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
import torch
from drawn_eyes import mesh_points
from onnx import TensorProto, helper
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
    as_shown,
    cases,
    few_cases,
    nearest_strangers,
    pseudo_views,
    real_cases,
)
from refstar_model.evaluation.controls import band_transfer, fixed_mask, identity_at
from refstar_model.evaluation.gate import Said, measure_reliability
from refstar_model.evaluation.perceptual import Inception, PerceptualDistance
from refstar_model.evaluation.records import Record, differences
from refstar_model.judges import metrics
from refstar_model.judges.landmarks import (
    COUNT,
    FaceFinder,
    FaceMesh,
    MeshFace,
    eye_distance,
    landmark_distance,
)
from refstar_model.judges.recognition import Recognizer
from refstar_model.refstar.export_view import view_network
from refstar_model.refstar.network import TINY, RefStar
from skimage.metrics import structural_similarity
from torch.nn import functional as F


def face() -> torch.Tensor:
    return torch.from_numpy(aligned_face().copy()).permute(2, 0, 1)[None].float() / 255


class ColorRecognizer(Recognizer):
    """Knows people by their coarse colors."""

    def __init__(self) -> None:
        torch.nn.Module.__init__(self)

    def forward(self, crops: torch.Tensor) -> torch.Tensor:
        return F.normalize(F.adaptive_avg_pool2d(crops / 255 - 0.5, 6).flatten(1), dim=1)


def copier(
    low_quality: np.ndarray, references: Sequence[np.ndarray], strength: float = 1.0, fidelity: float = 0.5
) -> RestoredPicture:
    """A model that puts half of the references' mean over the input, and does not look at ``fidelity``."""
    if not references:
        return RestoredPicture(low_quality, np.zeros((1, 4, 4), np.uint8), True)
    share = 0.5 * strength
    mixed = (1 - share) * low_quality + share * np.mean(np.stack(references), 0)
    masks = np.full((len(references), 4, 4), round(255 * share / len(references)), np.uint8)
    return RestoredPicture(np.rint(mixed).astype(np.uint8), masks, len(references) < 4)


def test_equal_pictures_score_best() -> None:
    picture = face()
    assert float(metrics.psnr(picture, picture)) == 100
    assert abs(float(metrics.ssim(picture, picture)) - 1) < 1e-4
    assert [float(share) for share in metrics.sharpness(picture, picture)] == pytest.approx([1, 1])


def test_a_known_error_has_its_known_psnr() -> None:
    picture = face() * 0.5
    assert abs(float(metrics.psnr(picture + 0.1, picture)) - 20) < 1e-3


def test_structural_similarity_is_the_published_one() -> None:
    picture = face()
    blurred = F.interpolate(F.avg_pool2d(picture, 4), scale_factor=4.0, mode="bilinear")
    one, two = (p[0].permute(1, 2, 0).numpy() for p in (blurred, picture))
    wanted = structural_similarity(
        one,
        two,
        channel_axis=2,
        data_range=1.0,
        gaussian_weights=True,
        sigma=1.5,
        use_sample_covariance=False,
    )
    assert abs(float(metrics.ssim(blurred, picture)) - wanted) < 1e-4


def test_blur_costs_sharpness_where_it_is() -> None:
    picture = face()
    blurred = F.interpolate(F.avg_pool2d(picture, 8), scale_factor=8.0, mode="bilinear")
    inside, outside = (float(share) for share in metrics.sharpness(blurred, picture))
    assert (inside < 0.3, outside < 0.5) == (True, True)
    window = torch.zeros(1, 1, 512, 512)
    window[..., 150:430, 140:370] = 1  # the face alone
    inside, outside = (
        float(share) for share in metrics.sharpness(picture + window * (blurred - picture), picture)
    )
    assert (inside < 0.6, outside > 0.85) == (True, True)


def test_frechet_distance_knows_shift_and_spread() -> None:
    features = np.random.default_rng(0).normal(size=(12, 40))
    spread = float(features.var(0, ddof=1).sum())
    assert abs(metrics.frechet_distance(features, features)) < 1e-9
    assert metrics.frechet_distance(features + 0.5, features) == pytest.approx(40 * 0.25)
    centered = features - features.mean(0)
    assert metrics.frechet_distance(3 * centered, centered) == pytest.approx(4 * spread)


def test_landmark_distance_is_a_share_of_the_distance_of_the_eyes() -> None:
    points = np.random.default_rng(0).uniform(50, 200, (COUNT, 2)).astype(np.float32)
    moved = points + np.array([3, 4], np.float32)
    assert landmark_distance(moved, points) == pytest.approx(5 / eye_distance(points), rel=1e-5)


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


def _graph(path: Path, names: Sequence[str], nodes: Sequence[onnx.NodeProto]) -> Path:
    inputs = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["n", 3, "h", "w"]) for n in names]
    output = helper.make_tensor_value_info("out", TensorProto.FLOAT, None)
    graph = helper.make_graph(nodes, "g", inputs, [output])
    opset = [helper.make_opsetid("", 20)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=9), str(path))
    return path


def test_lpips_and_fid_are_on_when_the_user_brings_weights(photos: PhotoSet, tmp_path: Path) -> None:
    distance = _graph(
        tmp_path / "lpips.onnx",
        ("a", "b"),
        [
            helper.make_node("Sub", ["a", "b"], ["d"]),
            helper.make_node("Abs", ["d"], ["e"]),
            helper.make_node("ReduceMean", ["e"], ["out"], keepdims=0),
        ],
    )
    features = _graph(
        tmp_path / "inception.onnx",
        ("x",),
        [helper.make_node("GlobalAveragePool", ["x"], ["p"]), helper.make_node("Flatten", ["p"], ["out"])],
    )
    judges = Judges(ColorRecognizer(), perceptual=PerceptualDistance(distance), inception=Inception(features))
    extent = Extent(levels=("severe",), cases=2, sections=frozenset({Section.PAIRS}))
    table, _ = evaluate(copier, photos, judges, extent=extent)
    of = table["severe"]
    assert (table["lpips"], table["fid"]) == ("on", "on")
    assert of["wrong"]["lpips"] > of["right"]["lpips"] > 0
    assert of["wrong"]["fid"] > of["right"]["fid"]
    assert "| LPIPS |" in markdown(table)
    with pytest.raises(ValueError, match="1 inputs, not 2"):
        PerceptualDistance(features)


@pytest.mark.skipif("REFSTAR_DATA" not in os.environ, reason="needs the mesh, YuNet and photographs")
def test_mesh_and_yunet_see_a_face_where_there_is_one() -> None:
    models = Path(os.environ["REFSTAR_DATA"]) / "models"
    mesh = FaceMesh(models / "mediapipe/face_landmark.tflite")
    finder = FaceFinder(models / "yunet/face_detection_yunet_2023mar.onnx")
    picture = aligned_face()
    noise = np.random.default_rng(0).integers(0, 255, picture.shape).astype(np.uint8)
    seen = mesh.look(picture)
    assert seen.presence > 0 > mesh.look(noise).presence
    assert finder.finds(picture)
    assert not finder.finds(noise)
    assert 55 < eye_distance(seen.points) < 72  # the template's is 63 at 256
    moved = cv2.warpAffine(picture, np.array([[1.0, 0, 8], [0, 1.0, 0]]), (512, 512))
    assert landmark_distance(mesh.points(moved), seen.points) == pytest.approx(4 / 63, abs=0.02)
