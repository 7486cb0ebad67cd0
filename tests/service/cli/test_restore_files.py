"""`refstar restore` loses nothing: names, folders, runs that go on. The model inverts, so that results tell."""

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from inverting_restore import is_inverted, names, picture, restore
from pictures import file_of
from refstar_service.app.restore import run as restore_run
from refstar_service.app.restore.targets import write_file


def test_what_follows_a_point_is_a_suffix_only_if_it_is_one_of_a_picture(place: Path) -> None:
    (place / "scan.png").write_bytes(file_of(picture()))
    assert restore("scan.png", "-o", "grandma.1938", "--format", "jpeg") == 0
    assert is_inverted(place / "grandma.1938.jpg")
    assert not is_inverted(place / "grandma.jpg")
    assert restore("scan.png", "-o", "Mr. Smith") == 0
    assert is_inverted(place / "Mr. Smith.png")


def test_nothing_is_overwritten_unless_that_is_asked_for(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "out.jpg").write_bytes(b"precious")
    assert restore("grandma.jpg", "-o", "out.jpg") == 1
    assert "output-exists: out.jpg exists; --overwrite replaces it" in capsys.readouterr().err
    assert restore("grandma.jpg", "-o", "out.jpg", "--skip-existing") == 0
    assert "skipped: out.jpg exists" in capsys.readouterr().err
    for flag in ("--report", "--selection"):
        assert restore("grandma.jpg", "-o", "new.jpg", flag, "out.jpg") == 1
        assert f"{flag} out.jpg exists: choose another name, or --overwrite" in capsys.readouterr().err
    assert (place / "out.jpg").read_bytes() == b"precious"
    assert restore("grandma.jpg", "-o", "out.jpg", "--overwrite") == 0
    assert is_inverted(place / "out.jpg")


