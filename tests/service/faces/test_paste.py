"""Restored faces back into their picture."""

import importlib.util
import tracemalloc
from pathlib import Path
from types import ModuleType

import cv2
import numpy as np
import pytest
from numpy.typing import NDArray
from pictures import POINTS, psnr
from refstar_service.engine.manifest import load_manifest
from refstar_service.engine.restorer import FaceTask, ReferencePicture, Restorer
from refstar_service.faces.align import TEMPLATE, Alignment, align, cut
from refstar_service.faces.mask import face_mask
from refstar_service.faces.paste import PastedFace, enlarge, lay_out, paste_faces
from refstar_service.settings import Settings
from skimage.data import astronaut

Pixels = NDArray[np.uint8]
BENCH = Path(__file__).parents[3] / "bench" / "seam.py"


@pytest.fixture(scope="module")
def bench() -> ModuleType:
    """The measure of bench/seam.py."""
    described = importlib.util.spec_from_file_location("seam", BENCH)
    assert described is not None
    assert described.loader is not None
    module = importlib.util.module_from_spec(described)
    described.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def restorer() -> Restorer:
    return Restorer(load_manifest(Settings().models_dir / "refstar"), threads=1)


def grown(picture: Pixels, times: float) -> tuple[Pixels, NDArray[np.float64]]:
    """The picture ``times`` as large, and the astronaut's points in it."""
    large = cv2.resize(picture, None, fx=times, fy=times, interpolation=cv2.INTER_CUBIC)
    return np.asarray(large, np.uint8), (POINTS + 0.5) * times - 0.5


def face_of(picture: Pixels, points: NDArray[np.floating], change: float = 25.0) -> PastedFace:
    """A face that the model made brighter."""
    alignment = align(points, 512)
    restored = np.clip(cut(picture, alignment) + change, 0, 255).astype(np.uint8)
    return PastedFace(restored, alignment, points.astype(np.float32))


def marked(picture: Pixels, points: NDArray[np.floating]) -> PastedFace:
    """A face with a white nose and mouth, so that what is pasted can be told."""
    alignment = align(points, 512)
    restored = cut(picture, alignment)
    cv2.circle(restored, (256, 320), 50, (255, 255, 255), -1)
    return PastedFace(restored, alignment, points.astype(np.float32))


def outside(face: PastedFace, picture: Pixels, upscale: int = 1) -> NDArray[np.bool_]:
    """Where no mask can be: not within a pixel of the drawn one."""
    mask = face_mask(face.alignment.to_crop(face.points), face.alignment.size)
    height, width = picture.shape[:2]
    place, laid = lay_out(mask, face.alignment, width, height, upscale)
    whole = np.zeros((height * upscale, width * upscale), np.float32)
    whole[place] = laid
    # The mask is made at a quarter of the crop's side.
    reach = int(np.ceil(8 * upscale / face.alignment.scale)) | 1
    return cv2.dilate(whole, np.ones((2 * reach + 1,) * 2)) == 0


@pytest.mark.parametrize("times", [0.4, 1.0, 5.0])
@pytest.mark.parametrize("upscale", [1, 2, 4])
def test_pixels_outside_of_the_mask_keep_every_bit(times: float, upscale: int) -> None:
    if times * upscale > 8:
        pytest.skip("larger than what 5 and 2 tell already")
    picture, points = grown(astronaut(), times)
    before = picture.copy()
    face = marked(picture, points)
    result = paste_faces(picture, [face], upscale)
    assert np.array_equal(picture, before)
    untouched = enlarge(picture, upscale)
    assert result.shape == untouched.shape
    same = (result == untouched).all(-1)
    assert same[outside(face, picture, upscale)].all()
    x, y = ((points[2] + 0.5) * upscale - 0.5).astype(int)
    assert (result[y, x] > 225).all()


def test_no_face_is_the_picture_itself() -> None:
    assert np.array_equal(paste_faces(astronaut(), []), astronaut())


@pytest.mark.parametrize("upscale", [0, 3, 8])
def test_other_upscales_are_an_error(upscale: int) -> None:
    with pytest.raises(ValueError, match="it can be 1, 2, 4"):
        paste_faces(astronaut(), [], upscale)


def test_the_same_faces_give_the_same_bits() -> None:
    picture, points = grown(astronaut(), 2)
    one, other = (paste_faces(picture, [marked(picture, points)], 2) for _ in range(2))
    assert np.array_equal(one, other)


def test_a_face_of_another_color_takes_that_of_its_surroundings() -> None:
    picture, points = grown(astronaut(), 2)
    alignment = align(points, 512)
    tinted = np.clip(cut(picture, alignment) + np.array([30.0, -20.0, 15.0]), 0, 255).astype(np.uint8)
    result = paste_faces(picture, [PastedFace(tinted, alignment, points.astype(np.float32))])
    assert np.abs(result.astype(float) - picture)[~outside(marked(picture, points), picture)].mean() < 2.5


