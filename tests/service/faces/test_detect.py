"""The shipped detector on a real photograph, and on what is made of it."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from numpy.typing import NDArray
from pictures import POINTS
from refstar_service.engine.errors import ModelError
from refstar_service.faces.detect import distinct, load_detector, picture_views
from refstar_service.faces.face import Face, FaceDetector
from refstar_service.faces.light import even_light
from refstar_service.faces.thorough import ThoroughDetector
from refstar_service.settings import Settings

Pixels = NDArray[np.uint8]
ZOO = Settings().models_dir
IOD = float(np.linalg.norm(POINTS[1] - POINTS[0]))


@pytest.fixture(scope="module")
def detector() -> FaceDetector:
    return load_detector(ZOO, threads=1)


def astronaut() -> Pixels:
    return np.ascontiguousarray(skimage.data.astronaut())


def error(face: Face, points: NDArray[np.floating]) -> float:
    """Mean distance of the five points, in distances between the eyes. The truth was measured by eye."""
    apart = np.linalg.norm(points[1] - points[0])
    return float(np.linalg.norm(face.points - points, axis=1).mean() / apart)


def test_the_one_face_of_a_photograph_is_found_with_its_points(detector: FaceDetector) -> None:
    (face,) = detector.find(astronaut())
    assert face.score > 0.8
    assert error(face, POINTS) < 0.1
    x, y, width, height = face.box
    assert ((x, y) < POINTS).all()
    assert ((x + width, y + height) > POINTS).all()
    assert 2 < width / IOD < 3.5


@pytest.mark.parametrize("scale", [0.2, 0.35, 0.8, 2.0])
def test_it_is_found_at_every_size(detector: FaceDetector, scale: float) -> None:
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    picture = cv2.resize(astronaut(), None, fx=scale, fy=scale, interpolation=method)
    # Below 24 pixels nothing is restored unless asked for, and the suit's fittings are taken for a face at one size.
    faces = detector.find(np.asarray(picture, np.uint8))
    (face,) = [f for f in faces if f.size >= min(24, 100 * scale)]
    assert error(face, (POINTS + 0.5) * scale - 0.5) < 0.12


@pytest.mark.parametrize("degrees", [-30, 25])
def test_a_tilted_head_is_found_upright_in_its_own_frame(detector: FaceDetector, degrees: int) -> None:
    matrix = cv2.getRotationMatrix2D((225, 130), degrees, 1.0)
    picture = cv2.warpAffine(astronaut(), matrix, (512, 512), borderMode=cv2.BORDER_REFLECT_101)
    best = max(detector.find(np.asarray(picture, np.uint8)), key=lambda face: face.size)
    assert error(best, POINTS @ matrix[:, :2].T + matrix[:, 2]) < 0.12


def test_a_ruined_face_is_found(detector: FaceDetector) -> None:
    small = cv2.resize(cv2.GaussianBlur(astronaut(), (0, 0), 3.2), (128, 128), interpolation=cv2.INTER_AREA)
    noisy = np.clip(small + np.random.default_rng(2).normal(0, 8, small.shape), 0, 255).astype(np.uint8)
    coded = cv2.imdecode(cv2.imencode(".jpg", noisy, [cv2.IMWRITE_JPEG_QUALITY, 50])[1], cv2.IMREAD_COLOR)
    picture = cv2.resize(np.asarray(coded, np.uint8), (512, 512), interpolation=cv2.INTER_CUBIC)
    best = detector.find(np.asarray(picture, np.uint8))[0]
    assert error(best, POINTS) < 0.2


def test_gray_photographs_hold_faces_too(detector: FaceDetector) -> None:
    gray = cv2.cvtColor(cv2.cvtColor(astronaut(), cv2.COLOR_RGB2GRAY), cv2.COLOR_GRAY2RGB)
    assert error(detector.find(np.asarray(gray, np.uint8))[0], POINTS) < 0.12


def test_two_faces_beside_each_other_are_two(detector: FaceDetector) -> None:
    picture = np.hstack([astronaut(), astronaut()[:, ::-1]])
    faces = sorted(detector.find(picture), key=lambda f: f.box[0])
    assert len(faces) == 2
    assert error(faces[0], POINTS) < 0.1


def test_an_aligned_crop_that_is_all_face_is_found(detector: FaceDetector) -> None:
    from pictures import aligned_face

    assert detector.find(aligned_face())[0].size > 200


@pytest.mark.parametrize("name", ["rocket", "coffee", "page", "text", "clock", "cat", "gravel", "brick"])
def test_pictures_without_a_face_have_none(detector: FaceDetector, name: str) -> None:
    picture = np.asarray(getattr(skimage.data, name)())
    if picture.ndim == 2:
        picture = np.repeat(picture[..., None], 3, -1)
    assert detector.find(np.ascontiguousarray(picture[..., :3].astype(np.uint8))) == []


@pytest.mark.parametrize("shape", [(1, 1), (16, 16), (3, 700), (700, 3), (17, 41)])
@pytest.mark.parametrize("level", [0, 128, 255])
def test_plain_pictures_of_any_shape_have_none(
    detector: FaceDetector, shape: tuple[int, int], level: int
) -> None:
    assert detector.find(np.full((*shape, 3), level, np.uint8)) == []


@pytest.mark.parametrize("turn", [1, 2, 3])
def test_a_picture_that_lies_on_its_side_has_its_face_where_it_was(detector: FaceDetector, turn: int) -> None:
    picture = np.ascontiguousarray(np.rot90(astronaut()[:400], turn))
    (face,) = [face for face in detector.find(picture) if face.size > 60]
    x, y = POINTS[:, 0], POINTS[:, 1]
    where = {1: (y, 511 - x), 2: (511 - x, 399 - y), 3: (399 - y, x)}[turn]
    assert error(face, np.stack(where, -1)) < 0.1
    middle = np.array(face.box[:2]) + np.array(face.box[2:]) / 2
    assert np.linalg.norm(middle - face.points.mean(0)) < 0.5 * IOD
    assert (face.box[2] > face.box[3]) == (turn != 2)


@pytest.mark.parametrize("degrees", [45, 110, 200, 315])
def test_faces_at_any_angle_are_found(detector: FaceDetector, degrees: int) -> None:
    matrix = cv2.getRotationMatrix2D((225, 130), degrees, 1.0)
    matrix[:, 2] += (31, 126)  # her face into the middle
    picture = cv2.warpAffine(astronaut(), matrix, (512, 512), borderValue=(90, 90, 90))
    best = max(detector.find(np.asarray(picture, np.uint8)), key=lambda face: face.size * face.score)
    assert error(best, POINTS @ matrix[:, :2].T + matrix[:, 2]) < 0.15


@pytest.mark.parametrize(
    "light",
    [(0.2, 0.3, 1.0), (0.25, 1.0, 0.3), (1.0, 0.2, 0.2), (2.0, 2.0, 2.0)],
    ids=["blue", "green", "red", "2x"],
)
def test_faces_in_colored_or_too_much_light_are_found(
    detector: FaceDetector, light: tuple[float, float, float]
) -> None:
    picture = np.clip(astronaut() * np.array(light), 0, 255).astype(np.uint8)
    best = max(detector.find(picture), key=lambda face: face.size * face.score)
    assert error(best, POINTS) < 0.12


def test_ordinary_light_is_left_as_it_is() -> None:
    assert even_light(astronaut()) is None
    assert even_light(np.clip(astronaut() * (1.0, 0.95, 0.9), 0, 255).astype(np.uint8)) is None  # lamps


def test_how_sure_a_face_must_be_is_the_callers_choice(detector: FaceDetector) -> None:
    small = cv2.resize(cv2.GaussianBlur(astronaut(), (0, 0), 5.0), (90, 90), interpolation=cv2.INTER_AREA)
    picture = np.asarray(small, np.uint8)
    scores = [face.score for face in detector.find(picture, 0.1)]
    assert len(detector.find(picture, 0.99)) < len(scores)
    for least in (0.3, 0.6, 0.8):
        found = [face.score for face in detector.find(picture, least)]
        assert all(score >= least for score in found)


class Counting:
    """Finds one face of the score in each picture whose first pixel is as it says."""

    label = "counting"

    def __init__(self, score: float, first: int | None) -> None:
        self.score, self.first, self.asked = score, first, 0

    def find(self, pixels: Pixels, min_score: float = 0.6) -> list[Face]:
        self.asked += 1
        there = self.first is not None and int(pixels[0, 0, 0]) == self.first and self.score >= min_score
        return [Face((2.0, 3.0, 10.0, 20.0), self.score, np.ones((5, 2), np.float32))] if there else []


@pytest.mark.parametrize(
    ("score", "first", "asked"),
    [(0.9, 100, 1), (0.7, 100, 8), (0.9, 120, 4), (0.65, 120, 8), (0.9, None, 8)],
    ids=["sure at once", "unsure", "turned", "unsure and turned", "none"],
)
def test_more_looks_are_taken_only_without_a_sure_face_at_most_seven(
    score: float, first: int | None, asked: int
) -> None:
    picture = np.full((40, 60, 3), 110, np.uint8)
    picture[0, 0], picture[0, -1] = 100, 120
    inner = Counting(score, first)
    found = ThoroughDetector(inner).find(picture)
    assert inner.asked == asked
    # What was found turned must be surer.
    assert len(found) == (first == 100 or (first == 120 and score > 0.7))


def test_threads_get_the_same_answer_as_one(detector: FaceDetector) -> None:
    wanted = detector.find(astronaut())
    with ThreadPoolExecutor(4) as pool:
        answers = list(pool.map(detector.find, [astronaut()] * 4))
    for faces in answers:
        assert [f.box for f in faces] == [f.box for f in wanted]
        assert all(np.array_equal(a.points, b.points) for a, b in zip(faces, wanted, strict=True))


def test_views_halve_until_a_face_that_fills_the_picture_is_small() -> None:
    views = picture_views(np.zeros((3000, 4000, 3), np.uint8))
    assert [v.pixels.shape[1] for v in views] == [1280, 640, 320, 160, 80, 40]
    assert views[0].x_scale == pytest.approx(4000 / 1280)
    assert np.allclose(views[0].to_picture(np.array([0.0, 0.0])), (3.125 / 2 - 0.5, 3.125 / 2 - 0.5))
    assert picture_views(np.zeros((20, 30, 3), np.uint8))[0].x_scale == 1


def test_one_face_seen_twice_is_kept_once() -> None:
    boxes = np.array([[0, 0, 10, 10], [1, 1, 10, 10], [3, 3, 4, 4], [30, 0, 10, 10]], float)
    assert list(distinct(boxes, np.array([0.6, 0.9, 0.8, 0.7]))) == [1, 3]


def test_a_changed_detector_is_refused(tmp_path: Path) -> None:
    shutil.copytree(ZOO / "detector", tmp_path / "detector")
    graph = tmp_path / "detector" / "refine.onnx"
    graph.write_bytes(graph.read_bytes()[:-1] + b"\0")
    with pytest.raises(ModelError, match="sha256"):
        load_detector(tmp_path)


def test_a_models_folder_without_a_detector_says_so(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="detector"):
        load_detector(tmp_path)


def test_a_file_that_is_no_yunet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "x.onnx").write_bytes(b"nothing")
    with pytest.raises(ModelError, match=r"x\.onnx"):
        load_detector(ZOO, yunet=tmp_path / "x.onnx")
