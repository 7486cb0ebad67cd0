"""Pattern on the skin, mouth, eyes, skin tone, the second recognizer: known answers on drawn pictures."""

import importlib.util
import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from drawn_eyes import drawn_eyes, mesh_points
from pictures import aligned_face
from refstar_model.data.face_parts import EYE_ONE, EYE_TWO
from refstar_model.evaluation import find_second_recognizer
from refstar_model.evaluation.expression import compare_expression, copied_share, mouth_openness
from refstar_model.evaluation.eye_pair import compare_eyes, see_eye
from refstar_model.evaluation.pattern import common_pattern, peak_to_trough, smooth_skin, sum_tiles
from refstar_model.evaluation.printed_marks import PrintedMarks
from refstar_model.evaluation.second_recognizer import CHIP_EYES, SAME_PERSON, DlibRecognizer, face_chip
from refstar_model.evaluation.skin_tone import SkinTone, classify_tone, measure_ita
from refstar_model.judges.landmarks import eye_distance


def skin_with(added: np.ndarray) -> np.ndarray:
    """A gray face with something added to it, uint8 [512, 512, 3]."""
    return np.clip(np.rint(140 + added), 0, 255).astype(np.uint8)[..., None].repeat(3, 2)


def lattice(period: int, height: float) -> np.ndarray:
    dots = np.zeros((512, 512))
    for y in range(2):
        for x in range(2):
            dots[y::period, x::period] = height
    return dots


def measured(picture: np.ndarray) -> float:
    found = peak_to_trough(sum_tiles(picture, smooth_skin(picture)))
    assert found is not None
    return found


@pytest.mark.parametrize("period", [8, 16])
def test_a_printed_lattice_is_found_with_its_height(period: int) -> None:
    assert measured(skin_with(lattice(period, 12))) == pytest.approx(12, abs=0.1)
    assert measured(skin_with(lattice(period, -12))) == pytest.approx(12, abs=0.1)


def test_a_plain_gradient_and_another_period_are_no_pattern() -> None:
    ramp = np.add.outer(np.linspace(-40, 40, 512), np.linspace(-20, 20, 512))
    assert measured(skin_with(ramp)) < 0.5
    assert measured(skin_with(lattice(11, 12))) < 1.5


def test_noise_is_no_pattern_and_a_lattice_stays_over_many_pictures() -> None:
    rng = np.random.default_rng(0)
    noisy = [skin_with(rng.normal(0, 4, (512, 512))) for _ in range(8)]
    single = [measured(p) for p in noisy]
    common = common_pattern([sum_tiles(p, smooth_skin(p)) for p in noisy])
    assert common is not None
    assert max(single) < 3.5
    assert common < np.mean(single) / 2
    printed = [skin_with(lattice(8, 6) + rng.normal(0, 4, (512, 512))) for _ in range(8)]
    found = common_pattern([sum_tiles(p, smooth_skin(p)) for p in printed])
    assert found == pytest.approx(6, abs=1.5)


def test_hatching_fainter_than_detail_is_found_in_many_pictures_and_detail_is_none() -> None:
    rng = np.random.default_rng(0)
    marks = PrintedMarks("truth")
    y, x = np.mgrid[:512, :512]
    for _ in range(8):
        detail = cv2.GaussianBlur(rng.normal(0, 60, (512, 512)), (0, 0), 1.5)  # of 11 levels
        blurred = cv2.GaussianBlur(detail, (0, 0), 1.5)
        hatched = blurred + 1.5 * np.sin(2 * np.pi * (x + y) / 8)  # 5.7 pixels apart
        for name, added in {"truth": detail, "blurred": blurred, "hatched": hatched}.items():
            marks.add(name, skin_with(added), np.ones((512, 512), bool))
    found = {name: values["hatching"] for name, values in marks.measure().items()}
    assert found["truth"] == 0
    assert found["blurred"] < 3
    assert found["hatched"] > 8
    joined = PrintedMarks("truth").join([marks, marks])
    assert joined.measure() == marks.measure()


