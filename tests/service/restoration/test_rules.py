"""The rules that gateway, worker and command line share."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from refstar_service.engine.catalog import Catalog
from refstar_service.engine.manifest import ModelFile, ModelManifest, Ranks
from refstar_service.faces.select import FaceMode
from refstar_service.images import ImageInfo, ImageLimits
from refstar_service.restoration.errors import RequestError
from refstar_service.restoration.knobs import Knobs, ReferenceFace, Stranger
from refstar_service.restoration.report import ReferenceReport
from refstar_service.restoration.rules import (
    ResultPlan,
    check_square,
    choose_model,
    image_limits,
    leave_out_surplus,
    plan_result,
    settle_knobs,
    settle_reference_face,
)
from refstar_service.settings import Settings

ALL_INPUTS = ("low_quality", "features_fine", "reference_weight", "fidelity")
LIMITS = ImageLimits(max_pixels=40_000, max_side=1000)


def model(
    name: str,
    ranks: Ranks = Ranks(),  # noqa: B008  a frozen value
    *,
    references: int = 8,
    needs: bool = False,
    inputs: tuple[str, ...] = ALL_INPUTS,
) -> ModelManifest:
    return ModelManifest(
        name=name,
        version="1",
        system="any",
        license="",
        training_data=(),
        commit="",
        input_size=512,
        precision="",
        max_references=references,
        needs_references=needs,
        graphs={"restore": ModelFile("restore.onnx", "", inputs)},
        quality={},
        limits=(),
        golden={},
        folder=Path(name),
        ranks=ranks,
    )


REFERENCED = model("referenced", Ranks(1, 2))
LONE = model("lone", Ranks(None, 1), references=0, inputs=("low_quality",))
JUDGING = model("judging", inputs=(*ALL_INPUTS, "gate_strength"))
GREEDY = model("greedy", references=2, needs=True)
ALL = (GREEDY, LONE, REFERENCED)
MODELS = Catalog.of(ALL)


@pytest.mark.parametrize(
    ("installed", "references", "chosen"),
    [
        ("greedy lone referenced", 1, "referenced"),
        ("greedy lone referenced", 0, "lone"),
        ("greedy referenced", 0, "referenced"),
        ("greedy lone", 2, "greedy"),
        ("greedy lone", 0, "lone"),
    ],
)
def test_the_default_model_is_the_first_by_rank_that_fits(
    installed: str, references: int, chosen: str
) -> None:
    models = [one for one in ALL if one.name in installed.split()]
    assert choose_model(Catalog.of(models), None, references).name == chosen


@pytest.mark.parametrize(
    ("wanted", "references", "code", "says"),
    [
        ("other", 0, "unknown-model", "No such model: 'other'; installed: greedy, lone, referenced."),
        ("lone", 1, "too-many-references", "The model 'lone' takes no references."),
        ("greedy", 3, "too-many-references", "The model 'greedy' takes at most 2 references, not 3."),
        ("greedy", 0, "references-required", "The model 'greedy' needs at least one reference."),
    ],
)
def test_a_model_that_does_not_fit_is_refused(wanted: str, references: int, code: str, says: str) -> None:
    with pytest.raises(RequestError) as refused:
        choose_model(MODELS, wanted, references)
    assert (refused.value.code, refused.value.detail) == (code, says)


def test_a_person_may_have_more_references_than_a_model_takes() -> None:
    assert choose_model(MODELS, "greedy", 8, people=1) is GREEDY
    with pytest.raises(RequestError, match="takes no references"):
        choose_model(MODELS, "lone", 8, people=1)


def test_a_model_tells_as_many_people_apart_as_it_takes_references() -> None:
    assert choose_model(MODELS, "greedy", 8, people=2) is GREEDY
    with pytest.raises(RequestError, match="at most 2 people apart, not 3") as refused:
        choose_model(MODELS, "greedy", 8, people=3)
    assert (refused.value.parameter, refused.value.limit) == ("person", 2)


def test_one_person_means_the_largest_face_and_several_mean_all() -> None:
    assert settle_knobs({}, 4, REFERENCED, people=1).faces is FaceMode.LARGEST
    assert settle_knobs({}, 4, REFERENCED, people=2).faces is FaceMode.ALL


@pytest.mark.parametrize(
    ("asked", "references", "faces"),
    [
        ({}, 0, FaceMode.ALL),
        ({}, 1, FaceMode.LARGEST),
        ({"boxes": ((1.0, 1.0, 9.0, 9.0),)}, 1, FaceMode.BOXES),
        ({"faces": FaceMode.CENTER}, 1, FaceMode.CENTER),
    ],
)
def test_the_default_of_faces_depends_on_boxes_and_references(
    asked: dict[str, Any], references: int, faces: FaceMode
) -> None:
    assert settle_knobs(asked, references, REFERENCED).faces is faces


@pytest.mark.parametrize(
    ("asked", "wrong"),
    [
        ({"faces": FaceMode.BOXES}, ["faces"]),
        ({"faces": FaceMode.ALL, "boxes": ((1.0, 1.0, 9.0, 9.0),)}, ["faces"]),
        (
            {"faces": FaceMode.ALIGNED, "min_face": 300, "reference_face": ReferenceFace.LARGEST},
            ["min_face", "reference_face"],
        ),
    ],
)
def test_knobs_that_contradict_each_other_are_refused_together(
    asked: dict[str, Any], wrong: list[str]
) -> None:
    with pytest.raises(RequestError) as refused:
        settle_knobs(asked, 0, REFERENCED)
    assert [fault.parameter for fault in refused.value.faults] == wrong


def test_a_knob_that_the_model_lacks_is_refused_unless_at_its_default() -> None:
    assert settle_knobs({"fidelity": 0.5, "reference_strength": 1.0}, 0, LONE).fidelity == 0.5
    with pytest.raises(
        RequestError, match=r"fidelity=0\.2 has no effect on the model 'lone'; leave it out\."
    ):
        settle_knobs({"fidelity": 0.2}, 0, LONE)
    for stranger in (Stranger.REFUSE, Stranger.USE):
        with pytest.raises(
            RequestError, match=f"stranger={stranger} has no effect on the model 'referenced'"
        ):
            settle_knobs({"stranger": stranger}, 1, REFERENCED)
        assert settle_knobs({"stranger": stranger}, 1, JUDGING).stranger is stranger


def test_which_face_of_a_reference_counts_is_settled_when_a_person_is_stored() -> None:
    asked = {"reference_face": ReferenceFace.LARGEST}
    assert settle_reference_face(asked, aligned=False) is ReferenceFace.LARGEST
    with pytest.raises(RequestError, match="not to aligned faces"):
        settle_reference_face(asked, aligned=True)
    with pytest.raises(RequestError, match="when the person was stored"):
        settle_knobs(asked, 1, REFERENCED, people=1)


def test_a_result_is_planned_within_the_limits() -> None:
    info = ImageInfo("png", "image/png", 120, 90, "RGB", 1, 1, False, 8)
    assert plan_result(info, Knobs(FaceMode.ALL, format="jpeg"), 512, LIMITS) == ResultPlan("jpeg", 120, 90)
    assert plan_result(info, Knobs(FaceMode.ALIGNED), 512, LIMITS) == ResultPlan("png", 512, 512)
    with pytest.raises(
        RequestError, match=r"240 x 180 pixels; the limit is 40000 pixels \(max_pixels"
    ) as refused:
        plan_result(info, Knobs(FaceMode.ALL, upscale=2), 512, LIMITS)
    assert (refused.value.code, refused.value.parameter) == ("result-too-large", "upscale")


def test_the_limits_of_a_picture_are_called_by_their_settings() -> None:
    names = asdict(image_limits(Settings()).names)
    assert {name.removeprefix("REFSTAR_").lower() for name in names.values()} <= Settings.model_fields.keys()
    assert {limit: name.replace("_IMAGE", "") for limit, name in names.items()} == {
        limit: f"REFSTAR_{limit.upper()}" for limit in names
    }


def test_an_aligned_face_is_nearly_square() -> None:
    check_square(100, 98, "image")
    with pytest.raises(RequestError, match=r"image: .* has 100 x 97 pixels"):
        check_square(100, 97, "image")


def test_of_more_references_than_a_model_takes_the_sharpest_are_used() -> None:
    sharpness = [0.2, None, 0.9, 0.5]
    reports = [
        ReferenceReport(number, "", None, None, None, sharp, used=number != 4, reason=None)
        for number, sharp in enumerate(sharpness, 1)
    ]
    left = leave_out_surplus(reports, 2)
    assert [one.index for one in left if one.used] == [1, 3]
    assert [one.reason for one in left] == [None, "reference-surplus", None, None]
