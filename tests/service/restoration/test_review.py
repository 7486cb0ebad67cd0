"""Which restored faces may replace the picture's: with drawn changes to one sharp photograph."""

from collections.abc import Callable
from dataclasses import replace

import cv2
import numpy as np
import pytest
from inverting import Inverting
from known_faces import KnownFaces, astronauts
from numpy.typing import NDArray
from pictures import Pixels, aligned_face, degraded_face, file_of, pixels_of
from refstar_service.engine.restorer import FaceTask, RestoredFace
from refstar_service.faces.close_up import cut_close_up, weigh_middle
from refstar_service.faces.sharpness import finest_sharpness
from refstar_service.images import ImageLimits
from refstar_service.restoration.knobs import Knobs
from refstar_service.restoration.references import ReferenceMemory
from refstar_service.restoration.report import FaceAction
from refstar_service.restoration.review import ALREADY_SHARP, NOT_PLAUSIBLE, find_objection
from refstar_service.restoration.steps import ComposedPicture, Model, Viewer, compose, prepare
from refstar_service.restoration.upload import Upload

SHARP = aligned_face()


def blurred(picture: Pixels, sigma: float = 2.0) -> Pixels:
    return np.asarray(cv2.GaussianBlur(picture, (0, 0), sigma), np.uint8)


def noisy(picture: Pixels, sigma: float) -> Pixels:
    noise = np.random.default_rng(1).normal(0, sigma, picture.shape)
    return np.clip(picture + noise, 0, 255).astype(np.uint8)


def light_of(picture: Pixels) -> NDArray[np.float32]:
    return cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)


def printed(picture: Pixels, period: int, height: int) -> Pixels:
    """With a dot of 2 x 2 pixels in every tile."""
    dots = picture.astype(int)
    for row in (0, 1):
        for column in (0, 1):
            dots[row::period, column::period] += height
    return np.clip(dots, 0, 255).astype(np.uint8)


@pytest.mark.parametrize(
    ("before", "after"),
    [
        (degraded_face(), SHARP),
        (degraded_face(3, 5), SHARP),
        (degraded_face(), blurred(SHARP, 3)),
        (
            cv2.resize(cv2.resize(SHARP, (96, 96), interpolation=cv2.INTER_AREA), (512, 512)),
            blurred(SHARP, 1),
        ),
        (noisy(SHARP, 25), SHARP),
        (cv2.bilateralFilter(SHARP, 9, 80, 5), SHARP),
    ],
    ids=["severe", "moderate", "severe and still soft", "thumbnail", "noise", "flattened skin"],
)
def test_a_degraded_face_is_restored(before: Pixels, after: Pixels) -> None:
    assert find_objection(before, after) is None


@pytest.mark.parametrize(
    "after",
    [SHARP, blurred(SHARP, 1), blurred(SHARP, 3), degraded_face(3, 5)],
    ids=["same", "1", "3", "worse"],
)
def test_a_sharp_face_that_gets_no_sharper_stays(after: Pixels) -> None:
    assert find_objection(SHARP, after) == ALREADY_SHARP


def test_the_sharper_a_face_the_more_must_be_gained() -> None:
    middle = weigh_middle()
    for before, more, objection in ((SHARP, 0.7, ALREADY_SHARP), (blurred(SHARP, 2), 1.5, None)):
        detail = before.astype(float) - blurred(before, 1)
        after = np.clip(before + more * detail, 0, 255).astype(np.uint8)
        sharp, sharper = (finest_sharpness(cut_close_up(light_of(p)), middle) for p in (before, after))
        assert 1.15 < sharper / sharp < 1.2
        assert find_objection(before, after) == objection


def test_noise_need_not_be_gone_whole() -> None:
    before, less, hardly_less = (noisy(SHARP, sigma) for sigma in (25, 16, 21))
    assert find_objection(before, less) is None
    assert find_objection(before, hardly_less) == ALREADY_SHARP


def test_film_grain_is_no_fault_that_softness_would_mend() -> None:
    grainy = noisy(SHARP, 4)
    assert find_objection(grainy, blurred(SHARP, 1)) == ALREADY_SHARP


