"""Versions of models side by side, and which of them a plain name means."""

import json
import random
from pathlib import Path

import pytest
from refstar_service.engine.catalog import Catalog, order
from refstar_service.engine.errors import ModelError
from refstar_service.engine.manifest import load_manifest, load_manifests
from small_model import write_small_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """refstar in three versions."""
    for version in ("0.9.0", "0.10.0", "0.3.3"):
        write_small_model(tmp_path, version, folder=f"refstar-{version}")
    return tmp_path


def test_versions_ascend_as_semantic_versioning_has_it() -> None:
    ascending = [
        "0.3.3",
        "0.9.0",
        "0.10.0-alpha",
        "0.10.0-rc.1",
        "0.10.0",
        "0.10.0.1",
        "1",
        "1.0",
        "2024-x",
        "2024",
    ]
    random.Random(7).shuffle(shuffled := list(ascending))
    assert sorted(shuffled, key=order) == ascending


def test_the_plain_name_means_the_highest_version(folder: Path) -> None:
    catalog = Catalog.of(load_manifests(folder))
    found = catalog.find("refstar")
    assert found is not None
    assert found.full_name == "refstar@0.10.0"
    assert [one.version for one in catalog.all_versions] == ["0.10.0", "0.9.0", "0.3.3"]
    assert [one.version for one in catalog.default_versions] == ["0.10.0"]


def test_a_version_that_is_held_back_is_not_the_default_by_itself(folder: Path) -> None:
    manifests = load_manifests(folder)
    assert Catalog.of(manifests, held_back={"refstar@0.10.0"}).defaults == {"refstar": "refstar@0.9.0"}
    alone = [one for one in manifests if one.version == "0.10.0"]
    assert Catalog.of(alone, held_back={"refstar@0.10.0"}).defaults == {"refstar": "refstar@0.10.0"}


def test_a_default_that_is_set_is_the_one(folder: Path) -> None:
    catalog = Catalog.of(load_manifests(folder), ["refstar@0.3.3"])
    assert catalog.defaults == {"refstar": "refstar@0.3.3"}
    assert [one.version for one in catalog.versions.values() if catalog.is_default(one)] == ["0.3.3"]


def test_a_default_that_is_not_installed_is_refused_with_what_there_is(folder: Path) -> None:
    with pytest.raises(
        ModelError, match=r"REFSTAR_DEFAULT_MODELS names refstar@7, .*there are refstar@0\.10\.0, "
    ):
        Catalog.of(load_manifests(folder), ["refstar@7"])


def test_a_name_with_a_version_finds_that_version(folder: Path) -> None:
    catalog = Catalog.of(load_manifests(folder))
    found = catalog.find("refstar@0.3.3")
    assert found is not None
    assert found.version == "0.3.3"
    assert catalog.find("refstar@1") is None
    assert catalog.find("family") is None
    assert catalog.names == {"refstar", "refstar@0.3.3", "refstar@0.9.0", "refstar@0.10.0"}


@pytest.mark.parametrize(
    ("field", "value"), [("name", "a@b"), ("name", ""), ("version", "1:2"), ("version", "1,2")]
)
def test_a_name_or_version_that_settings_could_not_spell_is_refused(
    folder: Path, field: str, value: str
) -> None:
    path = folder / "refstar-0.9.0" / "model.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {field: value}))
    with pytest.raises(ModelError, match=f"`{field}` is '{value}'; .*--{field}"):
        load_manifest(path.parent)