def test_smooth_skin_is_neither_eyes_nor_mouth_nor_edges_nor_texture() -> None:
    plain = smooth_skin(skin_with(np.zeros((512, 512))))
    assert plain[150, 256]  # forehead
    assert not plain[240, 193]  # eye
    assert not plain[372, 256]  # mouth
    assert not plain[256, 20]  # beside the face
    turned = skin_with(np.zeros((512, 512)))
    turned[:, 300:] = 230  # the head ends there
    assert not smooth_skin(turned)[:, 310:].any()
    assert smooth_skin(turned)[:, :280].sum() > plain[:, :280].sum() * 0.9
    beard = np.random.default_rng(0).normal(0, 30, (512, 512))
    beard[:300] = 0
    assert smooth_skin(skin_with(beard))[400:].sum() < plain[400:].sum() / 20
    rough = skin_with(np.random.default_rng(0).normal(0, 40, (512, 512)))
    assert peak_to_trough(sum_tiles(rough, smooth_skin(rough))) is None


def test_an_open_mouth_on_a_closed_one_shows() -> None:
    closed, opened = mesh_points(), mesh_points(gap=0.4)
    found = compare_expression(opened, closed)
    assert mouth_openness(closed) == pytest.approx(0, abs=1e-6)
    assert found["mouth_openness"] == pytest.approx(0.4, abs=0.03)
    # 20 points on a circle of 20 x 8 pixels: each is |sin| x 8 away from the closed line.
    rise = 8 * np.abs(np.sin(np.linspace(0, 2 * np.pi, 21)[:-1])).mean()
    assert found["lips"] == pytest.approx(rise / eye_distance(closed), rel=0.02)
    assert found["lids"] == found["eye_openness"] == 0
    assert copied_share(mouth_openness(opened), truth=0.0, reference=0.8) == pytest.approx(0.5, abs=0.04)
    assert copied_share(0.2, truth=0.1, reference=0.3) == pytest.approx(0.5)
    assert copied_share(0.2, truth=0.3, reference=0.1) is None
    assert copied_share(0.2, truth=0.2, reference=0.25) is None  # nothing to be copied


def test_a_closing_eye_shows() -> None:
    found = compare_expression(mesh_points(lifts=(0.11, 0.22)), mesh_points())
    # The measured gaps are those at 3/8 and 5/8 of the width, on one of two eyes.
    gap = 2 * 0.11 * np.sin(np.pi * 3 / 8)
    assert found["eye_openness"] == pytest.approx(gap / 2, abs=0.02)
    assert found["lids"] > 0.005
    assert found["mouth_openness"] == 0


def test_the_iris_is_found_where_it_was_drawn() -> None:
    points = mesh_points()
    picture = drawn_eyes(points, ((0.4, 0.17, 60), (0.58, 0.21, 120)))
    for eye, (place, radius) in ((EYE_ONE, (0.4, 0.17)), (EYE_TWO, (0.58, 0.21))):
        iris = see_eye(picture, points, eye).iris
        assert (iris.x, iris.y) == pytest.approx((place, 0), abs=0.03)
        assert iris.radius == pytest.approx(radius, abs=0.021)


def test_equal_eyes_are_alike_and_different_ones_are_not() -> None:
    points = mesh_points()
    same = compare_eyes(drawn_eyes(points), points)
    assert same["eyes_unlike"] < 0.01
    assert same["irises_apart"] < 0.02
    assert same["iris_light_apart"] < 3
    assert same["lids_apart"] < 0.01
    other = mesh_points(lifts=(0.22, 0.12))
    different = compare_eyes(drawn_eyes(other, ((0.4, 0.2, 60), (0.6, 0.2, 130))), other)
    assert different["eyes_unlike"] > 0.1
    assert different["irises_apart"] == pytest.approx(0.2, abs=0.04)
    assert different["iris_light_apart"] > 30
    assert different["lids_apart"] > 0.03
    lone = compare_eyes(drawn_eyes(points, ((0.5, 0.2, 60), (0.5, 0.2, 130))), points)
    assert lone["iris_light_apart"] > 30
    assert lone["irises_apart"] < 0.03


