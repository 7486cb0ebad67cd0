"""Whole photographs through the steps of a job, with known faces and a restorer that inverts."""

import hashlib
from dataclasses import replace

import cv2
import numpy as np
import pytest
import skimage.data
from inverting import Inverting
from known_faces import BOX, KnownFaces, astronauts, face_at
from pictures import aligned_face, file_of, pixels_of
from refstar_service.faces.face import Face
from refstar_service.faces.paste import enlarge
from refstar_service.images import ImageLimits
from refstar_service.restoration import selection_picture
from refstar_service.restoration.candidates import POINTS_UNUSABLE
from refstar_service.restoration.errors import StepError
from refstar_service.restoration.finding import MOST_FACES, TOO_MANY_FACES
from refstar_service.restoration.knobs import Knobs
from refstar_service.restoration.references import ReferenceMemory
from refstar_service.restoration.report import NOT_FINITE, FaceAction
from refstar_service.restoration.steps import ComposedPicture, Model, Viewer, compose, prepare
from refstar_service.restoration.upload import Upload

ALL = Knobs("all", format="png", keep=False)  # the review would keep inverted faces out


def upload(pixels: np.ndarray, name: str = "photo.png") -> Upload:
    data = file_of(pixels)
    return Upload(name, data, hashlib.sha256(data).hexdigest())


def restored(
    image: Upload,
    knobs: Knobs,
    detector: KnownFaces,
    *references: Upload,
    restorer: Inverting | None = None,
    size: int = 64,
    limits: ImageLimits | None = None,
) -> ComposedPicture:
    restorer = restorer or Inverting()
    viewer = Viewer(detector, ReferenceMemory(), limits or ImageLimits())
    prepared = prepare(image, references, knobs, Model(restorer, size), viewer)
    return compose(prepared, restorer.restore(prepared.tasks))


def changed(before: np.ndarray, after: np.ndarray) -> np.ndarray:
    return np.asarray((before != after).any(-1))


def test_only_the_faces_change() -> None:
    picture, faces = astronauts(2)
    done = restored(upload(picture), ALL, KnownFaces({(1024, 512): faces}))
    rows, columns = np.nonzero(changed(picture, pixels_of(done.result.data)))
    inside = np.zeros(picture.shape[:2], bool)
    for x, y, width, height in (face.box for face in faces):
        inside[int(y - height / 2) : int(y + 1.5 * height), int(x - width / 2) : int(x + 1.5 * width)] = True
    assert inside[rows, columns].all()
    assert {(x < 512) for x in columns} == {True, False}
    assert [report.action for report in done.faces] == [FaceAction.RESTORED] * 2
    assert done.faces[0].box == BOX
    assert len(done.faces[0].points) == 5
    assert done.faces[0].score == 0.9
    assert set(done.timings) == {"paste", "encode"}


def test_a_face_that_is_not_chosen_is_reported_and_left_alone() -> None:
    picture, _ = astronauts(2)
    faces = [face_at(), Face((512 + 20, 20, 20, 20), 0.7, face_at(512).points)]
    done = restored(upload(picture), replace(ALL, faces="all"), KnownFaces({(1024, 512): faces}))
    after = pixels_of(done.result.data)
    assert [(f.action, f.reason) for f in done.faces] == [
        (FaceAction.RESTORED, None),
        (FaceAction.SKIPPED, "face-too-small"),
    ]
    assert not changed(picture, after)[:, 512:].any()


def test_a_face_without_finite_numbers_is_left_and_the_others_are_restored() -> None:
    picture, faces = astronauts(2)
    picture = picture.copy()
    picture[:, :512] //= 2
    dark = Inverting(finite=lambda task: task.low_quality.mean() > 100)
    done = restored(upload(picture), ALL, KnownFaces({(1024, 512): faces}), restorer=dark)
    assert [(f.action, f.reason) for f in done.faces] == [
        (FaceAction.FAILED, NOT_FINITE),
        (FaceAction.RESTORED, None),
    ]
    different = changed(picture, pixels_of(done.result.data))
    assert not different[:, :512].any()
    assert different[:, 512:].any()


def test_without_any_finite_face_the_job_fails_with_its_reports() -> None:
    picture, faces = astronauts(2)
    with pytest.raises(StepError) as refused:
        restored(
            upload(picture),
            ALL,
            KnownFaces({(1024, 512): faces}),
            restorer=Inverting(finite=lambda task: False),
        )
    assert refused.value.code == "inference-failed"
    assert [f.reason for f in refused.value.faces] == [NOT_FINITE] * 2


@pytest.mark.parametrize(
    ("knobs", "faces", "code", "says", "reasons"),
    [
        (ALL, [], "no-face-found", "photo.png", []),
        (replace(ALL, min_face=120), [face_at()], "face-too-small", "120 pixels", ["face-too-small"]),
        (
            replace(ALL, faces="boxes", boxes=((400.0, 400.0, 50.0, 50.0),)),
            [face_at()],
            "no-face-found",
            "1 elsewhere",
            ["not-in-boxes", "no-face-found"],
        ),
        (ALL, [Face(BOX, 0.9, np.zeros((5, 2), np.float32))], "no-face-found", "upright", [POINTS_UNUSABLE]),
    ],
)
def test_a_photograph_without_a_face_to_restore_is_refused(
    knobs: Knobs, faces: list[Face], code: str, says: str, reasons: list[str]
) -> None:
    with pytest.raises(StepError, match=says) as refused:
        restored(upload(skimage.data.astronaut()), knobs, KnownFaces({(512, 512): faces}))
    assert refused.value.code == code
    assert [face.reason for face in refused.value.faces] == reasons


