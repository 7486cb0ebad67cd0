"""How two results of one picture are compared."""

from dataclasses import replace

import numpy as np
import pytest
from pictures import file_of
from refstar_service.faces.select import FaceMode
from refstar_service.images import ImageLimits
from refstar_service.restoration.comparison import ComparedFaces, compare_faces, compare_pixels
from refstar_service.restoration.knobs import Knobs
from refstar_service.restoration.report import FaceAction, FaceReport

LIMITS = ImageLimits()
FACE = FaceReport((10.0, 5.0, 20.0, 10.0), 0.9, FaceAction.RESTORED, None, ())
KEPT = replace(FACE, action=FaceAction.KEPT)
SKIPPED = replace(FACE, action=FaceAction.SKIPPED)
PHOTOGRAPH = Knobs(FaceMode.ALL)
ALIGNED = Knobs(FaceMode.ALIGNED)


def picture(outside: int = 100, inside: int = 100, scale: int = 1) -> bytes:
    pixels = np.full((40 * scale, 60 * scale, 3), outside, np.uint8)
    pixels[5 * scale : 15 * scale, 10 * scale : 30 * scale] = inside
    return file_of(pixels)


def test_equal_pixels_are_a_hundred_decibels() -> None:
    assert compare_pixels(picture(), picture(), [FACE], PHOTOGRAPH, LIMITS) == 100


@pytest.mark.parametrize(("difference", "decibels"), [(1, 48.131), (10, 28.131), (100, 8.131)])
def test_the_ratio_is_that_of_the_peak_to_the_mean_squared_difference(
    difference: int, decibels: float
) -> None:
    other = picture(inside=100 + difference)
    assert compare_pixels(picture(), other, [FACE], PHOTOGRAPH, LIMITS) == pytest.approx(decibels, abs=1e-3)


def test_of_a_photograph_only_restored_faces_count() -> None:
    assert compare_pixels(picture(50, 100), picture(90, 100), [FACE], PHOTOGRAPH, LIMITS) == 100
    assert compare_pixels(picture(50), picture(90), [KEPT, SKIPPED], PHOTOGRAPH, LIMITS) is None


def test_boxes_are_enlarged_with_the_result() -> None:
    one, other = picture(50, 100, scale=2), picture(90, 100, scale=2)
    assert compare_pixels(one, other, [FACE], replace(PHOTOGRAPH, upscale=2), LIMITS) == 100
    assert compare_pixels(one, other, [FACE], PHOTOGRAPH, LIMITS) != 100


def test_of_an_aligned_face_all_pixels_count() -> None:
    one, other = picture(100), picture(110)
    both_differ = compare_pixels(one, picture(110, 110), [FACE], ALIGNED, LIMITS)
    partly = compare_pixels(one, other, [FACE], ALIGNED, LIMITS)
    assert both_differ == pytest.approx(28.131, abs=1e-3)
    assert partly is not None
    assert partly > both_differ
    assert compare_pixels(one, other, [KEPT], ALIGNED, LIMITS) is None


def test_results_of_different_sizes_are_not_compared() -> None:
    assert compare_pixels(picture(), picture(scale=2), [FACE], ALIGNED, LIMITS) is None


def test_faces_are_told_apart_by_who_restored_them() -> None:
    first = [FACE, FACE, KEPT, KEPT, SKIPPED]
    second = [FACE, KEPT, FACE, KEPT, SKIPPED]
    assert compare_faces(first, second) == ComparedFaces(both=1, only_first=1, only_second=1, neither=1)
