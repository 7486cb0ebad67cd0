"""`refstar settings` and docs/settings.md say the same as the code."""

import json
from pathlib import Path

import pytest
from refstar_service.app import cli, setting_list
from refstar_service.settings import PREFIX, Settings

DOCUMENT = Path(__file__).parents[2] / "docs" / "settings.md"


def test_the_document_is_what_the_code_says() -> None:
    again = "python -m refstar_service.app.setting_list > docs/settings.md"
    assert DOCUMENT.read_text() == setting_list.write_markdown(), f"make it again: {again}"


def test_every_setting_is_there_with_kind_default_and_section() -> None:
    entries = list(setting_list.list_settings())
    assert [e.variable for e in entries] == [f"{PREFIX}{name.upper()}" for name in Settings.model_fields]
    assert all(e.section and e.kind and e.default for e in entries)
    by_name = {e.variable: e for e in entries}
    assert by_name["REFSTAR_PORT"].kind == "integer, at least 0, at most 65,535"
    assert by_name["REFSTAR_PROVIDER"].kind == "one of `cpu`, `cuda`, `tensorrt`"
    assert by_name["REFSTAR_MODELS_DIR"].default == "the models of the package"


def test_the_command_shows_what_is_in_force_but_no_secret(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REFSTAR_PORT", "9001")
    monkeypatch.setenv("REFSTAR_REDIS_URL", "redis://:hunter2@cache:6379/0")
    assert cli.run(["settings"]) == 0
    said = capsys.readouterr().out
    assert "REFSTAR_PORT = 9001\n" in said
    assert "REFSTAR_JOB_TTL = 86400  (default)" in said
    assert "REFSTAR_REDIS_URL = set, not shown" in said
    assert cli.run(["settings", "--json"]) == 0
    out = capsys.readouterr().out
    assert {row["variable"]: row["value"] for row in json.loads(out)}["REFSTAR_PORT"] == 9001
    assert "hunter2" not in said + out
