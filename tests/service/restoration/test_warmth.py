"""Faces without colors are shown to the model in the tone of skin, and come back in their own."""

import hashlib
from collections.abc import Sequence

import numpy as np
import pytest
import skimage.data
from inverting import Inverting
from known_faces import KnownFaces
from numpy.typing import NDArray
from pictures import aligned_face, file_of, pixels_of
from refstar_service.engine.restorer import FaceTask, ReferencePicture
from refstar_service.faces.select import FaceMode
from refstar_service.images import ImageLimits
from refstar_service.restoration.knobs import Knobs
from refstar_service.restoration.references import ReferenceMemory
from refstar_service.restoration.steps import Model, Viewer, compose, prepare
from refstar_service.restoration.upload import Upload
from refstar_service.restoration.warmth import cool, warm

Pixels = NDArray[np.uint8]

LIGHT = np.array((0.299, 0.587, 0.114))
SEPIA = np.array((1.0, 0.85, 0.65))


def gray(pixels: Pixels) -> Pixels:
    return np.repeat(np.rint(pixels @ LIGHT).astype(np.uint8)[..., None], 3, -1)


def upload(pixels: Pixels) -> Upload:
    data = file_of(pixels)
    return Upload("photo.png", data, hashlib.sha256(data).hexdigest())


def warmer(pixels: Pixels) -> float:
    return float((pixels[..., 0].astype(int) - pixels[..., 2]).mean())


def test_a_gray_face_becomes_warm_and_no_brighter() -> None:
    before = gray(aligned_face())
    after = warm(before)
    assert warmer(after) > 20
    middle = (before[..., 0] > 30) & (before[..., 0] < 200)
    assert np.abs(after @ LIGHT - before @ LIGHT)[middle].max() < 2


def test_black_and_white_stay() -> None:
    levels = np.zeros((64, 64, 3), np.uint8)
    levels[32:] = 255
    assert np.array_equal(warm(levels), levels)


def test_a_plain_surface_is_shown_as_it_is_and_comes_back_as_made() -> None:
    for color in ((9, 9, 9), (9, 100, 3)):
        plain = np.full((64, 64, 3), color, np.uint8)
        assert np.array_equal(warm(plain), plain)
        assert np.array_equal(cool(255 - plain, plain), 255 - plain)


def test_a_face_in_colors_is_shown_as_it_is() -> None:
    face = aligned_face()
    assert warm(face) is face
    assert cool(face, face) is face


@pytest.mark.parametrize("tone", [np.ones(3), SEPIA, SEPIA[::-1]], ids=["gray", "sepia", "blue"])
def test_what_the_model_made_comes_back_in_the_tone_of_the_photograph(tone: NDArray[np.float64]) -> None:
    crop = (gray(aligned_face()) * tone).astype(np.uint8)
    back = cool(warm(crop), crop).astype(int)
    assert np.abs(back - crop).mean() < 3


@pytest.mark.parametrize("knobs", [Knobs(FaceMode.ALL, format="png"), Knobs(FaceMode.ALIGNED, format="png")])
@pytest.mark.parametrize("tone", [np.ones(3), SEPIA], ids=["gray", "sepia"])
def test_a_job_without_colors_stays_so_and_the_model_sees_skin(
    knobs: Knobs, tone: NDArray[np.float64]
) -> None:
    shown: list[FaceTask] = []

    def watch(tasks: Sequence[FaceTask]) -> None:
        shown.extend(tasks)

    picture = aligned_face() if knobs.aligned else np.ascontiguousarray(skimage.data.astronaut())
    toned = (gray(picture) * tone).astype(np.uint8)
    restorer = Inverting(act=watch)
    viewer = Viewer(KnownFaces(), ReferenceMemory(), ImageLimits())
    prepared = prepare(upload(toned), [upload(toned)], knobs, Model(restorer, 64), viewer)
    done = pixels_of(compose(prepared, restorer.restore(prepared.tasks)).result.data)
    (task,) = shown
    (reference,) = task.references
    assert isinstance(reference, ReferencePicture)
    assert warmer(task.low_quality) > 20
    assert warmer(reference.pixels) > 20
    if (tone == 1).all():
        assert np.ptp(done.astype(int), axis=-1).max() <= 2
    else:
        red, green, blue = done.reshape(-1, 3).mean(0)
        assert red > green > blue
