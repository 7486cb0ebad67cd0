"""Which faces are chosen."""

import numpy as np
import pytest
from refstar_service.faces.face import Face
from refstar_service.faces.select import Box, choose

SIZE = (1000, 600)


def face(x: float, y: float, side: float, score: float = 0.9) -> Face:
    return Face((x, y, side, side), score, np.zeros((5, 2), np.float32))


LEFT, MIDDLE, RIGHT, TINY = face(50, 100, 120), face(450, 250, 80), face(800, 100, 150), face(495, 295, 16)
ALL = [LEFT, MIDDLE, RIGHT, TINY]


def reasons(mode: str, boxes: tuple[Box, ...] = (), faces: list[Face] = ALL) -> list[str | None]:
    choices = choose(faces, mode, SIZE, min_face=24, boxes=boxes)
    assert all(c.chosen == (c.reason is None) for c in choices)
    return [c.reason for c in choices]


@pytest.mark.parametrize(
    ("mode", "expected"),
    [
        ("all", [None, None, None, "face-too-small"]),
        ("largest", ["not-largest", "not-largest", None, "face-too-small"]),
        ("center", ["not-center", None, "not-center", "face-too-small"]),
    ],
)
def test_every_face_is_chosen_or_has_a_reason(mode: str, expected: list[str | None]) -> None:
    assert reasons(mode) == expected


@pytest.mark.parametrize("mode", ["all", "largest", "center"])
def test_a_picture_of_small_faces_has_none_to_restore(mode: str) -> None:
    assert reasons(mode, faces=[TINY, TINY]) == ["face-too-small"] * 2
    assert reasons(mode, faces=[]) == []


def test_of_two_equally_large_faces_the_surer_one_is_taken() -> None:
    assert reasons("largest", faces=[face(0, 0, 50, 0.9), face(90, 0, 50, 0.8)]) == [None, "not-largest"]


def test_boxes_take_the_faces_that_lie_in_them() -> None:
    boxes = ((790.0, 90.0, 200.0, 200.0), (40.0, 90.0, 100.0, 120.0))
    assert reasons("boxes", boxes) == [None, "not-in-boxes", None, "not-in-boxes"]


def test_a_box_drawn_around_a_whole_person_takes_the_face_in_it() -> None:
    assert reasons("boxes", ((0.0, 50.0, 300.0, 550.0),)) == [None] + ["not-in-boxes"] * 3


def test_a_box_without_a_face_is_reported() -> None:
    choices = choose(ALL, "boxes", SIZE, min_face=24, boxes=((300.0, 0.0, 60.0, 60.0),))
    assert choices[-1].face is None
    assert choices[-1].box == (300.0, 0.0, 60.0, 60.0)
    assert choices[-1].reason == "no-face-found"
    assert [c.reason for c in choices[:-1]] == ["not-in-boxes"] * 4


def test_a_box_around_a_small_face_says_that_it_is_too_small() -> None:
    assert reasons("boxes", ((490.0, 290.0, 26.0, 26.0),)) == ["not-in-boxes"] * 3 + ["face-too-small"]


def test_two_boxes_on_one_face_take_it_once() -> None:
    box = (50.0, 100.0, 120.0, 120.0)
    assert reasons("boxes", (box, box)) == [None] + ["not-in-boxes"] * 3 + ["no-face-found"]


def test_an_unknown_mode_is_an_error() -> None:
    with pytest.raises(ValueError, match="sharpest"):
        reasons("sharpest")
