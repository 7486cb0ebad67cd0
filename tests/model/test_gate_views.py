"""Who references show, judged by the sides that two photographs show."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import refstar_service
from numpy.typing import NDArray
from refstar_model.data.photos import PhotoSet
from refstar_model.evaluation import (
    Extent,
    FolderModel,
    Judges,
    RestoredPicture,
    Section,
    evaluate,
    markdown,
)
from refstar_model.evaluation.bars import bars
from refstar_model.evaluation.cases import picture
from refstar_model.evaluation.gate_views import judge_gate_views
from refstar_model.evaluation.lone_cases import degraded_case
from refstar_model.export import golden
from refstar_model.export.gate_graph import GateGraph, open_gate

Pixels = NDArray[np.uint8]
ZOO = Path(refstar_service.__file__).parent / "zoo"
ONLY_GATE = Extent(levels=("severe",), sections=frozenset({Section.GATE}), cases=1)


class KnowingGate(GateGraph):
    """One that knows everybody, but takes all who are seen in profile for one person."""

    def __init__(self, photos: PhotoSet) -> None:
        self.shown = {picture(photos, p.file).tobytes(): p for p in photos.photos}
        self.seen = {
            degraded_case(photos, p, "severe", ONLY_GATE.seed).low_quality.tobytes(): p for p in photos.photos
        }

    def encode(self, reference: Pixels) -> list[NDArray[np.uint8]]:
        return [reference]

    def compare(
        self, low_quality: Pixels, references: Sequence[Sequence[NDArray[np.uint8]]]
    ) -> NDArray[np.float32]:
        face = self.seen[low_quality.tobytes()]
        others = [self.shown[reference.tobytes()] for [reference] in references]
        same = [face.person == o.person or face.kind is o.kind is o.kind.PROFILE for o in others]
        return np.where(same, 0.9, 0.2).astype(np.float32)


def say_nothing(low_quality: Pixels, *_: object) -> RestoredPicture:
    return RestoredPicture(low_quality, np.zeros((0, 1, 1), np.uint8), True)


def test_every_side_is_compared_with_every_other(turned: PhotoSet) -> None:
    groups = judge_gate_views(KnowingGate(turned), turned, ("severe",), ONLY_GATE.seed)["severe"]
    # Of each of two people: one frontal photograph, four turned ones and a profile.
    assert {name: (rows["pairs"], rows["strangers"]) for name, rows in groups.items()} == {
        "front, turned reference": (8, 8),
        "front, profile reference": (2, 2),
        "turned, front reference": (8, 8),
        "turned, turned reference": (24, 32),
        "turned, profile reference": (8, 8),
        "profile, front reference": (2, 2),
        "profile, turned reference": (8, 8),
    }
    judged = {bar.name: bar.value for bar in bars({"gate_views": {"severe": groups}})}
    assert judged == {
        "up to three quarters: right ones refused": 0,
        "up to three quarters: strangers let in": 0,
        "with a profile: right ones refused": 0,
        "with a profile: strangers let in": 0,
    }
    assert groups["turned, turned reference"] == pytest.approx(
        {"pairs": 24, "strangers": 32, "area": 1, "right": 0.9, "wrong": 0.2, "refused": 0, "let_in": 0}
    )


def test_a_gate_that_takes_strangers_for_the_person_is_found_out(turned: PhotoSet) -> None:
    everybody = replace(turned, photos=tuple(replace(p, yaw=0.9) for p in turned.photos))
    groups = judge_gate_views(KnowingGate(everybody), everybody, ("severe",), ONLY_GATE.seed)["severe"]
    assert groups["profile, profile reference"] == pytest.approx(
        {"pairs": 60, "strangers": 72, "area": 0.5, "right": 0.9, "wrong": 0.9, "refused": 0, "let_in": 1}
    )
    refused, let_in = bars({"gate_views": {"severe": groups}})
    assert (refused.met, refused.value) == (True, 0)
    assert (let_in.met, let_in.value) == (False, 1)


def test_it_is_part_of_the_evaluation_where_the_gate_can_be_asked_alone(photos: PhotoSet) -> None:
    table, _ = evaluate(say_nothing, photos, Judges(), extent=ONLY_GATE, gate=KnowingGate(photos))
    assert table["gate_views"]["severe"]["front, front reference"]["pairs"] == 4
    assert "| severe, who references show, by side | pairs |" in markdown(table)
    table, _ = evaluate(say_nothing, photos, Judges(), extent=ONLY_GATE)
    assert "gate_views" not in table


@pytest.mark.parametrize("precision", ["fp32", "fp16"])
def test_the_gate_alone_says_what_the_whole_model_says(tiny_folder: Path, precision: str) -> None:
    model, gate = FolderModel(tiny_folder, precision=precision), open_gate(tiny_folder, precision)
    assert gate is not None
    face = golden.golden_picture(128)
    references = [np.roll(face, 16 * i, (0, 1)) for i in range(3)]
    said = gate.compare(face, [gate.encode(reference) for reference in references])
    whole = model(face, references).same_person
    assert whole is not None
    assert 0 < whole.min() < whole.max() < 1
    assert np.abs(said - whole).max() < 1e-3


def test_a_model_without_references_has_no_gate() -> None:
    assert open_gate(ZOO / "ganprior") is None
    assert open_gate(ZOO / "refstar") is not None
