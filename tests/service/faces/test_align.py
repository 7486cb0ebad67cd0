"""Five points to a crop."""

import tracemalloc

import numpy as np
import pytest
from numpy.typing import NDArray
from pictures import POINTS
from refstar_service.faces.align import TEMPLATE, Alignment, AlignmentError, align, cut
from skimage.data import astronaut


def turned(angle: float, scale: float, shift: tuple[float, float] = (0, 0), size: int = 512) -> Alignment:
    """Picture -> crop: turned about the middle of the template, scaled, moved."""
    turn = scale * np.array(
        [
            [np.cos(np.radians(angle)), -np.sin(np.radians(angle))],
            [np.sin(np.radians(angle)), np.cos(np.radians(angle))],
        ]
    )
    return Alignment(np.concatenate([turn, np.array(shift, float)[:, None]], 1), size)


def in_picture(alignment: Alignment) -> NDArray[np.float64]:
    """Where the template's points stand in the picture."""
    inverse = alignment.inverse
    return TEMPLATE @ inverse[:, :2].T + inverse[:, 2]


@pytest.mark.parametrize(("angle", "scale"), [(0, 1), (25, 0.3), (-160, 6), (35, 2.5)])
def test_points_of_a_turned_template_lead_back_to_it(angle: float, scale: float) -> None:
    truth = turned(angle, scale, (40, -300))
    found = align(in_picture(truth), 512)
    np.testing.assert_allclose(found.matrix, truth.matrix, atol=1e-6)
    assert found.scale == pytest.approx(scale)
    np.testing.assert_allclose(found.to_crop(in_picture(truth)), TEMPLATE, atol=1e-6)


@pytest.mark.parametrize("wrong", range(5))
@pytest.mark.parametrize("off", [(60, 10), (0, 400), (-2000, 900)])
def test_one_wrong_point_does_not_tilt_the_face(wrong: int, off: tuple[float, float]) -> None:
    rng = np.random.default_rng(wrong)
    truth = turned(12, 1.7)
    points = in_picture(truth) + rng.normal(
        0, 1, (5, 2)
    )  # as detectors err: 1.3 % of the distance of the eyes
    points[wrong] += off
    placed = align(points, 512).to_crop(in_picture(truth))
    kept = [i for i in range(5) if i != wrong]
    assert np.linalg.norm(placed - TEMPLATE, axis=1)[kept].mean() < 6
    tilt = np.degrees(np.arctan2(*(placed[1] - placed[0])[::-1])) - np.degrees(
        np.arctan2(*(TEMPLATE[1] - TEMPLATE[0])[::-1])
    )
    assert abs(tilt) < 3


def test_small_errors_of_all_points_average_out() -> None:
    rng = np.random.default_rng(0)
    errors = []
    for _ in range(50):
        placed = align(TEMPLATE + rng.normal(0, 5, (5, 2)), 512).to_crop(TEMPLATE)
        errors.append(np.linalg.norm(placed - TEMPLATE, axis=1).mean())
    assert np.mean(errors) < 5


@pytest.mark.parametrize(
    ("points", "says"),
    [
        (np.zeros((5, 2)), "one place"),
        (np.full((5, 2), np.nan), "finite"),
        (np.zeros((4, 2)), "five points"),
        (TEMPLATE * [-1, 1], "from the front"),  # a mirrored face needs a mirror, which is no similarity
        (np.array([[0, 0], [100, 0], [200, 0], [300, 0], [400, 0]]), "from the front"),
    ],
)
def test_points_that_are_no_face_are_refused(points: NDArray[np.float64], says: str) -> None:
    with pytest.raises(AlignmentError, match=says):
        align(points, 512)


def test_a_crop_of_another_size_shows_the_same() -> None:
    small, large = (cut(astronaut(), align(POINTS, size)) for size in (128, 512))
    means = large.reshape(128, 4, 128, 4, 3).mean((1, 3))
    assert np.abs(small - means).mean() < 2


def test_the_crop_has_the_points_in_place() -> None:
    assert np.abs(align(POINTS, 512).to_crop(POINTS) - TEMPLATE).max() < 15


def zone_plate(side: int) -> NDArray[np.uint8]:
    """Rings that get finer outwards: half a cycle a pixel at the middle of each edge."""
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    rings = 127.5 + 100 * np.cos(np.pi * (x * x + y * y) / (side - 1))
    return np.repeat(np.rint(rings).astype(np.uint8)[..., None], 3, -1)


@pytest.mark.parametrize("ratio", [1.3, 2.0, 3.3, 6.5])
def test_patterns_too_fine_for_the_crop_vanish_and_others_stay(ratio: float) -> None:
    side = int(256 * ratio)
    plate = zone_plate(side)
    alignment = turned(20, 1 / ratio, size=256)
    middle = np.array([(side - 1) / 2] * 2)
    alignment.matrix[:, 2] = 127.5 - alignment.matrix[:, :2] @ middle
    crop = cut(plate, alignment)[..., 0] / (100 / np.sqrt(2))
    radius = np.hypot(*(np.mgrid[:256, :256] - 127.5))
    cycles = radius * ratio**2 / (side - 1)  # of the plate, per crop pixel
    inside = radius * ratio < (side - 1) / 2
    if ratio > 2:
        assert crop[inside & (cycles > 0.65)].std() < 0.1
        assert crop[inside & (cycles > 0.9)].std() < 0.02
    else:
        assert crop[inside & (cycles > 0.55)].std() < 0.3
    assert crop[inside & (cycles > 0.05) & (cycles < 0.25)].std() > 0.8


def test_what_lies_beyond_the_border_is_mirrored() -> None:
    picture = astronaut()
    for shift in ((-150, 0), (150, 0), (0, -200), (0, 330), (100, 420)):
        crop = cut(picture[:300], Alignment(np.array([[1, 0, shift[0]], [0, 1, shift[1]]], float), 512))
        padded = np.pad(picture[:300], ((450, 450), (450, 450), (0, 0)), "reflect")
        top, left = 450 - shift[1], 450 - shift[0]
        assert np.array_equal(crop, padded[top : top + 512, left : left + 512])


def test_a_face_that_fills_and_leaves_the_picture_is_cut_too() -> None:
    picture = astronaut()
    crop = cut(picture[:80, :90], turned(10, 0.4, (90, 120)))
    assert crop.shape == (512, 512, 3)
    assert abs(float(crop.mean()) - float(picture[:80, :90].mean())) < 20


def test_only_the_region_of_the_face_is_read() -> None:
    picture = np.zeros((5000, 10000, 3), np.uint8)
    tracemalloc.start()  # NumPy's arrays, and OpenCV's results, are counted
    cut(picture, turned(15, 2.0, (-9000, -5000)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 10e6
