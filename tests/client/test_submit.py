"""`refstar-client submit` and `refstar submit`: many photographs, each of them once."""

import csv
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from pictures import degraded_face, file_of
from refstar_client import Client
from refstar_client.cli import main
from refstar_client.submit.command import JOURNAL
from refstar_client.submit.plan import SUFFIXES
from refstar_service.app.cli import run as run_service_command
from refstar_service.app.restore import sources
from scripted_service import Answer, Script, problem


def submit(*arguments: str | Path) -> int:
    with pytest.raises(SystemExit) as ended:
        main(["submit", *map(str, arguments)])
    assert isinstance(ended.value.code, int)
    return ended.value.code


def journal_lines(output: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (output / JOURNAL).read_text().splitlines()][1:]


def files_in(folder: Path) -> list[str]:
    return sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())


@pytest.fixture
def scans(tmp_path: Path) -> Path:
    """Three pictures in two folders, one damaged, and what is no picture."""
    scans = tmp_path / "scans"
    for number, name in enumerate(("a.png", "b.jpg", "1930/a.png")):
        (scans / name).parent.mkdir(parents=True, exist_ok=True)
        (scans / name).write_bytes(file_of(degraded_face(seed=number), (scans / name).suffix))
    (scans / "damaged.png").write_bytes(file_of(degraded_face())[:900])
    (scans / "notes.txt").write_text("Granny, 1930")
    (scans / ".hidden.png").write_bytes(b"")
    return scans


def test_a_folder_is_restored_with_its_folders_and_reported(
    scans: Path, tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    out, report = tmp_path / "out", tmp_path / "report.csv"
    code = submit(scans, "--to", url, "-o", out, "--option", "faces=aligned", "--report", report)
    assert code == 1  # one is damaged
    assert files_in(out) == ["1930/a.png", "a.png", "b.jpg", JOURNAL]
    assert (out / "b.jpg").read_bytes().startswith(b"\xff\xd8")
    with report.open(newline="") as file:
        rows = {Path(row["photograph"]).name: row for row in csv.DictReader(file)}
    assert rows["damaged.png"]["status"] == "refused"
    assert rows["damaged.png"]["error"] == "image-truncated"
    assert (rows["b.jpg"]["status"], rows["b.jpg"]["faces"], rows["b.jpg"]["restored"]) == (
        "succeeded",
        "1",
        "1",
    )
    told = capsys.readouterr().err
    assert "damaged.png: image-truncated" in told
    assert "4 of 4, 1 failed, 0 under way" in told


def test_a_second_run_does_only_what_is_not_done(scans: Path, tmp_path: Path, url: str) -> None:
    out = tmp_path / "out"
    arguments = (scans, "--to", url, "-o", out, "--option", "faces=aligned")
    submit(*arguments)
    before = journal_lines(out)
    submit(*arguments)
    assert journal_lines(out) == before
    (scans / "damaged.png").write_bytes(file_of(degraded_face()))
    (out / "a.png").unlink()
    assert submit(*arguments, "--retry-failed") == 0
    again = Counter(line["output"] for line in journal_lines(out)[len(before) :])
    assert again == {"damaged.png": 2, "a.png": 2}
    assert (out / "a.png").exists()


def test_a_manifest_says_what_each_photograph_is_given(
    scans: Path, reference: Path, tmp_path: Path, url: str
) -> None:
    shutil.copy(reference, scans / "her.jpg")
    with Client(url) as client:
        person, other = (
            client.wait_for_person(client.create_person([reference], aligned=True).id) for _ in range(2)
        )
    manifest, out, report = scans / "album.csv", tmp_path / "out", tmp_path / "report.json"
    manifest.write_text(
        "photograph,references,person,output,format\n"
        "a.png,her.jpg; her.jpg,,granny/1.png,\n"
        f"1930/a.png,,{person.id},,jpeg\n"
        f"a.png,,{person.id}; {other.id},group.png,\n"
        "gone.png,,,,\n",
        encoding="utf-8-sig",
    )
    code = submit(manifest, "--to", url, "-o", out, "--option", "faces=aligned", "--report", report)
    assert code == 1
    assert files_in(out) == ["1930/a.png.jpg", "granny/1.png", "group.png", JOURNAL]
    first, second, third, last = json.loads(report.read_text())
    assert {one["status"] for one in (first, second, third)} == {"succeeded"}
    assert (last["status"], last["error"]) == ("failed", "file-error")
    with Client(url) as client:
        assert len(client.read_restoration(first["restoration"]).references) == 2
        assert client.read_restoration(second["restoration"]).person == person.id
        assert client.read_restoration(third["restoration"]).people == [person.id, other.id]


def test_a_run_that_is_killed_is_taken_up_and_nothing_is_submitted_twice(
    scans: Path, tmp_path: Path, url: str
) -> None:
    out = tmp_path / "out"
    for number in range(30):
        shutil.copy(scans / "a.png", scans / f"copy{number}.png")
    (scans / "damaged.png").unlink()
    arguments = [str(scans), "--to", url, "-o", str(out), "--option", "faces=aligned", "--in-flight", "4"]
    with Client(url) as client:
        before = {one.id for one in client.list_restorations()}
    process = subprocess.Popen(
        [sys.executable, "-m", "refstar_client.cli", "submit", *arguments], stderr=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while len(files_in(out)) < 6:
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.kill(process.pid, signal.SIGKILL)
    process.communicate()
    assert len(files_in(out)) < 34
    assert submit(*arguments) == 0
    assert len([name for name in files_in(out) if not name.endswith(".part")]) == 34
    with Client(url) as client:
        made = {one.id for one in client.list_restorations()} - before
    assert len(made) == 33


def test_a_journal_whose_last_line_was_cut_off_is_read(scans: Path, tmp_path: Path, url: str) -> None:
    out = tmp_path / "out"
    arguments = (scans / "a.png", "--to", url, "-o", out, "--option", "faces=aligned")
    assert submit(*arguments) == 0
    journal = out / JOURNAL
    journal.write_text(journal.read_text()[:-20])
    assert submit(*arguments) == 0
    assert submit(*arguments) == 0
    [*_, last] = [line for line in journal.read_text().splitlines() if line.startswith('{"output"')]
    assert json.loads(last)["status"] == "succeeded"


def test_restorations_are_deleted_once_their_results_are_here(scans: Path, tmp_path: Path, url: str) -> None:
    out = tmp_path / "out"
    assert submit(scans / "a.png", "--to", url, "-o", out, "--option", "faces=aligned", "--delete") == 0
    with Client(url) as client:
        ids = {one.id for one in client.list_restorations()}
    assert journal_lines(out)[-1]["restoration"] not in ids


def test_results_inside_the_folder_are_not_restored_again(scans: Path, url: str) -> None:
    (scans / "damaged.png").unlink()
    out = scans / "restored"
    arguments = (scans, "--to", url, "-o", out, "--option", "faces=aligned")
    assert submit(*arguments) == 0
    assert submit(*arguments) == 0
    assert files_in(out) == ["1930/a.png", "a.png", "b.jpg", JOURNAL]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (problem(401, "key-invalid"), "key-invalid"),
        (problem(429, "quota-exceeded", "3600"), "quota-exceeded"),
        (problem(422, "unknown-model"), "asked for every photograph"),
        (Answer(200, b"<html>", {"Content-Type": "text/html"}), "check the address"),
    ],
)
def test_what_stands_in_the_way_of_all_ends_the_run_and_fails_no_photograph(
    scans: Path, tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str], answer: Answer, told: str
) -> None:
    script.answers = [answer]
    report = tmp_path / "report.csv"
    code = submit(
        scans,
        "--to",
        script.url,
        "-o",
        tmp_path / "out",
        "--patience",
        "1",
        "--in-flight",
        "2",
        "--report",
        report,
    )
    assert code == 1
    said = capsys.readouterr().err
    assert told in said
    assert "goes on where this one was" in said
    assert len(script.asked) <= 2
    with report.open(newline="") as file:
        assert {row["status"] for row in csv.DictReader(file)} == {"pending"}


