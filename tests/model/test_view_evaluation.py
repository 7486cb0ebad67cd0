"""Judging with references from another side, and with several that truly differ."""

from collections.abc import Sequence

import numpy as np
import pytest
from numpy.typing import NDArray
from refstar_model.data.photos import PhotoSet
from refstar_model.evaluation import Extent, Judges, RestoredPicture, Section, evaluate, markdown
from refstar_model.judges.recognition import Recognizer

Pixels = NDArray[np.uint8]
EXTENT = Extent(levels=("severe",), sections=frozenset({Section.VIEWS}))


def mixer(
    low_quality: Pixels, references: Sequence[Pixels], strength: float = 1.0, fidelity: float = 0.5
) -> RestoredPicture:
    """A model that takes half of the mean of its references, and says of each how bright it is."""
    if not references:
        return RestoredPicture(low_quality, np.zeros((0, 1, 1), np.uint8), True)
    mean = np.mean([r.astype(float) for r in references], 0)
    taken = np.full((len(references), 1, 1), 128 // len(references), np.uint8)
    said = np.array([r.mean() / 255 for r in references], np.float32)
    return RestoredPicture((0.5 * low_quality + 0.5 * mean).astype(np.uint8), taken, True, said, said)


def test_references_from_another_side_are_judged_in_both_directions(
    turned: PhotoSet, recognizer: Recognizer
) -> None:
    table, _ = evaluate(mixer, turned, Judges(recognizer), extent=EXTENT)
    groups = table["views"]["severe"]
    assert {name: rows["cases"] for name, rows in groups.items()} == {
        "front, profile reference": 2,
        "front, turned reference": 2,
        "profile, front reference": 2,
        "turned, front reference": 2,
        "turned, turned reference": 4,
        "several": 2,
    }
    front = groups["front, turned reference"]
    assert front["none"]["psnr"] == front["input"]["psnr"]
    assert front["right"]["psnr"] != front["wrong"]["psnr"]
    assert front["right"]["mean_mask"] == pytest.approx(0.5, abs=0.01)
    assert "mean_mask" not in front["none"]
    assert 0 < front["right"]["same_person"] < 1
    assert front["right"]["mistaken"] + front["wrong"]["mistaken"] == 1  # it says the same of everybody
    assert "identity" not in groups["profile, front reference"]["right"]
    text = markdown(table)
    assert "| severe, front, turned reference, 2 cases |" in text
    assert "| severe, several, 2 cases |" in text


def test_several_different_references_are_compared_with_the_best_of_them(
    turned: PhotoSet, recognizer: Recognizer
) -> None:
    table, _ = evaluate(mixer, turned, Judges(recognizer), extent=EXTENT)
    several = table["views"]["severe"]["several"]
    assert several["best"]["identity"] >= several["right"]["identity"]
    assert several["4, reversed"] == pytest.approx(several["4 different"], abs=1e-3)
    assert several["4 + wrong"]["psnr"] != several["4 different"]["psnr"]
    assert several["2 different"]["psnr"] != several["right"]["psnr"]


def test_people_seen_from_one_side_are_no_cases(photos: PhotoSet, recognizer: Recognizer) -> None:
    table, _ = evaluate(mixer, photos, Judges(recognizer), extent=EXTENT)
    assert table["views"] == {}
