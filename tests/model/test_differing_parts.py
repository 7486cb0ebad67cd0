"""What is taken of parts that differ between a face and its reference."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import cv2
import numpy as np
import pytest
from mesh_points import drawn_points
from numpy.typing import NDArray
from refstar_model.data.checked_masks import CheckedPair
from refstar_model.data.face_parts import Part
from refstar_model.data.photos import PhotoSet
from refstar_model.evaluation import Extent, Judges, RestoredPicture, Section, Sheets, evaluate, markdown
from refstar_model.evaluation.differing_parts import judge_differing_parts
from refstar_model.judges.landmarks import FaceMesh

Pixels = NDArray[np.uint8]


class DrawnMesh:
    """Says of every picture that it shows the drawn face."""

    def points(self, picture: Pixels) -> NDArray[np.float32]:
        assert picture.shape == (256, 256, 3)
        return drawn_points().astype(np.float32)


MESH = cast(FaceMesh, DrawnMesh())


def take_lower_half(
    low_quality: Pixels, references: Sequence[Pixels], strength: float = 1.0, fidelity: float = 0.5
) -> RestoredPicture:
    picture, taken = low_quality.copy(), np.zeros((len(references), 64, 64), np.uint8)
    for reference in references:
        picture[300:] = reference[300:]
        taken[0, 38:] = 255
    return RestoredPicture(picture, taken, True)


def checked(**changed: Any) -> CheckedPair:
    none: frozenset[Part] = frozenset()
    given = {"split": "val", "truth": "p5_0.png", "reference": "p5_1.png", "leave": none, "unsure": none}
    return CheckedPair(**(given | {"background_unsure": True, "polygons": ()} | changed))


def test_masks_and_gains_are_told_apart_by_part_and_verdict(photos: PhotoSet, tmp_path: Path) -> None:
    pairs = (
        checked(leave=frozenset({Part.BEARD}), unsure=frozenset({Part.MOUTH})),
        checked(split="train", truth="p1_0.png", reference="p1_1.png"),
        checked(truth="nobody.png"),
    )
    sheets = Sheets(tmp_path)
    table = judge_differing_parts(take_lower_half, photos, MESH, ("severe",), 7, pairs, sheets.show)
    sheets.close()
    rows = table["severe"]
    assert rows["beard, val people, differ"]["cases"] == 2  # both ways
    assert rows["beard, val people, differ"]["mean_mask"] > 0.85
    assert rows["beard, train people, agree"]["cases"] == 2
    assert rows["eyes, val people, agree"] == {"cases": 2, "mean_mask": 0.0, "gain": 0.0}
    assert rows["beard, val people, differ"]["gain"] != 0
    assert not any(name.startswith("mouth, val") for name in rows)
    assert "eyes, val people, differ" not in rows
    sheet = cv2.imread(str(tmp_path / "parts-severe-val-people-0.png"))
    assert sheet is not None
    assert sheet.shape[1] == 6 * 256


def test_what_was_taken_is_a_section_of_the_report(photos: PhotoSet, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        "refstar_model.evaluation.differing_parts.load_checked",
        lambda split: [checked(leave=frozenset({Part.GLASSES}))] if split == "val" else [],
    )
    extent = Extent(levels=("moderate",), sections=frozenset({Section.PARTS}))
    table, _ = evaluate(take_lower_half, photos, Judges(mesh=MESH), extent=extent)
    assert "| glasses, val people, differ | 2 |" in markdown(table)
    blind, _ = evaluate(take_lower_half, photos, Judges(), extent=extent)
    assert "parts" not in blind
