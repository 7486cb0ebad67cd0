"""How sharp a face is."""

import os
from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures import aligned_face, degraded_face
from refstar_service.faces.sharpness import LEAST_SHARPNESS, sharpness


def blurred(sigma: float) -> np.ndarray:
    return cv2.GaussianBlur(aligned_face(), (0, 0), sigma)


def test_more_blur_is_less_sharp() -> None:
    values = [sharpness(aligned_face()), *(sharpness(blurred(sigma)) for sigma in (3, 5, 8, 12))]
    assert values == sorted(values, reverse=True)
    assert values[0] > 0.6
    assert values[-1] < 0.15


def test_a_ruined_face_is_too_blurred_and_a_photograph_is_not() -> None:
    assert sharpness(degraded_face()) < LEAST_SHARPNESS < sharpness(aligned_face())


@pytest.mark.parametrize("noise", [5, 15, 30])
@pytest.mark.parametrize("grain", [1, 2])
def test_noise_is_not_sharpness(noise: float, grain: int) -> None:
    side = 512 // grain
    speckles = np.random.default_rng(1).normal(0, noise, (side, side, 3))
    speckles = cv2.resize(speckles, (512, 512), interpolation=cv2.INTER_LINEAR)
    noisy = np.clip(blurred(10) + speckles, 0, 255).astype(np.uint8)
    assert sharpness(noisy) < LEAST_SHARPNESS
    assert sharpness(noisy) == pytest.approx(sharpness(blurred(10)), abs=0.06)


@pytest.mark.parametrize(("gain", "offset"), [(0.3, 20), (0.5, 120), (1.0, -20)])
@pytest.mark.parametrize("sigma", [2.5, 6.0])
def test_contrast_and_brightness_do_not_matter(gain: float, offset: float, sigma: float) -> None:
    changed = np.clip(blurred(sigma) * gain + offset, 0, 255).astype(np.uint8)
    assert sharpness(changed) == pytest.approx(sharpness(blurred(sigma)), rel=0.12)


def test_a_gray_photograph_is_as_sharp() -> None:
    gray = np.repeat(cv2.cvtColor(aligned_face(), cv2.COLOR_RGB2GRAY)[..., None], 3, -1)
    assert sharpness(gray) == pytest.approx(sharpness(aligned_face()), abs=0.01)


def test_the_size_of_the_crop_hardly_matters() -> None:
    small = cv2.resize(aligned_face(), (256, 256), interpolation=cv2.INTER_AREA)
    assert sharpness(small) == pytest.approx(sharpness(aligned_face()), rel=0.15)


def test_nothing_at_all_is_not_sharp() -> None:
    assert sharpness(np.full((512, 512, 3), 77, np.uint8)) == 0


@pytest.mark.skipif("REFSTAR_DATA" not in os.environ, reason="REFSTAR_DATA names no folder of photographs")
def test_the_threshold_parts_clean_from_severely_degraded_photographs() -> None:
    data = pytest.importorskip("refstar_model.data.photos")
    degradation = pytest.importorskip("refstar_model.data.degradation")
    photos = data.load_photos(Path(os.environ["REFSTAR_DATA"]) / "faces").split("val")
    rng = np.random.default_rng(5)
    passed: dict[str, list[bool]] = {"clean": [], "moderate": [], "severe": []}
    for photo in photos.photos:
        picture = photos.read(photo.file, 256)
        passed["clean"].append(sharpness(cv2.resize(picture, (512, 512))) >= LEAST_SHARPNESS)
        for level, draw in degradation.LEVELS.items():
            passed[level].append(sharpness(degradation.degrade(picture, draw(rng), rng)) >= LEAST_SHARPNESS)
    assert np.mean(passed["clean"]) >= 0.99
    assert np.mean(passed["severe"]) <= 0.05
    assert np.mean(passed["moderate"]) >= 0.9
