"""References that show somebody else: what is reported of them, and what becomes of faces that were given one."""

import numpy as np
import pytest
import skimage.data
from known_faces import KnownFaces, astronauts, face_at
from pictures import file_of, pixels_of
from refstar_service.engine.manifest import load_manifest
from refstar_service.engine.restorer import Restorer
from refstar_service.images import ImageLimits
from refstar_service.restoration.errors import StepError
from refstar_service.restoration.knobs import Knobs
from refstar_service.restoration.references import ReferenceMemory
from refstar_service.restoration.report import REFERENCE_STRANGER, FaceAction
from refstar_service.restoration.steps import ComposedPicture, Model, Viewer, compose, prepare
from refstar_service.restoration.strangers import find_stranger, lay_out
from refstar_service.restoration.upload import Upload
from small_model import write_small_model

SHE = skimage.data.astronaut()
#: To the small model, which goes by how bright a face is, somebody else.
OTHER = np.asarray(SHE // 4, np.uint8)
TWO, TWO_FACES = astronauts(2)
DARK_LEFT = TWO.copy()
DARK_LEFT[:, :512] //= 4
DETECTOR = KnownFaces({(512, 512): [face_at()], (1024, 512): TWO_FACES})


@pytest.fixture(scope="module", params=[True, False], ids=["gated", "without a gate"])
def any_restorer(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Restorer:
    folder = tmp_path_factory.mktemp("models")
    write_small_model(folder, gated=request.param)
    return Restorer(load_manifest(folder / "refstar"), threads=1)


@pytest.fixture(scope="module")
def restorer(tmp_path_factory: pytest.TempPathFactory) -> Restorer:
    folder = tmp_path_factory.mktemp("gated")
    write_small_model(folder, gated=True)
    return Restorer(load_manifest(folder / "refstar"), threads=1)


def restored(
    restorer: Restorer, picture: np.ndarray, *references: np.ndarray, below: float = 0.5, **knobs: object
) -> ComposedPicture:
    uploads = [Upload(f"{i}.png", file_of(one), f"{one.mean()}") for i, one in enumerate(references, 1)]
    viewer = Viewer(DETECTOR, ReferenceMemory(), ImageLimits(), below)
    asked = Knobs(**{"faces": "all", "format": "png", "keep": False, **knobs})  # type: ignore[arg-type]
    image = Upload("photo.png", file_of(picture), "0" * 64)
    prepared = prepare(image, uploads, asked, Model(restorer, 64), viewer)
    return compose(prepared, restorer.restore(prepared.tasks))


def test_it_is_said_of_every_face_whom_each_reference_shows(restorer: Restorer) -> None:
    left, right = restored(restorer, DARK_LEFT, SHE, OTHER).faces
    assert left.same_person == pytest.approx((0.0, 0.99), abs=0.01)
    assert right.same_person == pytest.approx((0.99, 0.0), abs=0.01)
    assert left.likeness[1] > 0.9  # type: ignore[operator]
    assert right.likeness[0] > 0.9  # type: ignore[operator]
    assert left.selected[0] < 0.01 < 0.9 < left.selected[1]


def test_nothing_is_said_by_a_model_that_does_not_judge(any_restorer: Restorer) -> None:
    (face,) = restored(any_restorer, SHE, SHE).faces
    if any_restorer.manifest.knobs >= {"stranger"}:
        assert None not in (*face.same_person, *face.likeness)
    else:
        assert face.same_person == face.likeness == (None,)


def test_nothing_is_said_of_references_without_strength_or_for_a_face_without_any(restorer: Restorer) -> None:
    (mute,) = restored(restorer, SHE, OTHER, reference_strength=0.0, stranger="refuse").faces
    assert (mute.action, mute.same_person) == (FaceAction.RESTORED, (None,))
    (alone,) = restored(restorer, SHE, stranger="refuse").faces
    assert (alone.action, alone.same_person) == (FaceAction.RESTORED, ())


def test_a_strangers_reference_is_hardly_used_unless_it_is_to_be(restorer: Restorer) -> None:
    alone, ignored, used = (
        restored(restorer, SHE, *references, stranger=stranger)
        for references, stranger in (((), "ignore"), ((OTHER,), "ignore"), ((OTHER,), "use"))
    )
    assert ignored.faces[0].selected[0] < 0.01 < 0.99 < used.faces[0].selected[0]
    assert ignored.faces[0].same_person == used.faces[0].same_person
    pixels = [pixels_of(done.result.data).astype(int) for done in (alone, ignored, used)]
    assert np.abs(pixels[0] - pixels[1]).max() <= 1
    assert np.abs(pixels[1] - pixels[2]).max() > 5


def test_a_face_with_a_strangers_reference_is_left_as_it_was_where_those_are_refused(
    restorer: Restorer,
) -> None:
    done = restored(restorer, DARK_LEFT, SHE, stranger="refuse")
    left, right = done.faces
    assert (left.action, left.reason) == (FaceAction.FAILED, REFERENCE_STRANGER)
    assert (left.selected, left.likeness) == ((0.0,), (None,))
    assert left.same_person == pytest.approx((0.0,), abs=0.01)
    assert (right.action, right.reason) == (FaceAction.RESTORED, None)
    assert np.array_equal(pixels_of(done.result.data)[:, :512], DARK_LEFT[:, :512])


def test_a_restoration_fails_if_all_of_its_faces_do_and_says_which_reference_it_was(
    restorer: Restorer,
) -> None:
    with pytest.raises(StepError) as refused:
        restored(restorer, SHE, SHE, OTHER, stranger="refuse")
    assert refused.value.code == REFERENCE_STRANGER
    assert refused.value.detail == (
        "A reference probably shows somebody else: reference 2 (2.png) has a same_person of 0.00; "
        "stranger=refuse takes 0.5 or more."
    )
    (face,) = refused.value.faces
    assert (face.action, face.reason) == (FaceAction.FAILED, REFERENCE_STRANGER)
    assert face.same_person == pytest.approx((0.99, 0.0), abs=0.01)
    assert [report.used for report in refused.value.references] == [True, True]


def test_how_sure_it_must_be_is_a_limit(restorer: Restorer) -> None:
    (face,) = restored(restorer, SHE, SHE, OTHER, stranger="refuse", below=0.0).faces
    assert face.action is FaceAction.RESTORED
    with pytest.raises(StepError, match=r"stranger=refuse takes 1 or more"):
        restored(restorer, SHE, SHE, stranger="refuse", below=1.0)


def test_the_request_is_worth_as_much_in_words_of_its_own_as_by_default(restorer: Restorer) -> None:
    usual, said = (restored(restorer, SHE, OTHER, **knobs) for knobs in ({}, {"stranger": "ignore"}))
    assert usual.result.data == said.result.data


def test_a_reference_that_was_left_out_has_its_place_and_no_judgment() -> None:
    assert lay_out(np.array([0.25, np.nan], np.float32), [0, 2], 4) == (0.25, None, None, None)
    assert lay_out(None, [0, 1], 2) == (None, None)
    assert find_stranger((0.9, None, 0.3, 0.2), 0.5) == 3
    assert find_stranger((0.9, None, 0.5), 0.5) is None
    assert find_stranger((None,), 0.5) is None
