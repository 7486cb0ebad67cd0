"""The picture that shows what was taken from which reference."""

import numpy as np
import pytest
from pictures import degraded_face, pixels_of
from refstar_service.images import IndexedPicture
from refstar_service.images.encode import encode_indexed
from refstar_service.restoration import selection_picture
from refstar_service.restoration.selection_picture import REFERENCE_COLORS, draw_for_crop

GRAY = np.full((64, 64, 3), 128, np.uint8)


def shown(picture: IndexedPicture) -> np.ndarray:
    return picture.palette[picture.indices].astype(int)


def masks(*levels: int) -> np.ndarray:
    """One for each reference, the same everywhere."""
    return np.stack([np.full((8, 8), level, np.uint8) for level in levels])


@pytest.mark.parametrize("count", range(1, 9))
def test_every_reference_has_its_own_color_however_many_there_are(count: int) -> None:
    for number in range(count):
        levels = [0] * count
        levels[number] = 255
        color = shown(draw_for_crop(GRAY, masks(*levels), range(count)))[0, 0]
        distances = [np.abs(color - reference).sum() for reference in REFERENCE_COLORS]
        assert int(np.argmin(distances)) == number


def test_a_reference_that_was_left_out_keeps_its_color_from_the_others() -> None:
    color = shown(draw_for_crop(GRAY, masks(255), [3]))[0, 0]
    assert np.abs(color - REFERENCE_COLORS[3]).max() < 40


def test_the_reference_that_most_was_taken_from_shows() -> None:
    both = draw_for_crop(GRAY, masks(90, 160), [0, 1])
    alone = draw_for_crop(GRAY, masks(0, 160), [0, 1])
    assert np.array_equal(both.indices, alone.indices)


def test_what_was_taken_shows_the_stronger_the_more_it_is() -> None:
    nothing = shown(draw_for_crop(GRAY, masks(0), [0]))[0, 0]
    assert np.ptp(nothing) == 0
    colorful = [int(np.ptp(shown(draw_for_crop(GRAY, masks(level), [0]))[0, 0])) for level in (51, 128, 255)]
    assert 5 < colorful[0] < colorful[1] < colorful[2]


@pytest.mark.parametrize("count", [1, 8])
def test_the_picture_is_recognized_below_the_colors(count: int) -> None:
    face = degraded_face()
    gray = shown(draw_for_crop(face, masks(*[0] * count), range(count)))[..., 0]
    light = face.mean(-1)
    assert np.corrcoef(gray.ravel(), light.ravel())[0, 1] > 0.98
    assert gray.min() >= 64
    assert gray.max() <= 191


def test_a_file_is_a_fraction_of_the_picture_and_holds_it_as_it_is() -> None:
    ramp = np.tile(np.arange(0, 255, 4, dtype=np.uint8), (8, 1))[:, :8]
    picture = draw_for_crop(degraded_face(), np.stack([ramp, 255 - ramp]), [0, 1])
    file = encode_indexed(picture)
    assert file.media_type == "image/png"
    assert np.array_equal(pixels_of(file.data), shown(picture))
    assert len(file.data) < 0.4 * picture.indices.size


def test_a_large_photograph_is_shown_smaller() -> None:
    photograph = np.zeros((300, 2 * selection_picture.LONG_SIDE, 3), np.uint8)
    size = (photograph.shape[1], photograph.shape[0])
    picture = selection_picture.draw_for_photograph(photograph, size, [], [0])
    assert picture.indices.shape == (150, selection_picture.LONG_SIDE)
