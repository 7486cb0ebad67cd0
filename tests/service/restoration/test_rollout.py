"""Who gets a canary, and what is done once more by a shadow."""

from dataclasses import replace

import pytest
from pydantic import ValidationError
from refstar_service.engine.catalog import Catalog
from refstar_service.engine.errors import ModelError
from refstar_service.engine.manifest import ModelManifest, load_manifests
from refstar_service.restoration.errors import RequestError
from refstar_service.restoration.rollout import Rollout
from refstar_service.restoration.rules import check_references
from refstar_service.settings import Settings
from small_model import write_small_model

OWNERS = [f"key-{number}" for number in range(2000)]


@pytest.fixture(scope="module")
def manifests(tmp_path_factory: pytest.TempPathFactory) -> list[ModelManifest]:
    folder = tmp_path_factory.mktemp("models")
    for version in ("1", "2", "3"):
        write_small_model(folder, version, folder=f"v{version}")
    return load_manifests(folder)


def fits(model: ModelManifest) -> None:
    """Anything does."""


def rollout(manifests: list[ModelManifest], **values: str) -> Rollout:
    settings = Settings(**{"default_models": "refstar@2", **values})  # type: ignore[arg-type]
    return Rollout.of(Catalog.of(manifests, settings.listed_default_models, settings.held_back), settings)


def owners_of_canary(canary: Rollout) -> set[str]:
    default = canary.models.find("refstar")
    assert default is not None
    return {one for one in OWNERS if canary.choose(default, one, "job", fits) != default}


def test_a_canary_is_for_its_share_of_owners_and_a_larger_share_takes_none_away(
    manifests: list[ModelManifest],
) -> None:
    five, ten = (owners_of_canary(rollout(manifests, canary=f"refstar@3:{share}")) for share in (5, 10))
    assert 70 <= len(five) <= 130
    assert 150 <= len(ten) <= 250
    assert five < ten
    assert owners_of_canary(rollout(manifests, canary="refstar@3:0")) == set()
    assert owners_of_canary(rollout(manifests, canary="refstar@3:100")) == set(OWNERS)


def test_an_owner_always_gets_the_same_version_and_another_canary_draws_others(
    manifests: list[ModelManifest],
) -> None:
    canary = rollout(manifests, canary="refstar@3:20", default_models="refstar@1")
    assert owners_of_canary(canary) == owners_of_canary(canary)
    other = rollout(manifests, canary="refstar@2:20", default_models="refstar@1")
    assert len(owners_of_canary(canary) & owners_of_canary(other)) < 0.5 * len(owners_of_canary(canary))


def test_in_open_mode_jobs_are_drawn(manifests: list[ModelManifest]) -> None:
    canary = rollout(manifests, canary="refstar@3:50")
    default = canary.models.find("refstar")
    assert default is not None
    chosen = [canary.choose(default, "", f"{number:032x}", fits).version for number in range(200)]
    assert 70 <= chosen.count("3") <= 130
    assert set(chosen) == {"2", "3"}


def test_a_canary_that_cannot_do_what_is_asked_leaves_it_to_the_default(
    manifests: list[ModelManifest],
) -> None:
    lesser = [replace(one, max_references=1) if one.version == "3" else one for one in manifests]
    canary = rollout(lesser, canary="refstar@3:100")
    default = canary.models.find("refstar")
    assert default is not None
    assert canary.choose(default, "ada", "job", lambda model: check_references(model, 2)).version == "2"
    assert canary.choose(default, "ada", "job", lambda model: check_references(model, 1)).version == "3"


def test_a_share_of_jobs_has_a_shadow(manifests: list[ModelManifest]) -> None:
    shadow = rollout(manifests, shadow="refstar@3:25", default_models="refstar@1")
    default = shadow.models.find("refstar")
    assert default is not None
    drawn = [shadow.choose_shadow(default, None, f"job{number}", fits) for number in range(400)]
    assert 70 <= drawn.count("refstar@3") <= 130
    assert set(drawn) == {"", "refstar@3"}


def test_a_shadow_is_asked_for_by_name_or_not_at_all(manifests: list[ModelManifest]) -> None:
    shadow = rollout(manifests, shadow="refstar@3:0", default_models="refstar@1")
    default, itself = shadow.models.find("refstar"), shadow.models.find("refstar@3")
    assert default is not None
    assert itself is not None
    assert shadow.choose_shadow(default, None, "job", fits) == ""
    assert shadow.choose_shadow(default, "refstar@3", "job", fits) == "refstar@3"
    assert shadow.choose_shadow(itself, "refstar@3", "job", fits) == ""
    for wanted in ("refstar@2", "refstar", ""):
        with pytest.raises(
            RequestError, match="is none of the models that do restorations once more"
        ) as refused:
            shadow.choose_shadow(default, wanted, "job", fits)
        assert refused.value.code == "invalid-parameter"


@pytest.mark.parametrize("setting", ["canary", "shadow"])
def test_a_version_that_is_not_installed_is_refused_at_start(
    manifests: list[ModelManifest], setting: str
) -> None:
    with pytest.raises(
        ModelError, match=rf"REFSTAR_{setting.upper()} names refstar@9, .*there are refstar@1, "
    ):
        rollout(manifests, **{setting: "refstar@9:5"})


@pytest.mark.parametrize(
    ("setting", "value", "complaint"),
    [
        ("canary", "refstar:5", "is not NAME@VERSION:PERCENT"),
        ("canary", "refstar@2", "is not NAME@VERSION:PERCENT"),
        ("canary", "refstar@2:101", "100 at most"),
        ("canary", "refstar@2:5,refstar@3:5", "refstar is named twice"),
        ("shadow", "refstar@2:-1", "is not NAME@VERSION:PERCENT"),
        ("default_models", "refstar", "is not NAME@VERSION"),
        ("default_models", "refstar@1, refstar@2", "refstar is named twice"),
    ],
)
def test_a_setting_that_cannot_be_meant_is_refused(setting: str, value: str, complaint: str) -> None:
    with pytest.raises(ValueError, match=complaint):
        Settings(**{setting: value})  # type: ignore[arg-type]


@pytest.mark.parametrize("setting", ["canary", "shadow"])
def test_what_is_tried_needs_a_pinned_default_or_ending_it_would_make_it_one(setting: str) -> None:
    tried = {setting: "refstar@3:5"}
    with pytest.raises(ValidationError, match=f"REFSTAR_{setting.upper()}.* REFSTAR_DEFAULT_MODELS"):
        Settings(**tried, default_models="ented@1")  # type: ignore[arg-type]
    assert Settings(**tried, default_models="ented@1,refstar@2").held_back == {"refstar@3"}  # type: ignore[arg-type]
