from pathlib import Path

import pytest
from pydantic import ValidationError
from refstar_service.settings import PREFIX, Settings, find_unknown_settings
from refstar_service.settings.group import SettingsGroup


@pytest.fixture(autouse=True)
def _bare_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"{PREFIX}{name.upper()}", raising=False)


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_is_explained(name: str) -> None:
    description = Settings.model_fields[name].description
    assert description is not None
    assert description.rstrip().endswith(".")


@pytest.mark.parametrize("name", Settings.model_fields)
def test_every_setting_has_a_default(name: str) -> None:
    assert getattr(Settings(), name, ...) is not ...


def test_no_group_of_settings_hides_what_another_says() -> None:
    """A validator that has the name of another one would silently take its place."""
    groups = [
        group for group in Settings.__mro__ if issubclass(group, SettingsGroup) and group is not SettingsGroup
    ]
    said: dict[str, str] = {}
    for group in groups:
        own = {*group.__annotations__, *(name for name in vars(group) if not name.startswith("__"))}
        for name in own - {"model_config", "_abc_impl"}:
            assert said.setdefault(name, group.__name__) == group.__name__, name
    assert len(groups) == 8
    assert {"port", "store", "_check_pins", "log_json"} <= said.keys()


def test_the_environment_sets_and_arguments_override(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REFSTAR_PORT", "9000")
    monkeypatch.setenv("REFSTAR_BLOBS", "directory")
    monkeypatch.setenv("REFSTAR_MAX_BATCH", "")
    settings = Settings(port=9001)
    assert (settings.port, settings.blobs, settings.max_batch) == (9001, "directory", 8)


def test_data_follows_the_user_and_blobs_follow_the_data(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", "elsewhere")
    assert Settings().data_dir == Path("elsewhere/refstar")
    assert Settings().blob_folder == Path("elsewhere/refstar/blobs")
    assert Settings(blob_dir=Path("there")).blob_folder == Path("there")


def test_a_password_in_the_redis_address_is_not_printed() -> None:
    assert "hunter2" not in repr(Settings(redis_url="redis://:hunter2@cache:6379/0"))


@pytest.mark.parametrize(
    ("values", "complaint"),
    [
        ({"port": "tcp://10.0.0.1:8000"}, "enableServiceLinks"),
        ({"redis_url": "localhost:6379"}, "redis://"),
        ({"max_request_bytes": 10_000_000}, "max_image_bytes"),
        ({"job_ttl": 60, "stale_after": 30}, "stale_after"),
        ({"provider": "gpu"}, "'cuda'"),
        ({"max_images": 3}, "max_images"),
        ({"host_names": "https://faces.example"}, "not a host name"),
        ({"host_names": "*.faces.example"}, "not a host name"),
        ({"cors_origins": "*"}, "wildcards"),
        ({"cors_origins": "https://*.example"}, "not an origin"),
        ({"cors_origins": "https://app.example/"}, "not an origin"),
        ({"webhook_ports": "443,70000"}, "from 1 to 65535"),
        ({"webhook_ports": "9000-8000"}, "from 1 to 65535"),
        ({"webhook_ports": "https"}, "80,443,8000-8999"),
    ],
)
def test_settings_that_cannot_work_are_refused_with_the_reason(
    values: dict[str, object], complaint: str
) -> None:
    with pytest.raises(ValidationError, match=complaint):
        Settings(**values)  # type: ignore[arg-type]


def test_a_misspelled_name_is_noticed() -> None:
    found = find_unknown_settings(
        {
            "REFSTAR_QUEUE_LIMT": "5",
            "REFSTAR_PORT": "1",
            "PATH": "x",
            "REFSTAR_XYZZY": "",
            "REFSTAR_DATA": "x",
        }
    )
    assert found == {"REFSTAR_QUEUE_LIMT": "REFSTAR_QUEUE_LIMIT", "REFSTAR_XYZZY": None}


@pytest.mark.parametrize("url", ["pictures", "https://pictures.s3", "s3://", "s3://Upper/case"])
def test_an_s3_url_that_names_no_bucket_is_refused(url: str) -> None:
    with pytest.raises(ValidationError, match="must be s3://bucket"):
        Settings(s3_url=url)


def test_s3_without_a_bucket_is_refused() -> None:
    with pytest.raises(ValidationError, match="requires s3_url"):
        Settings(blobs="s3")
    assert Settings(blobs="s3", s3_url="s3://pictures/faces").s3_url == "s3://pictures/faces"