def test_the_contrast_of_the_restored_face_stays() -> None:
    picture, points = grown(astronaut(), 2)
    alignment = align(points, 512)
    crop = cut(picture, alignment)
    blurred = cv2.GaussianBlur(picture, (0, 0), 8)
    pasted = paste_faces(blurred, [PastedFace(crop, alignment, points.astype(np.float32))])
    inside = face_mask(TEMPLATE, 512) > 0.95
    wanted, given = (cut(p, alignment)[inside].astype(float) for p in (picture, pasted))
    assert np.abs(given.std(0) / wanted.std(0) - 1).max() < 0.05
    assert np.corrcoef(wanted.ravel(), given.ravel())[0, 1] > 0.98


@pytest.mark.parametrize("tone", [(1.0, 1.0, 1.0), (1.08, 0.95, 0.72)])
def test_a_photograph_without_colors_stays_so(tone: tuple[float, float, float]) -> None:
    picture, points = grown(astronaut(), 2)
    light = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY).astype(np.float32)[..., None] * 0.9
    toned = np.rint(light * np.array(tone)).astype(np.uint8)
    alignment = align(points, 512)
    colored = np.asarray(cut(picture, alignment) * 0.88, np.uint8)  # the model made up colors
    result = paste_faces(toned, [PastedFace(colored, alignment, points.astype(np.float32))])
    expected = result[..., 1:2] * (np.array(tone) / tone[1])
    off = 0 if tone == (1.0, 1.0, 1.0) else 12
    assert np.abs(result - expected).max() <= off
    assert np.abs(result - expected).mean() < 1


def test_what_covers_the_edge_of_a_face_stays_over_it() -> None:
    picture, points = grown(astronaut(), 2)
    alignment = align(points, 512)
    crop = cut(picture, alignment)
    covered = picture.copy()
    chin = np.add(points[3:].mean(0), (0, 48)).astype(int)
    cv2.circle(covered, tuple(map(int, chin)), 22, (20, 25, 20), -1)  # a microphone that the model left out
    result = paste_faces(covered, [PastedFace(crop, alignment, points.astype(np.float32))])
    disk = np.zeros(picture.shape[:2], np.uint8)
    cv2.circle(disk, tuple(map(int, chin)), 14, 1, -1)
    assert np.abs(result.astype(float) - covered)[disk > 0].mean() < 12
    assert np.abs(picture.astype(float) - covered)[disk > 0].mean() > 60
    eyes = points[:2].mean(0).astype(int)
    around = np.s_[eyes[1] - 20 : eyes[1] + 20, eyes[0] - 60 : eyes[0] + 60]
    assert (
        np.abs(result[around].astype(float) - picture[around]).mean() < 3
    )  # its darkness does not run upwards


def test_detail_finer_than_the_crop_is_kept_in_a_large_sharp_face() -> None:
    picture, points = grown(astronaut(), 10)
    picture, points = picture[400:1900, 1600:2900].copy(), points - [1600, 400]
    weave = (8 * np.cos(np.pi * np.arange(picture.shape[1]))[None, :, None]).astype(np.int16)
    picture = np.clip(picture + weave, 0, 255).astype(np.uint8)
    alignment = align(points, 512)
    assert alignment.scale < 0.4
    result = paste_faces(picture, [face_of(picture, points, 0)])
    x, y = points[2].astype(int)
    cheek = np.s_[y - 40 : y + 40, x - 40 : x + 40]
    assert np.abs(result[cheek].astype(float) - picture[cheek]).mean() < 1


def test_noise_finer_than_the_crop_is_not_kept() -> None:
    clean, points = grown(cv2.GaussianBlur(astronaut(), (0, 0), 1), 10)
    clean, points = clean[400:1900, 1600:2900].copy(), points - [1600, 400]
    noise = cv2.GaussianBlur(np.random.default_rng(0).normal(0, 60, clean.shape), (0, 0), 1)
    picture = np.clip(clean + noise, 0, 255).astype(np.uint8)
    alignment = align(points, 512)
    result = paste_faces(picture, [PastedFace(cut(clean, alignment), alignment, points.astype(np.float32))])
    x, y = points[2].astype(int)
    cheek = np.s_[y - 60 : y + 60, x - 60 : x + 60]
    assert psnr(result[cheek], clean[cheek]) > psnr(picture[cheek], clean[cheek]) + 6


def test_a_large_picture_is_pasted_into_without_large_copies() -> None:
    picture, points = grown(astronaut(), 8)
    face = face_of(picture, points)
    tracemalloc.start()
    paste_faces(picture, [face])
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < picture.nbytes + 30e6


@pytest.mark.parametrize("edge", [(70, 0), (0, 190), (215, 0)])
def test_a_face_cut_by_the_border_is_pasted_up_to_it(edge: tuple[int, int]) -> None:
    top, left = edge[0], edge[1]
    picture, points = astronaut()[top:, left:].copy(), POINTS - [left, top]
    if top == 215:  # only the border of the face's crop is in the picture
        points = np.add(points, (0, -60))
    result = paste_faces(picture, [face_of(picture, points)])
    assert result.shape == picture.shape
    assert np.abs(result.astype(float) - picture).mean() < 3


