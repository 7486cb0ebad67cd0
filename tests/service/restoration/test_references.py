"""References: which are used, left out or refused, and what is remembered of them."""

import hashlib

import cv2
import numpy as np
import pytest
import skimage.data
from inverting import Inverting
from known_faces import KnownFaces, astronauts, face_at
from pictures import file_of
from refstar_service.engine.restorer import ReferencePicture
from refstar_service.images import ImageLimits
from refstar_service.restoration.errors import StepError
from refstar_service.restoration.knobs import Knobs
from refstar_service.restoration.references import LEAST_EYE_DISTANCE, Finding, ReferenceMemory
from refstar_service.restoration.report import FaceAction
from refstar_service.restoration.steps import Model, PreparedPicture, Viewer, compose, prepare
from refstar_service.restoration.upload import Upload

SHARP = skimage.data.astronaut()
BLURRED = cv2.GaussianBlur(SHARP, (0, 0), 10)
SMALL = cv2.resize(SHARP, (400, 400), interpolation=cv2.INTER_AREA)
EMPTY = np.full((300, 300, 3), 90, np.uint8)
TWO, TWO_FACES = astronauts(2)
FACES = {
    (512, 512): [face_at()],
    (400, 400): [face_at(scale=400 / 512)],
    (1024, 512): TWO_FACES,
    (512, 1024): [face_at(score=0.8), face_at(0, 600, 0.3, score=0.95)],  # somebody small in the background
}


def upload(pixels: np.ndarray, name: str) -> Upload:
    data = file_of(pixels)
    return Upload(name, data, hashlib.sha256(data).hexdigest())


class Bench:
    def __init__(self, needs_references: bool = False) -> None:
        self.detector, self.restorer = KnownFaces(FACES), Inverting(remembering=True)
        self.viewer = Viewer(self.detector, ReferenceMemory(), ImageLimits())
        self.model = Model(self.restorer, 128, needs_references)

    def prepare(self, *references: np.ndarray, faces: str = "largest", face: str = "only") -> PreparedPicture:
        uploads = [upload(pixels, f"{number}.png") for number, pixels in enumerate(references, 1)]
        knobs = Knobs(faces, format="png", reference_face=face)
        return prepare(upload(SHARP, "photo.png"), uploads, knobs, self.model, self.viewer)


def test_a_good_reference_is_cut_and_reported() -> None:
    prepared = Bench().prepare(SHARP)
    (report,) = prepared.references
    assert (report.index, report.name, report.used, report.reason) == (1, "1.png", True, None)
    assert report.box == (179.0, 62.0, 90.0, 112.0)
    assert report.size == pytest.approx(100.4, abs=0.1)
    assert report.sharpness is not None
    assert report.sharpness > 0.3
    (reference,) = prepared.tasks[0].references
    assert isinstance(reference, ReferencePicture)
    assert np.abs(reference.pixels.astype(int) - prepared.tasks[0].low_quality).max() == 0


@pytest.mark.parametrize(
    ("pixels", "reason"), [(BLURRED, "reference-too-blurred"), (SMALL, "reference-too-small")]
)
def test_a_reference_that_cannot_help_is_left_out(pixels: np.ndarray, reason: str) -> None:
    assert (247 - 203) * 400 / 512 < LEAST_EYE_DISTANCE < 247 - 203
    bench = Bench()
    prepared = bench.prepare(pixels, SHARP)
    assert [(r.used, r.reason) for r in prepared.references] == [(False, reason), (True, None)]
    assert prepared.references[0].sharpness is not None
    assert len(prepared.tasks[0].references) == 1
    # The place among `selected`, and the color, are those of the request.
    done = compose(prepared, bench.restorer.restore(prepared.tasks))
    assert done.faces[0].selected == pytest.approx((0.0, 0.2))


def test_a_job_goes_on_without_references_unless_its_model_needs_them() -> None:
    prepared = Bench().prepare(BLURRED)
    assert prepared.tasks[0].references == ()
    with pytest.raises(StepError, match="model needs at least one") as refused:
        Bench(needs_references=True).prepare(BLURRED)
    assert refused.value.code == "reference-too-blurred"
    assert [(f.action, f.reason) for f in refused.value.faces] == [
        (FaceAction.FAILED, "reference-too-blurred")
    ]


def test_a_reference_without_a_face_ends_the_job_and_names_the_file() -> None:
    with pytest.raises(StepError, match=r"reference 2 \(2.png\): no face") as refused:
        Bench().prepare(SHARP, EMPTY)
    assert refused.value.code == "reference-without-face"
    assert [r.used for r in refused.value.references] == [True, False]
    assert len(refused.value.faces) == 1


def test_a_reference_with_several_faces_is_refused_or_gives_its_largest() -> None:
    with pytest.raises(StepError, match=r"\[179, 62, 90, 112\], \[691, 62, 90, 112\]") as refused:
        Bench().prepare(TWO)
    assert refused.value.code == "several-faces"
    assert Bench().prepare(TWO, face="largest").references[0].used


def test_a_small_face_in_the_background_is_no_second_one() -> None:
    (report,) = Bench().prepare(np.concatenate([SHARP, SHARP])).references
    assert (report.used, report.score) == (True, 0.8)


def test_a_known_reference_is_neither_decoded_nor_looked_at_again() -> None:
    bench = Bench()
    first = bench.prepare(SMALL, SHARP)
    bench.restorer.restore(first.tasks)
    bench.detector.asked.clear()
    again = bench.prepare(SMALL, SHARP)
    assert bench.detector.asked == [(512, 512)]  # the picture itself
    assert again.references == first.references
    assert not isinstance(again.tasks[0].references[0], ReferencePicture)


def test_a_reference_with_dropped_features_is_cut_without_a_search() -> None:
    bench = Bench()
    first = bench.prepare(SHARP)
    bench.detector.asked.clear()
    again = bench.prepare(SHARP)  # the restorer was never called, so nothing is cached
    assert bench.detector.asked == [(512, 512)]
    a, b = first.tasks[0].references[0], again.tasks[0].references[0]
    assert isinstance(a, ReferencePicture)
    assert isinstance(b, ReferencePicture)
    assert a.key == b.key
    assert (a.pixels == b.pixels).all()


def test_an_aligned_reference_is_another_one_than_the_same_file_as_a_photograph() -> None:
    bench = Bench()
    keys = {
        reference.key
        for faces in ("aligned", "largest")
        for reference in bench.prepare(SHARP, faces=faces).tasks[0].references
        if isinstance(reference, ReferencePicture)
    }
    assert len(keys) == 2


def test_an_aligned_reference_is_measured_and_never_left_out() -> None:
    (report,) = Bench().prepare(BLURRED, faces="aligned").references
    assert report.sharpness is not None
    assert (report.used, report.box, report.score) == (True, None, None)


def test_the_memory_keeps_what_was_used_last() -> None:
    memory = ReferenceMemory(entries=2)
    for key in ("a", "b"):
        memory.put(key, Finding(None, (), None, None))
    assert memory.get("a") is not None
    memory.put("c", Finding(None, (), None, None))
    assert [memory.get(key) is not None for key in "abc"] == [True, False, True]
