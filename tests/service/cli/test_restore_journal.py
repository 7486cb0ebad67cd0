"""A run of `refstar restore` that was interrupted goes on: its journal."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from inverting_restore import is_inverted, names, picture, restore
from pictures import file_of
from refstar_service.app.restore import run as restore_run


@pytest.fixture
def restored(monkeypatch: pytest.MonkeyPatch) -> Callable[[], list[str]]:
    """Which pictures were read since it was last asked; after `b.png` the run is interrupted, once."""
    seen: list[str] = []
    read, left = restore_run._read, ["b.png"]

    def note(path: Path, *arguments: object) -> object:
        seen.append(path.name)
        if path.name in left:
            left.remove(path.name)
            raise KeyboardInterrupt
        return read(path, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(restore_run, "_read", note)

    def take() -> list[str]:
        taken = seen[:]
        seen.clear()
        return taken

    return take


def test_a_folder_goes_on_where_it_was_interrupted(
    place: Path, restored: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    command = ("in", "-o", "out", "--report", "report.json")
    assert restore(*command) == 130
    assert "the same command goes on where this one was" in capsys.readouterr().err
    assert restored() == ["a.png", "b.png"]
    assert [line["input"] for line in json.loads((place / "report.json").read_text())] == ["in/a.png"]
    assert restore(*command) == 0
    assert restored() == ["b.png", "c.png"]
    said = capsys.readouterr().err
    assert "1 of 3 were done by an earlier run" in said
    assert "3 restored, 0 failed" in said
    report = json.loads((place / "report.json").read_text())
    assert [(line["output"], line["status"]) for line in report] == [
        (f"out/{name}.png", "restored") for name in "abc"
    ]
    assert restore(*command) == 0
    assert restored() == []


def test_what_is_not_the_same_any_more_is_done_again(
    place: Path, restored: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore("in", "-o", "out") == 130
    assert restore("in", "-o", "out") == 0
    restored()
    (place / "out" / "a.png").unlink()
    assert restore("in", "-o", "out") == 0
    assert restored() == ["a.png"]
    (place / "in" / "b.png").write_bytes(file_of(picture(30)))
    assert restore("in", "-o", "out") == 1
    assert "b.png: failed: output-exists" in capsys.readouterr().err
    assert restore("in", "-o", "out", "--overwrite") == 0
    assert restored() == ["b.png", "b.png"]
    assert is_inverted(place / "out" / "b.png", 30)
    assert restore("in", "-o", "out", "--upscale", "2", "--overwrite") == 0
    assert restored() == ["a.png", "b.png", "c.png"]
    (place / "out" / "c.png").write_bytes(b"retouched by hand")
    assert restore("in", "-o", "out", "--upscale", "2") == 1
    assert (place / "out" / "c.png").read_bytes() == b"retouched by hand"


def test_what_failed_is_tried_again_where_that_is_asked_for(
    place: Path, restored: Callable[[], list[str]]
) -> None:
    (place / "in" / "b.png").write_bytes(b"not a picture")
    assert restore("in", "-o", "out") == 130
    assert restore("in", "-o", "out") == 1
    restored()
    assert restore("in", "-o", "out") == 1
    assert restored() == []
    assert restore("in", "-o", "out", "--retry-failed") == 1
    assert restored() == ["b.png"]


def test_existing_results_are_skipped_without_a_journal(
    place: Path, restored: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore("in", "-o", "out") == 130
    assert restore("in", "-o", "out", "--journal", "elsewhere.jsonl", "--skip-existing") == 0
    assert "2 restored, 0 failed, 1 skipped" in capsys.readouterr().err
    assert names(place / "out") == ["a.png", "b.png", "c.png"]


def test_a_line_of_the_journal_that_was_cut_off_does_not_count(
    place: Path, restored: Callable[[], list[str]], capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore("in", "-o", "out") == 130
    journal = place / "out" / "refstar-restore.jsonl"
    journal.write_bytes(journal.read_bytes()[:-9])
    (place / "out" / "a.png").unlink()
    assert restore("in", "-o", "out") == 0
    assert restore("in", "-o", "out") == 0
    assert "3 of 3 were done by an earlier run" in capsys.readouterr().err


@pytest.mark.parametrize("there", [True, False])
def test_a_run_that_is_killed_as_it_writes_goes_on_as_well(
    place: Path, monkeypatch: pytest.MonkeyPatch, there: bool
) -> None:
    link, left = os.link, ["b.png"]

    def interrupt(part: Path, path: Path) -> None:
        if there or path.name not in left:
            link(part, path)
        if path.name in left:
            left.clear()
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "link", interrupt)
    assert restore("in", "-o", "out") == 130
    assert (place / "out" / "b.png").exists() is there
    assert restore("in", "-o", "out") == 0
    assert names(place / "out") == ["a.png", "b.png", "c.png"]


@pytest.mark.parametrize("text", ["something else\n", '{"refstar-journal":1,"nonce":"x"}\n'])
def test_a_file_that_is_no_journal_is_left_alone(
    place: Path, capsys: pytest.CaptureFixture[str], text: str
) -> None:
    (place / "mine.txt").write_text(text)
    assert restore("in", "-o", "out", "--journal", "mine.txt") == 1
    assert "name another file with --journal" in capsys.readouterr().err
    assert (place / "mine.txt").read_text() == text


def test_two_runs_do_not_share_a_journal(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with restore_run.Journal(place / "out" / "refstar-restore.jsonl"):
        assert restore("in", "-o", "out") == 1
    assert "another run writes out/refstar-restore.jsonl" in capsys.readouterr().err
