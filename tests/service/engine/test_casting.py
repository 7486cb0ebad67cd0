"""Whose face it is, of several people with references."""

import numpy as np
import pytest
from refstar_service.engine.casting import are_several, choose_asked, find_person


def masks(*levels: int) -> np.ndarray:
    return np.array([np.full((4, 4), level) for level in levels], np.uint8)


@pytest.mark.parametrize(
    ("people", "most", "asked"),
    [
        ((0, 0, 0, 1, 1), 8, [0, 1, 2, 3, 4]),
        ((0,) * 8 + (1,) * 8, 8, [0, 1, 2, 3, 8, 9, 10, 11]),
        ((0, 0, 1, 1, 2, 2), 4, [0, 2, 4]),
        ((1, 0, 1, 0), 2, [0, 1]),
    ],
)
def test_everybody_is_shown_with_as_many_references(
    people: tuple[int, ...], most: int, asked: list[int]
) -> None:
    assert choose_asked(people, most) == asked


def test_more_people_than_a_model_takes_references_cannot_be_told_apart() -> None:
    with pytest.raises(ValueError, match="of 3 people, and at most 2"):
        choose_asked((0, 1, 2), 2)


@pytest.mark.parametrize(
    ("levels", "people", "whose"),
    [
        ((60, 10, 40, 40), (0, 0, 1, 1), 1),  # most of all together, not of one reference
        ((200, 0, 10), (0, 1, 1), 0),
        ((40, 40), (1, 0), 1),  # of equal ones the first
        ((3, 3), (0, 1), None),
    ],
)
def test_a_face_is_theirs_from_whom_most_is_taken(
    levels: tuple[int, ...], people: tuple[int, ...], whose: int | None
) -> None:
    assert find_person(masks(*levels), people, 0.03) == whose


def test_without_references_it_is_nobodys() -> None:
    assert find_person(masks(), (), 0.0) is None
    assert not are_several(())
    assert not are_several((1, 1))


@pytest.mark.parametrize(
    ("said", "whose"),
    [((0.2, 0.9, 0.1, 0.6), 0), ((0.1, 0.2, 0.7, 0.6), 1), ((0.4, 0.49, 0.1, 0.2), None)],
)
def test_a_model_that_says_whom_references_show_is_believed(
    said: tuple[float, ...], whose: int | None
) -> None:
    taken = masks(0, 0, 255, 255)
    assert find_person(taken, (0, 0, 1, 1), 0.03, np.array(said, np.float32)) == whose
    assert find_person(taken, (0, 0, 1, 1), 0.0, np.array(said, np.float32)) == (
        0 if whose is None else whose
    )