def test_a_refusal_of_one_row_s_own_option_fails_that_row_only(scans: Path, tmp_path: Path, url: str) -> None:
    (scans / "album.csv").write_text("photograph,fidelity\na.png,7\nb.jpg,\n")
    out = tmp_path / "out"
    assert submit(scans / "album.csv", "--to", url, "-o", out, "--option", "faces=aligned") == 1
    assert files_in(out) == ["b.jpg", JOURNAL]


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("file\na.png\n", "no column `photograph`"),
        ("photograph,fidelty\na.png,1\n", "did you mean 'fidelity'?"),
        ("photograph,photograph\na.png,1\n", "a column twice"),
        ("photograph\na.png,b.png\n", "line 2 has more cells"),
        ("photograph,references\n,a.png\n", "line 2 names no photograph"),
        ("photograph,references,person\na.png,b.png,c\n", "line 2 has references and a person"),
        ("photograph,person\na.png,b; b\n", "line 2 names a person twice"),
        ("photograph,output\na.png,../x.png\n", "not inside the output folder"),
        ("photograph,output\na.png,x.png\nb.jpg,x.png\n", "would both be x.png"),
        ("photograph\n", "has no pictures"),
    ],
)
def test_a_manifest_that_cannot_be_meant_is_refused_before_anything_is_sent(
    tmp_path: Path, script: Script, capsys: pytest.CaptureFixture[str], text: str, told: str
) -> None:
    (tmp_path / "album.csv").write_text(text)
    assert submit(tmp_path / "album.csv", "--to", script.url, "-o", tmp_path / "out") == 2
    assert told in capsys.readouterr().err
    assert script.asked == []


@pytest.mark.parametrize(
    "more",
    [
        ("--option", "fidelty=1"),
        ("--option", "fidelity"),
        ("--in-flight", "0"),
        ("--report", "report.txt"),
        ("--reference", "gone.jpg"),
        ("--to", "localhost"),
    ],
)
def test_flags_that_cannot_be_meant_are_refused(scans: Path, tmp_path: Path, more: Sequence[str]) -> None:
    assert submit(scans, "-o", tmp_path / "out", *more) == 2
    assert not (tmp_path / "out").exists()


def test_a_file_that_is_no_journal_is_left_alone(
    scans: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "letter.txt").write_text("Dear Granny\n")
    assert submit(scans, "-o", tmp_path / "out", "--journal", tmp_path / "letter.txt") == 1
    assert "is no journal" in capsys.readouterr().err
    assert (tmp_path / "letter.txt").read_text() == "Dear Granny\n"


def test_refstar_submit_is_the_same_command(scans: Path, tmp_path: Path, url: str) -> None:
    out = tmp_path / "out"
    assert (
        run_service_command(
            ["submit", str(scans / "a.png"), "--to", url, "-o", str(out), "--option", "faces=aligned"]
        )
        == 0
    )
    assert files_in(out) == ["a.png", JOURNAL]


def test_the_names_of_pictures_are_those_of_refstar_restore() -> None:
    assert SUFFIXES == sources.SUFFIXES
