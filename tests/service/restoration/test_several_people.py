"""Several people who are named: each face with the references of its own person."""

from collections.abc import Callable

import numpy as np
import pytest
from inverting import Inverting
from known_faces import KnownFaces, astronauts
from pictures import file_of, pixels_of
from refstar_service.engine.restorer import FaceTask
from refstar_service.images import ImageLimits
from refstar_service.restoration.knobs import Knobs
from refstar_service.restoration.recalled import StoredReference
from refstar_service.restoration.references import ReferenceMemory
from refstar_service.restoration.report import ReferenceReport
from refstar_service.restoration.rules import MOST_TOGETHER, leave_out_surplus, share_references
from refstar_service.restoration.selection_picture import REFERENCE_COLORS
from refstar_service.restoration.steps import ComposedPicture, Model, Viewer, compose, prepare
from refstar_service.restoration.upload import Upload

ALL = Knobs("all", format="png", keep=False)
TWO, TWO_FACES = astronauts(2)
PEOPLE = ["ada", "ben"]


def reference(index: int, person: str, used: bool = True) -> StoredReference:
    report = ReferenceReport(
        index, "r.png", None, None, None, 0.5, used, None if used else "too-blurred", person
    )
    features = {"features": np.zeros(1, np.float32)} if used else None
    return StoredReference(report, index, f"key-{index}", features, None, fetched=False)


def restored(
    whose: Callable[[FaceTask], int | None], *references: StoredReference, picture: np.ndarray = TWO
) -> tuple[ComposedPicture, tuple[FaceTask, ...]]:
    restorer = Inverting(whose=whose)
    viewer = Viewer(KnownFaces({(1024, 512): TWO_FACES}), ReferenceMemory(), ImageLimits())
    image = Upload("photo.png", file_of(picture), "0" * 64)
    prepared = prepare(image, (), ALL, Model(restorer, 64), viewer, recalled=references, people=PEOPLE)
    return compose(prepared, restorer.restore(prepared.tasks)), prepared.tasks


def by_side(task: FaceTask) -> int:
    """The face at the left is darker in these tests, and Ben's."""
    return 1 if task.low_quality.mean() < 60 else 0


DARK_LEFT = TWO.copy()
DARK_LEFT[:, :512] //= 4


def test_each_face_says_whose_it_is_and_was_given_that_persons_references_alone() -> None:
    references = [
        reference(1, "ada"),
        reference(2, "ada", used=False),
        reference(3, "ben"),
        reference(4, "ben"),
    ]
    done, tasks = restored(by_side, *references, picture=DARK_LEFT)
    assert {task.people for task in tasks} == {(0, 1, 1)}
    left, right = done.faces
    assert (left.person, right.person) == ("ben", "ada")
    assert left.selected == pytest.approx((0, 0, 0.2, 0.2))
    assert right.selected == pytest.approx((0.2, 0, 0, 0))
    assert [one.person for one in done.references] == ["ada", "ada", "ben", "ben"]


def test_the_selection_picture_has_a_color_for_each_person() -> None:
    references = [reference(1, "ada"), reference(2, "ada"), reference(3, "ben"), reference(4, "ben")]
    done, _ = restored(by_side, *references, picture=DARK_LEFT)
    assert done.selection is not None
    overlay = pixels_of(done.selection.data).astype(int)
    colored = overlay.max(-1) - overlay.min(-1) > 6
    columns = np.nonzero(colored)[1]
    assert {bool(x < 512) for x in columns} == {True, False}
    for side, color in ((colored[:, :512], REFERENCE_COLORS[1]), (colored[:, 512:], REFERENCE_COLORS[0])):
        half = overlay[:, :512] if color == REFERENCE_COLORS[1] else overlay[:, 512:]
        hue = half[side].mean(0)
        assert np.argmax(hue) == np.argmax(color)
        assert np.argmin(hue) == np.argmin(color)


def test_a_stranger_is_nobody_and_takes_from_nobody() -> None:
    done, _ = restored(lambda task: None, reference(1, "ada"), reference(2, "ben"))
    assert [(face.person, face.selected) for face in done.faces] == [(None, (0.0, 0.0))] * 2
    assert done.selection is None


@pytest.mark.parametrize(("people", "most", "each"), [(1, 8, 8), (2, 8, 8), (3, 8, 5), (8, 8, 2), (8, 1, 1)])
def test_the_references_of_many_people_are_no_more_than_a_worker_has_room_for(
    people: int, most: int, each: int
) -> None:
    assert share_references(people, most) == each
    assert people * each <= max(MOST_TOGETHER, people)
    reports = [reference(index, "ada").report for index in range(1, 9)]
    assert sum(one.used for one in leave_out_surplus(reports, each)) == each
