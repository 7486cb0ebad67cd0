"""Super-resolution, and faces behind something regular: what is made, and that models are told apart by it."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pictures import aligned_face, psnr
from PIL import Image
from refstar_model.data.photos import PhotoSet
from refstar_model.evaluation import (
    Extent,
    Judges,
    RestoredPicture,
    Section,
    Sheets,
    evaluate,
    markdown,
    write_quality,
)
from refstar_model.evaluation.occluder import RANGES, Occluder, OccluderKind, draw_occluder
from refstar_model.evaluation.super_resolution import enlarge, reduce
from refstar_model.judges.recognition import Recognizer

Pixels = NDArray[np.uint8]
Change = Callable[[Pixels], Pixels]


def model(change: Change) -> Callable[..., RestoredPicture]:
    def restore(low_quality: Pixels, references: Sequence[Pixels]) -> RestoredPicture:
        assert not references
        return RestoredPicture(change(low_quality), np.zeros((0, 1, 1), np.uint8), True)

    return restore


def nothing(picture: Pixels) -> Pixels:
    return picture


def confetti(picture: Pixels) -> Pixels:
    noise = np.random.default_rng(0).normal(0, 60, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def sharper(picture: Pixels) -> Pixels:
    blurred = cv2.GaussianBlur(picture, (0, 0), 4).astype(int)
    return np.clip(1.5 * picture - 0.5 * blurred, 0, 255).astype(np.uint8)


def extent(*sections: Section) -> Extent:
    return Extent(sections=frozenset(sections), references=False, per_group=3)


def test_pictures_are_reduced_as_the_literature_reduces_them() -> None:
    picture = aligned_face()
    for factor in (4, 16):
        side = 512 // factor
        # Pillow rounds between rows and columns; by area, or with another a, both would be off by more than 0.5.
        small = np.asarray(Image.fromarray(picture).resize((side, side), Image.Resampling.BICUBIC))
        assert np.abs(reduce(picture, factor).astype(int) - small).mean() < 0.3
        large = np.asarray(Image.fromarray(small).resize((512, 512), Image.Resampling.BICUBIC))
        assert np.abs(enlarge(small, factor).astype(int) - large).mean() < 0.3
    assert psnr(enlarge(reduce(picture, 4), 4), picture) > psnr(enlarge(reduce(picture, 16), 16), picture) + 4


def test_super_resolution_has_a_table_for_each_factor(
    photos: PhotoSet, recognizer: Recognizer, tmp_path: Path
) -> None:
    table, _ = evaluate(model(sharper), photos, Judges(recognizer), extent=extent(Section.SUPER_RESOLUTION))
    found = table["super_resolution"]
    assert list(found) == ["x4", "x8", "x16"]
    for row in found.values():
        assert row["cases"] == 2  # only p5 is sharp at 512
        assert row["means"]["none"]["sharpness"] > row["means"]["input"]["sharpness"]
        assert {"psnr", "ssim", "identity", "gain"} <= row["means"]["none"].keys()
    assert found["x4"]["means"]["input"]["psnr"] > found["x16"]["means"]["input"]["psnr"]
    assert "| super-resolution x8, 2 cases | PSNR | PSNR gain | SSIM | identity |" in markdown(table)
    (tmp_path / "model.json").write_text(json.dumps({"quality": {}}))
    write_quality(tmp_path, table)
    kept = json.loads((tmp_path / "model.json").read_text())["quality"]["super_resolution"]
    assert kept["x4"]["none"] == found["x4"]["means"]["none"]


def test_an_occluder_has_its_period_its_angle_and_its_strength() -> None:
    gray = np.full((128, 128, 3), 200, np.uint8)
    upright = Occluder(OccluderKind.BARS, 32, 0, 1).draw(gray)
    assert np.array_equal(upright, np.broadcast_to(upright[:1], upright.shape))
    assert np.array_equal(upright[:, :-32], upright[:, 32:])
    assert (upright.min(), upright.max()) == (18, 200)
    assert (upright[0, :, 0] < 100).mean() == pytest.approx(0.2, abs=0.05)
    lying = Occluder(OccluderKind.BARS, 32, 90, 1).draw(gray)
    assert np.array_equal(lying, upright.transpose(1, 0, 2))
    weak = Occluder(OccluderKind.STRIPES, 16, 0, 0.25).draw(gray)
    assert (weak.min(), weak.max()) == (round(200 - 0.25 * 182), 200)
    net = Occluder(OccluderKind.NET, 32, 0, 1).draw(gray)
    assert np.array_equal(net, net.transpose(1, 0, 2))
    dots = [
        Occluder(OccluderKind.HALFTONE, 8, 45, 1).draw(np.full_like(gray, v)).mean() / v for v in (60, 220)
    ]
    assert dots[0] < 0.6 < 0.9 < dots[1]  # the darker the picture, the larger its dots


def test_occluders_are_drawn_within_their_ranges() -> None:
    rng = np.random.default_rng(0)
    for kind, (period, angle, strength) in RANGES.items():
        for _ in range(20):
            drawn = draw_occluder(kind, rng)
            assert period[0] <= drawn.period <= period[1]
            assert angle[0] <= drawn.angle <= angle[1]
            assert strength[0] <= drawn.strength <= strength[1]


def test_confetti_between_the_bars_is_worse_than_bars(
    photos: PhotoSet, recognizer: Recognizer, tmp_path: Path
) -> None:
    sheets = Sheets(tmp_path)
    judged = {}
    for name, change in (("nothing", nothing), ("confetti", confetti)):
        wanted = extent(Section.OCCLUDED)
        table, _ = evaluate(model(change), photos, Judges(recognizer), extent=wanted, show=sheets.show)
        judged[name] = table
    sheets.close()
    for kind in OccluderKind:
        idle, worse = (judged[name]["occluded"][kind.value] for name in ("nothing", "confetti"))
        assert idle["cases"] == 3
        assert idle["gain"] == idle["worst_gain"] == 0
        assert idle["no_worse"] == 1
        assert idle["to_input"] == 100
        assert worse["worst_gain"] < -0.1
        assert worse["to_input"] < 20
        assert worse["between"] < 20
    assert all(bar["met"] for bar in judged["nothing"]["bars"])
    assert not any(bar["met"] for bar in judged["confetti"]["bars"])
    assert "| behind something regular, of the face | cases | input's PSNR |" in markdown(judged["confetti"])
    assert cv2.imread(str(tmp_path / "occluded-net-alone-0.png")) is not None