def test_crisper_edges_do_not_make_up_for_waxen_skin() -> None:
    grainy, edges = noisy(SHARP, 3), blurred(SHARP, 1)
    waxen = np.clip(2.7 * edges.astype(float) - 1.7 * blurred(edges, 1.5), 0, 255).astype(np.uint8)
    waxen = np.asarray(cv2.bilateralFilter(waxen, 9, 40, 5), np.uint8)
    middle = weigh_middle()
    before, after = (finest_sharpness(cut_close_up(light_of(p)), middle) for p in (grainy, waxen))
    assert 1.35 * before < after < 1.4 * before
    assert find_objection(grainy, waxen) == ALREADY_SHARP
    assert find_objection(grainy, noisy(waxen, 3)) is None


def test_bold_outlines_do_not_make_up_for_detail_that_is_gone() -> None:
    before = blurred(SHARP, 1.3)
    smeared = cv2.medianBlur(before, 15).astype(float)
    bold = np.clip(smeared + 3 * (smeared - cv2.GaussianBlur(smeared, (0, 0), 1.5)), 0, 255).astype(np.uint8)
    middle = weigh_middle()
    sharp, sharper = (finest_sharpness(cut_close_up(light_of(p)), middle) for p in (before, bold))
    assert sharper > 1.4 * sharp
    assert find_objection(before, bold) == ALREADY_SHARP
    assert find_objection(before, SHARP) is None


@pytest.mark.parametrize(
    "after",
    [
        255 - SHARP,
        np.ascontiguousarray(SHARP[::-1]),
        np.roll(SHARP, 60, 1),
        printed(SHARP, 8, 40),
        printed(SHARP, 16, 90),
        np.random.default_rng(2).integers(0, 256, SHARP.shape, np.uint8),
    ],
    ids=["negative", "upside down", "beside itself", "dots every 8", "dots every 16", "confetti"],
)
def test_what_does_not_fit_the_picture_is_not_plausible(after: Pixels) -> None:
    assert find_objection(degraded_face(), after) == NOT_PLAUSIBLE


def test_contrast_and_brightness_may_change() -> None:
    for after in (SHARP // 2, SHARP // 2 + 120, np.full_like(SHARP, 30) + SHARP // 4):
        assert find_objection(degraded_face(), after) is None


def test_small_crops_are_not_judged() -> None:
    small = cv2.resize(SHARP, (128, 128), interpolation=cv2.INTER_AREA)
    assert find_objection(small, 255 - small) is None


class Softening(Inverting):
    """Blurs what it is given."""

    def restore(self, tasks: list[FaceTask]) -> list[RestoredFace]:  # type: ignore[override]
        return [
            RestoredFace(blurred(task.low_quality), np.zeros((0, 4, 4), np.uint8), True) for task in tasks
        ]


def softened(picture: Pixels, knobs: Knobs, detector: KnownFaces | None = None) -> ComposedPicture:
    restorer, data = Softening(), file_of(picture)
    viewer = Viewer(detector, ReferenceMemory(), ImageLimits())
    prepared = prepare(Upload("photo.png", data, "1"), [], knobs, Model(restorer, 512), viewer)
    return compose(prepared, restorer.restore(list(prepared.tasks)))


@pytest.mark.parametrize("upscale", [1, 2])
def test_with_every_face_kept_the_photograph_is_unchanged_and_the_report_says_so(upscale: int) -> None:
    picture, faces = astronauts(2)
    large = np.asarray(cv2.resize(picture[:240], None, fx=4, fy=4, interpolation=cv2.INTER_CUBIC), np.uint8)
    enlarged = [
        replace(f, box=tuple(4 * side for side in f.box), points=np.asarray(4 * f.points + 1.5, np.float32))
        for f in faces
    ]
    done = softened(
        large, Knobs("all", format="png", upscale=upscale), KnownFaces({large.shape[1::-1]: enlarged})
    )
    assert [(f.action, f.reason) for f in done.faces] == [(FaceAction.KEPT, ALREADY_SHARP)] * 2
    after = pixels_of(done.result.data)
    assert after.shape == (960 * upscale, 4096 * upscale, 3)
    if upscale == 1:
        assert np.array_equal(after, large)
    assert done.selection is None


@pytest.mark.parametrize("keep", [True, False])
def test_an_aligned_face_is_kept_unless_the_request_says_no(keep: bool) -> None:
    done = softened(SHARP, Knobs("aligned", format="png", keep=keep))
    assert done.faces[0].action is (FaceAction.KEPT if keep else FaceAction.RESTORED)
    expected: Callable[[Pixels], Pixels] = (lambda p: p) if keep else blurred
    assert np.array_equal(pixels_of(done.result.data), expected(SHARP))