def test_an_original_is_not_overwritten_even_then(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert restore("grandma.jpg", "-o", "grandma.jpg", "--overwrite") == 1
    assert "--output grandma.jpg is also an input" in capsys.readouterr().err
    assert not is_inverted(place / "grandma.jpg")


@pytest.mark.parametrize("links", [True, False])
def test_a_name_that_was_free_a_moment_ago_is_not_overwritten(
    place: Path, monkeypatch: pytest.MonkeyPatch, links: bool
) -> None:
    def refuse(*arguments: object) -> None:
        raise OSError(errno.EPERM, "no hard links on this disk")

    if not links:
        monkeypatch.setattr(os, "link", refuse)
    write_file(place / "x", b"first", overwrite=False)
    with pytest.raises(FileExistsError):
        write_file(place / "x", b"second", overwrite=False)
    assert (place / "x").read_bytes() == b"first"
    write_file(place / "x", b"third", overwrite=True)
    assert (place / "x").read_bytes() == b"third"
    assert not list(place.glob(".refstar-*"))


def test_a_name_with_a_slash_behind_it_is_a_folder(place: Path) -> None:
    assert restore("grandma.jpg", "-o", "results/") == 0
    assert is_inverted(place / "results" / "grandma.jpg")
    assert restore("in/a.png", "-o", "results") == 0  # it exists now
    assert is_inverted(place / "results" / "a.png")


def test_a_dash_is_standard_output(place: Path) -> None:
    command = [sys.executable, "-m", "refstar_service.app.cli", "restore", "--faces", "aligned", "in/a.png"]
    done = subprocess.run([*command, "-o", "-", "--format", "jpeg"], capture_output=True, check=True)
    assert done.stdout.startswith(b"\xff\xd8")
    (place / "out.jpg").write_bytes(done.stdout)
    assert is_inverted(place / "out.jpg")
    assert b"1 of 1 face restored" in done.stderr
    assert names(place) == ["grandma.jpg", "in/a.png", "in/b.png", "in/c.png", "out.jpg"]


def test_names_that_are_not_utf_8_are_kept_and_shown(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    raw = os.fsencode(place / "in") + b"/grandm\xe8re.png"
    Path(os.fsdecode(raw)).write_bytes(file_of(picture(5)))
    broken = os.fsencode(place / "in") + b"/caf\xe9.png"
    Path(os.fsdecode(broken)).write_bytes(b"nothing")
    assert restore("in", "-o", "out", "--report", "report.json", "--json") == 1
    assert is_inverted(Path(os.fsdecode(os.fsencode(place / "out") + b"/grandm\xe8re.png")), 5)
    said = capsys.readouterr()
    assert r"grandm\xe8re.png: 1 of 1 face restored" in said.err
    report = json.loads((place / "report.json").read_bytes().decode())
    assert {line["input"] for line in report} >= {r"in/grandm\xe8re.png", r"in/caf\xe9.png"}
    assert [json.loads(line) for line in said.out.splitlines()] == report
    assert restore("in", "-o", "out") == 1
    assert "5 of 5 were done by an earlier run" in capsys.readouterr().err


def test_folders_in_a_folder_are_restored_where_that_is_asked_for(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "in" / "1938" / "may").mkdir(parents=True)
    (place / "in" / "1938" / "may" / "a.png").write_bytes(file_of(picture(9)))
    (place / "in" / "loop").symlink_to(place / "in")
    assert restore("in", "-o", "in/out") == 0
    said = capsys.readouterr().err
    assert "passed over: in/1938: a folder; --recursive restores what is in it" in said
    assert names(place / "in" / "out") == ["a.png", "b.png", "c.png"]
    assert restore("in", "-o", "in/out", "--recursive") == 0
    said = capsys.readouterr().err
    assert "passed over: in/loop: a link to a folder" in said
    assert "passed over: in/out: a folder for results" in said
    assert "4 restored, 0 failed, 2 passed over" in said
    assert names(place / "in" / "out") == ["1938/may/a.png", "a.png", "b.png", "c.png"]
    assert is_inverted(place / "in" / "out" / "1938" / "may" / "a.png", 9)


def test_everything_that_is_passed_over_is_named(place: Path, capsys: pytest.CaptureFixture[str]) -> None:
    inside = place / "in"
    for name in ("x.jfif", "y.jpe", "Z.JPG"):
        (inside / name).write_bytes(file_of(picture(), ".jpg"))
    for name in ("._a.png", "notes.txt", "Thumbs.db"):
        (inside / name).write_bytes(b"something")
    (inside / "gone.png").symlink_to(inside / "nowhere")
    os.mkfifo(inside / "pipe.png")
    assert restore("in", "-o", "out", "--report", "report.json") == 0
    said = capsys.readouterr().err
    over = {
        "in/notes.txt": "not a picture by its name",
        "in/Thumbs.db": "not a picture by its name",
        "in/gone.png": "a link to nothing",
        "in/pipe.png": "not a file",
    }
    for path, reason in over.items():
        assert f"passed over: {path}: {reason}\n" in said
    assert "._a.png" not in said
    assert names(place / "out") == ["Z.JPG", "a.png", "b.png", "c.png", "x.jfif", "y.jpe"]
    lines = json.loads((place / "report.json").read_text())
    assert {line["input"]: line["reason"] for line in lines if line["status"] == "passed-over"} == over
    assert sum(line["status"] == "restored" for line in lines) == 6


def test_a_folder_that_nobody_may_read_is_a_failure(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    (place / "in" / "locked").mkdir()
    scan = os.scandir

    def refuse(path: Path) -> object:
        if Path(path).name == "locked":
            raise PermissionError(errno.EACCES, "Permission denied", str(path))
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)  # those who test may be root
    assert restore("in", "-o", "out", "--recursive") == 1
    said = capsys.readouterr().err
    assert "in/locked: failed: file-error: " in said
    assert "3 restored, 1 failed (1 file-error), " in said


def test_a_result_of_another_type_keeps_the_name_of_its_picture(place: Path) -> None:
    (place / "in" / "a.bmp").write_bytes(file_of(picture(), ".bmp"))
    (place / "in" / "a.png.jpg").write_bytes(file_of(picture(), ".jpg"))
    assert restore("in", "-o", "out", "--format", "jpeg") == 0
    assert names(place / "out") == ["a.bmp.jpg", "a.png.jpg", "a.png.jpg.jpg", "b.png.jpg", "c.png.jpg"]


def test_a_full_disk_ends_the_run(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def refuse(*arguments: object, **more: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(restore_run, "write_file", refuse)
    assert restore("in", "-o", "out") == 1
    said = capsys.readouterr().err
    assert "results cannot be written: [Errno 28] No space left on device" in said
    assert "the same command goes on" in said
    assert "[2/3]" not in said


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["--max-image-bytes", "1024"], "bytes; the limit is 1024 (--max-image-bytes)."),
        (["--max-image-pixels", "4095"], "64 x 64 pixels; the limit is 4095 pixels (--max-image-pixels)."),
        (["--max-image-side", "63"], "the limit is 63 pixels per side (--max-image-side)."),
        (["--min-image-side", "65"], "each side must have at least 65 pixels (--min-image-side)."),
        (
            ["--max-image-pixels", "5000", "--upscale", "2"],
            "would have 128 x 128 pixels; the limit is 5000 pixels (--max-image-pixels).",
        ),
    ],
)
def test_a_limit_is_named_by_the_option_that_changes_it(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    noisy = np.random.default_rng(1).integers(0, 255, (64, 64, 3), dtype=np.uint8)
    (place / "noisy.png").write_bytes(file_of(noisy))
    assert restore("noisy.png", "-o", "out.png", *arguments) == 1
    assert says in capsys.readouterr().err


def test_a_scan_may_be_larger_than_what_somebody_sends(
    place: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    scan = file_of(picture(), ".png") + bytes(105_000_000)
    (place / "scan.png").write_bytes(scan)
    assert restore("scan.png", "-o", "out.png") == 0
    monkeypatch.setenv("REFSTAR_MAX_IMAGE_BYTES", "20000000")
    assert restore("scan.png", "-o", "other.png") == 1
    assert "the limit is 20000000 (--max-image-bytes)" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["in", "-o", "-"], "-o - works for a single picture"),
        (["grandma.jpg", "-o", "-", "--json"], "would both write to standard output"),
        (["grandma.jpg", "-o", "grandma.jpg/"], "grandma.jpg is a file; the results need a folder"),
        (["grandma.jpg", "-o", "x.jpg", "--recursive"], "are for folders, not for grandma.jpg"),
        (["empty", "-o", "out"], "empty contains no picture"),
        (["nested", "-o", "out"], "--recursive looks into its folders too"),
    ],
)
def test_what_cannot_be_meant_is_said(
    place: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], says: str
) -> None:
    (place / "empty").mkdir()
    (place / "nested" / "deeper").mkdir(parents=True)
    before = names(place)
    assert restore(*arguments) == 1
    assert says in capsys.readouterr().err
    assert names(place) == before