def test_two_faces_are_pasted_in_the_order_given() -> None:
    picture = np.concatenate([astronaut()] * 2, 1)
    faces = [marked(picture, POINTS), marked(picture, np.add(POINTS, (512, 0)))]
    result = paste_faces(picture, faces)
    for face in faces:
        x, y = face.points[2].astype(int)
        assert (result[y, x] > 225).all()


def test_the_mask_holds_brows_eyes_nose_and_mouth_and_ends_before_the_crop() -> None:
    mask = face_mask(TEMPLATE, 512)
    assert mask.dtype == np.float32
    for x, y in (
        (193, 240),
        (319, 240),
        (257, 314),
        (201, 371),
        (313, 371),
        (193, 200),
        (319, 200),
        (256, 430),
    ):
        assert mask[y, x] > 0.9
    assert not np.concatenate(
        [mask[:20].ravel(), mask[-20:].ravel(), mask[:, :20].ravel(), mask[:, -20:].ravel()]
    ).any()
    for x, y in ((60, 240), (450, 240), (256, 60), (100, 430), (256, 500)):
        assert mask[y, x] == 0
    steps = np.abs(np.diff(mask, axis=0)).max(), np.abs(np.diff(mask, axis=1)).max()
    assert max(steps) < 0.05


def test_a_wrong_point_does_not_spoil_the_mask() -> None:
    for wrong in range(5):
        points = TEMPLATE.copy()
        points[wrong] += [900, -700]
        mask = face_mask(points, 256 * 2)
        assert np.abs(mask - face_mask(TEMPLATE, 512)).mean() < 0.1
        assert not mask[0].any()
        assert not mask[-1].any()


def test_a_turned_head_has_a_narrower_far_cheek() -> None:
    turned = TEMPLATE + np.array([[0, 0], [0, 0], [25, 0], [0, 0], [0, 0]])
    usual, mask = face_mask(TEMPLATE, 512)[300], face_mask(turned, 512)[300]
    assert mask[256:].sum() < usual[256:].sum() - 8
    assert mask[:256].sum() > usual[:256].sum()


def test_a_layer_lies_on_the_picture_as_its_crop_was_cut() -> None:
    alignment = align(POINTS, 512)
    layer = np.zeros((64, 64), np.float32)
    layer[38:42, 30:34] = 1  # around the nose
    (rows, columns), values = lay_out(layer, alignment, 512, 512, 2)
    assert values.shape == (rows.stop - rows.start, columns.stop - columns.start)
    y, x = np.unravel_index(values.argmax(), values.shape)
    inverse = alignment.inverse
    middle = inverse[:, :2] @ [255.5, 319.5] + inverse[:, 2]  # of the marked part
    assert np.abs(np.array([x + columns.start, y + rows.start]) - ((middle + 0.5) * 2 - 0.5)).max() < 8
    assert 0 <= values.min() <= values.max() <= 1


def test_a_layer_beyond_the_picture_is_nowhere() -> None:
    away = Alignment(np.array([[1, 0, 9000], [0, 1, 0]], float), 512)
    (rows, columns), values = lay_out(np.ones((8, 8), np.float32), away, 100, 100)
    assert values.size == 0
    assert np.zeros((100, 100))[rows, columns].size == 0


@pytest.mark.parametrize(("times", "angle"), [(1.0, 0.0), (3.0, 20.0)])
@pytest.mark.parametrize("blur", [1.0, 2.5])
def test_the_shipped_model_leaves_no_seam(
    bench: ModuleType, restorer: Restorer, times: float, angle: float, blur: float
) -> None:
    picture, points = grown(astronaut(), times)
    middle = points.mean(0)
    turn = cv2.getRotationMatrix2D(tuple(map(float, middle)), angle, 1)
    picture = cv2.warpAffine(picture, turn, picture.shape[1::-1], borderMode=cv2.BORDER_REFLECT_101)
    points = points @ turn[:, :2].T + turn[:, 2]
    noise = np.random.default_rng(0).normal(0, 6, picture.shape)
    bad = np.clip(cv2.GaussianBlur(picture, (0, 0), blur * times) + noise, 0, 255).astype(np.uint8)
    alignment = align(points, 512)
    reference = cut(
        picture[:, ::-1], align((points * [-1, 1] + [picture.shape[1] - 1, 0])[[1, 0, 2, 4, 3]], 512)
    )

    def put_back(face: NDArray[np.uint8]) -> NDArray[np.uint8]:
        return paste_faces(bad, [PastedFace(face, alignment, points.astype(np.float32))])

    # A sharp face in a soft picture jumps at its edge whoever drew it: the true face, put back the same way, does.
    perfect, _ = bench.seam(put_back(cut(picture, alignment)), bad, points, alignment)
    for references in ((), (ReferencePicture("her", reference),)):
        task = FaceTask(cut(bad, alignment), references, 1.0, 0.5)
        result = put_back(restorer.restore([task])[0].pixels)
        made, before = bench.seam(result, bad, points, alignment)
        assert made.jump <= max(1.1 * before.jump, perfect.jump)
        assert made.step <= 1.1 * before.step
        assert made.ring < 3