def test_the_background_grows_by_lanczos_and_the_face_with_it() -> None:
    picture = skimage.data.astronaut()
    done = restored(upload(picture), replace(ALL, upscale=2), KnownFaces(), upload(picture), size=256)
    after = pixels_of(done.result.data)
    large = enlarge(picture, 2)
    assert after.shape == (1024, 1024, 3)
    different = changed(large, after)
    assert different[200:280, 400:500].mean() > 0.9
    assert not different[400:].any()
    assert done.selection is not None
    assert pixels_of(done.selection.data).shape == (512, 512, 3)


def test_a_result_beyond_the_limits_is_refused_before_any_face_is_sought() -> None:
    detector = KnownFaces()
    with pytest.raises(StepError, match="2048 x 2048") as refused:
        restored(
            upload(skimage.data.astronaut()),
            replace(ALL, upscale=4),
            detector,
            limits=ImageLimits(max_pixels=2_000_000),
        )
    assert (refused.value.code, detector.asked) == ("result-too-large", [])


def test_of_a_crowd_the_largest_faces_are_restored() -> None:
    crowd = [face_at(0, 0, 1 - i / 1000) for i in range(MOST_FACES + 3)]
    prepared = prepare(
        upload(skimage.data.astronaut()),
        [],
        ALL,
        Model(Inverting(), 16),
        Viewer(KnownFaces({(512, 512): crowd}), ReferenceMemory(), ImageLimits()),
    )
    assert len(prepared.tasks) == MOST_FACES
    assert [c.report.reason for c in prepared.candidates[-4:]] == [None, *[TOO_MANY_FACES] * 3]


def test_a_face_in_a_requested_box_is_sought_again_in_its_surroundings() -> None:
    picture = cv2.resize(skimage.data.astronaut(), (128, 128), interpolation=cv2.INTER_AREA)
    box = (45.0, 16.0, 22.0, 28.0)
    zoom = 128 / 28
    left, top, right, bottom = 17, 0, 96, 73
    size = (round((right - left) * zoom), round((bottom - top) * zoom))
    seen = face_at(-left * zoom, -top * zoom, zoom / 4)
    detector = KnownFaces({size: [seen]})  # in the whole picture it finds nothing
    done = restored(upload(picture), replace(ALL, faces="boxes", boxes=(box,), min_face=16), detector)
    assert detector.asked == [(128, 128), size]
    (face,) = done.faces
    assert face.action is FaceAction.RESTORED
    assert np.allclose(face.box, [side / 4 for side in BOX], atol=0.5)
    assert np.allclose(face.points, face_at(scale=0.25).points, atol=0.5)


def test_a_gray_photograph_stays_gray() -> None:
    gray = cv2.cvtColor(skimage.data.astronaut(), cv2.COLOR_RGB2GRAY)
    ok, data = cv2.imencode(".png", gray)
    assert ok
    image = Upload("gray.png", data.tobytes(), "x")
    done = restored(image, ALL, KnownFaces())
    stored = cv2.imdecode(np.frombuffer(done.result.data, np.uint8), cv2.IMREAD_UNCHANGED)
    assert stored.ndim == 2
    assert (stored != gray).any()


def test_an_aligned_picture_is_restored_whole_and_enlarged_if_asked() -> None:
    face = aligned_face()
    detector = KnownFaces()
    knobs = replace(ALL, faces="aligned")
    done = restored(upload(face), knobs, detector, upload(face), size=512)
    assert (pixels_of(done.result.data) == 255 - face).all()
    assert done.faces[0].selected == pytest.approx((0.2,))
    assert done.references[0].sharpness is not None
    twice = restored(upload(face), replace(knobs, upscale=2), detector, size=512)
    assert (pixels_of(twice.result.data) == enlarge(255 - face, 2)).all()
    assert detector.asked == []


def test_selection_colors_only_the_face() -> None:
    picture = skimage.data.astronaut()
    done = restored(upload(picture), ALL, KnownFaces(), upload(picture), size=256)
    assert done.selection is not None
    overlay = pixels_of(done.selection.data).astype(int)
    colored = np.ptp(overlay, axis=-1) > 3
    assert colored[110:130, 215:235].all()
    assert not colored[200:].any()
    assert not colored[:, :150].any()


def test_the_selection_of_a_large_photograph_is_smaller_and_in_the_right_place(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(selection_picture, "LONG_SIDE", 256)
    picture = skimage.data.astronaut()
    done = restored(upload(picture), ALL, KnownFaces(), upload(picture), size=256)
    assert done.selection is not None
    overlay = pixels_of(done.selection.data).astype(int)
    assert overlay.shape == (256, 256, 3)
    colored = np.ptp(overlay, axis=-1) > 3
    assert colored[55:65, 107:117].all()
    assert not colored[100:].any()
    assert not colored[:, :75].any()