def test_eyes_are_compared_in_frames_of_their_own() -> None:
    """A tilted head has the same eyes."""
    points = mesh_points()
    picture = drawn_eyes(points, ((0.4, 0.2, 60), (0.6, 0.2, 90)))
    turn = cv2.getRotationMatrix2D((255.5, 255.5), 12, 1.0)
    tilted = cv2.warpAffine(picture, turn, (512, 512), borderMode=cv2.BORDER_REPLICATE)
    moved = ((points + 0.5) * 2 - 0.5) @ turn[:, :2].T + turn[:, 2]
    upright = compare_eyes(picture, points)
    found = compare_eyes(tilted, ((moved + 0.5) / 2 - 0.5).astype(np.float32))
    assert found == pytest.approx(upright, abs=0.03, rel=0.15)


def test_skin_tone_is_that_of_the_cheeks() -> None:
    points = mesh_points()
    found = []
    colors = ((245, 225, 210), (215, 175, 140), (195, 150, 117), (175, 130, 100), (120, 82, 55), (60, 40, 30))
    for color in colors:
        picture = np.zeros((256, 256, 3), np.uint8)
        picture[145:166, 80:177] = color
        found.append(measure_ita(picture, points))
    assert found == sorted(found, reverse=True)
    assert [classify_tone(ita) for ita in found] == list(SkinTone)
    # Plain gray of L* = 50 has no angle but 0: nothing to be taken for light or dark.
    assert measure_ita(np.full((256, 256, 3), (125, 119, 95), np.uint8), points) == pytest.approx(0, abs=2)


def test_the_chip_of_the_second_recognizer_has_the_eyes_where_it_expects_them() -> None:
    picture = np.zeros((512, 512, 3), np.uint8)
    for x, y in ((192.98, 239.95), (318.90, 240.19)):
        cv2.circle(picture, (round(x * 16), round(y * 16)), 6 * 16, (255, 255, 255), -1, shift=4)
    chip = face_chip(picture)
    assert chip.shape == (150, 150, 3)
    for half, (x, y) in zip((slice(0, 75), slice(75, 150)), CHIP_EYES, strict=True):
        weight = chip[:, half, 0].astype(float)
        rows, columns = np.mgrid[: weight.shape[0], : weight.shape[1]]
        center = (weight * (columns + half.start)).sum() / weight.sum(), (weight * rows).sum() / weight.sum()
        assert center == pytest.approx((x, y), abs=0.3)


def test_without_the_extra_there_is_no_second_recognizer(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert find_second_recognizer() is None


def test_a_second_recognizer_without_its_weights_says_what_to_install(tmp_path: Path) -> None:
    pytest.importorskip("dlib", reason="needs the extra judge")
    with pytest.raises(FileNotFoundError, match="judge"):
        DlibRecognizer(tmp_path / "none.dat")


def test_the_second_recognizer_knows_a_face_again() -> None:
    recognizer = find_second_recognizer()
    if recognizer is None:
        pytest.skip("needs the extra judge")
    picture = aligned_face()
    own = recognizer.embed(picture)
    soft = np.linalg.norm(recognizer.embed(cv2.GaussianBlur(picture, (0, 0), 2)) - own)
    assert own.shape == (128,)
    assert soft < 0.3
    assert np.linalg.norm(recognizer.embed(np.ascontiguousarray(picture[:, ::-1])) - own) < 0.1
    if "REFSTAR_DATA" in os.environ:
        other = cv2.imread(str(next((Path(os.environ["REFSTAR_DATA"]) / "faces/faces256").glob("*.jpg"))))
        assert np.linalg.norm(recognizer.embed(other[..., ::-1]) - own) > SAME_PERSON
