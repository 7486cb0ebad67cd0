"""The judge: fixed cases, known scores for known pictures."""

import json
from pathlib import Path

import numpy as np
import torch
from pictures import aligned_face
from refstar_model import metrics
from refstar_model.data.photos import PhotoSet
from refstar_model.evaluation import MEASURES, cases, markdown, write_quality
from torch.nn import functional as F


def face() -> torch.Tensor:
    return torch.from_numpy(aligned_face().copy()).permute(2, 0, 1)[None].float() / 255


def test_equal_pictures_score_best() -> None:
    picture = face()
    assert float(metrics.psnr(picture, picture)) == 100
    assert abs(float(metrics.ssim(picture, picture)) - 1) < 1e-4
    assert abs(float(metrics.sharpness(picture, picture)) - 1) < 1e-4


def test_a_known_error_has_its_known_psnr() -> None:
    picture = face() * 0.5
    assert abs(float(metrics.psnr(picture + 0.1, picture)) - 20) < 1e-3


def test_a_blurred_picture_scores_less_in_every_measure() -> None:
    picture = face()
    blurred = F.interpolate(F.avg_pool2d(picture, 8), scale_factor=8.0, mode="bilinear")
    assert float(metrics.ssim(blurred, picture)) < 0.9
    assert float(metrics.sharpness(blurred, picture)) < 0.3


def test_every_pair_is_judged_in_both_directions_with_a_stranger_beside(photos: PhotoSet) -> None:
    val = photos.split("val")
    made = cases(val, "severe")
    assert [case.name for case in made] == ["p4_0.png", "p4_1.png", "p5_0.png", "p5_1.png"]
    again = cases(val, "severe")
    for one, two in zip(made, again, strict=True):
        assert np.array_equal(one.low_quality, two.low_quality)
        assert one.low_quality.shape == one.right.shape == one.wrong.shape == (512, 512, 3)
        assert one.truth.shape == (256, 256, 3)
        assert not np.array_equal(one.right, one.wrong)
    assert not np.array_equal(made[0].low_quality, cases(val, "moderate")[0].low_quality)


def test_the_table_goes_into_the_manifest_and_reads_as_markdown(tmp_path: Path) -> None:
    (tmp_path / "model.json").write_text(json.dumps({"name": "x", "quality": {}}))
    score = dict.fromkeys((*MEASURES, "identity_distinct_pictures"), 0.5)
    table = {"severe": {"input": score, "right": score | {"mean_mask": 0.25}}}
    write_quality(tmp_path, table)
    assert json.loads((tmp_path / "model.json").read_text())["quality"] == table
    lines = markdown(table, "severe").splitlines()
    assert lines[2].startswith("| input | 0.50 | 0.500 |")
    assert lines[3].endswith("| 0.250 |")
