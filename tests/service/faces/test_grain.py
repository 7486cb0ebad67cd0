"""Grain of the surroundings in a restored face."""

import cv2
import numpy as np
import pytest
from pictures import Pixels, aligned_face
from refstar_service.faces.close_up import cut_close_up
from refstar_service.faces.grain import match_grain
from refstar_service.faces.texture import measure_texture

SMOOTH = np.asarray(cv2.GaussianBlur(aligned_face(), (0, 0), 3), np.uint8)


def grainy(picture: Pixels, sigma: float, size: float = 0.0) -> Pixels:
    noise = np.random.default_rng(1).standard_normal(picture.shape[:2], np.float32)
    if size:
        noise = cv2.GaussianBlur(noise, (0, 0), size)
        noise /= noise.std()
    return np.clip(np.rint(picture + sigma * noise[..., None]), 0, 255).astype(np.uint8)


def texture(picture: Pixels) -> float:
    return measure_texture(cut_close_up(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)))


@pytest.mark.parametrize("size", [0.0, 0.8, 1.5])
@pytest.mark.parametrize("sigma", [4.0, 9.0])
def test_a_smooth_face_gets_the_grain_around_it(sigma: float, size: float) -> None:
    crop = grainy(SMOOTH, sigma, size)
    matched = match_grain(SMOOTH, crop)
    assert texture(matched) == pytest.approx(texture(crop), rel=0.2)
    assert matched.mean() == pytest.approx(SMOOTH.mean(), abs=0.3)
    change = matched.astype(int) - SMOOTH
    inner = (SMOOTH > 40) & (SMOOTH < 215)
    assert np.ptp(change, axis=2)[inner.all(2)].max() <= 1  # in light only


def test_without_grain_around_it_a_face_stays_as_it_is() -> None:
    assert match_grain(SMOOTH, SMOOTH) is SMOOTH
    sharp = aligned_face()
    assert match_grain(sharp, SMOOTH) is sharp


def test_a_face_that_has_the_grain_gets_no_more() -> None:
    crop = grainy(SMOOTH, 6)
    other = np.ascontiguousarray(grainy(SMOOTH[:, ::-1], 6)[:, ::-1])
    assert texture(match_grain(other, crop)) == pytest.approx(texture(other), rel=0.1)


def test_a_pattern_around_the_face_adds_no_more_than_the_limit() -> None:
    rows, columns = np.indices((512, 512))
    checkered = np.where((rows // 3 + columns // 3) % 2 == 0, 40, 210).astype(np.uint8)
    matched = match_grain(SMOOTH, np.repeat(checkered[..., None], 3, 2))
    assert (matched.astype(float) - SMOOTH).std() < 18  # neighboring bands go together a little


def test_results_repeat() -> None:
    crop = grainy(SMOOTH, 6)
    assert np.array_equal(match_grain(SMOOTH, crop), match_grain(SMOOTH, crop))


@pytest.mark.parametrize("side", [16, 64])
def test_a_small_crop_tells_nothing_of_grain(side: int) -> None:
    small = np.asarray(cv2.resize(SMOOTH, (side, side)), np.uint8)
    assert match_grain(small, grainy(small, 20)) is small
