"""The contact sheets of degradations."""

from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures import aligned_face
from refstar_model.data.degradation_sheet import draw_sheet


def test_a_sheet_shows_truth_families_and_single_faults(tmp_path: Path) -> None:
    paths = draw_sheet([aligned_face()], tmp_path / "sheets")
    assert [path.name for path in paths] == ["families.png", "families-close.png", "faults.png"]
    whole, _, faults = (cv2.imread(str(path)) for path in paths)
    assert whole.shape[1] == 6 * 256
    truth = cv2.resize(aligned_face(), (256, 256), interpolation=cv2.INTER_AREA)[..., ::-1]
    assert np.array_equal(whole[20:276, :256], truth)
    light, present = (whole[20 + 276 * row : 276 * (row + 1), 256:512].astype(int) for row in (0, 1))
    assert np.abs(light - truth).mean() < np.abs(present - truth).mean()
    rows = np.split(faults, len(faults) // 340)
    assert len(rows) > 25
    for row in rows:  # from the low to the high end something changes
        assert not np.array_equal(row[20:, 320:640], row[20:, 960:])


def test_photographs_of_another_size_are_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="at least one"):
        draw_sheet([], tmp_path)
    with pytest.raises(ValueError, match="not of"):
        draw_sheet([aligned_face()[::2, ::2]], tmp_path)
