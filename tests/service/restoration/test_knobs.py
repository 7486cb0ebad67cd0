"""Knobs: declared once, read from text, written into jobs."""

import json
from dataclasses import asdict

import pytest
from pydantic import TypeAdapter
from refstar_service.faces.select import FaceMode
from refstar_service.restoration.knobs import KNOBS, Knobs, ReferenceFace


@pytest.mark.parametrize(
    ("name", "text", "value"),
    [
        ("faces", "aligned", FaceMode.ALIGNED),
        ("boxes", "[[1, 2, 3.5, 4]]", ((1.0, 2.0, 3.5, 4.0),)),
        ("min_face", "512", 512),
        ("upscale", "4", 4),
        ("reference_face", "largest", ReferenceFace.LARGEST),
        ("fidelity", "0", 0.0),
        ("fidelity", "1.", 1.0),
        ("fidelity", "5e-1", 0.5),
        ("reference_strength", ".25", 0.25),
        ("format", "jpeg", "jpeg"),
        ("quality", "+1", 1),
        ("keep_location", "True", True),
        ("keep_location", "off", False),
    ],
)
def test_a_text_is_read_as_its_value(name: str, text: str, value: object) -> None:
    assert KNOBS[name].parse(text) == value


@pytest.mark.parametrize(
    ("name", "text", "reason"),
    [
        ("faces", "biggest", "must be all, largest, center, boxes or aligned"),
        ("min_face", "15", "must be a whole number from 16 to 512"),
        ("min_face", "24.0", "must be a whole number from 16 to 512"),
        ("min_face", "9" * 5000, "must be a whole number from 16 to 512"),
        ("min_face", "²4", "must be a whole number from 16 to 512"),
        ("upscale", "3", "must be 1, 2 or 4"),
        ("fidelity", "a", "must be a number from 0 to 1"),
        ("fidelity", "1.01", "must be a number from 0 to 1"),
        ("fidelity", "nan", "must be a number from 0 to 1"),
        ("fidelity", "1_0e-1", "must be a number from 0 to 1"),
        ("keep_location", "perhaps", "must be true or false"),
        (
            "boxes",
            "[[1, 1, 0, 5]]",
            "must be a JSON list of 1 to 32 boxes [x, y, width, height]; box 1 has no area",
        ),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_wanted(name: str, text: str, reason: str) -> None:
    with pytest.raises(ValueError) as refused:
        KNOBS[name].parse(text)
    shown = "" if name == "boxes" else f", not {text[:80]!r}"
    assert str(refused.value) == reason + shown


def test_every_default_is_a_value_that_may_be_asked_for() -> None:
    for knob in KNOBS.values():
        if knob.default not in (None, ()):
            assert knob.parse(str(knob.default)) == knob.default


def test_knobs_survive_json() -> None:
    knobs = Knobs(FaceMode.BOXES, boxes=((1.0, 2.0, 3.0, 4.0),), reference_face=ReferenceFace.LARGEST)
    assert TypeAdapter(Knobs).validate_json(json.dumps(asdict(knobs))) == knobs
