"""`refstar restore` and `refstar models`, with the shipped model."""

from pathlib import Path

import cv2
import pytest
from pictures import aligned_face, degraded_face, file_of, pixels_of, psnr, reference_face
from refstar_service.cli import run


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "face.jpg").write_bytes(file_of(degraded_face(), ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95))
    (tmp_path / "reference.png").write_bytes(file_of(reference_face()))
    return tmp_path


def restore(*arguments: object) -> int:
    return run(["restore", *map(str, arguments), "--faces", "aligned"])


def test_one_picture_is_restored_to_a_file(folder: Path) -> None:
    out, mask = folder / "out.png", folder / "mask.png"
    code = restore(
        folder / "face.jpg", "--reference", folder / "reference.png", "-o", out, "--selection", mask
    )
    assert code == 0
    assert psnr(pixels_of(out.read_bytes()), aligned_face()) > psnr(degraded_face(), aligned_face())
    assert pixels_of(mask.read_bytes()).shape == (512, 512, 3)
    assert not list(folder.glob("*.part"))


def test_a_folder_goes_on_after_a_bad_file_and_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = folder / "in"
    pictures.mkdir()
    for name in ("a.png", "c.png"):
        (pictures / name).write_bytes(file_of(degraded_face()[::4, ::4]))
    (pictures / "b.png").write_bytes(b"not a picture")
    assert restore(pictures, "-o", folder / "out") == 1
    assert sorted(p.name for p in (folder / "out").iterdir()) == ["a.png", "c.png"]
    said = capsys.readouterr().err
    assert "b.png: failed: not-an-image" in said
    assert "2 restored, 1 failed" in said


def test_the_suffix_says_what_the_file_is(folder: Path) -> None:
    assert restore(folder / "face.jpg", "-o", folder / "out.tiff") == 0
    assert (folder / "out.jpg").is_file()


def test_whole_photographs_are_refused_until_faces_can_be_found(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run(["restore", str(folder / "face.jpg"), "-o", str(folder / "out.jpg")]) == 1
    assert "faces-mode-unavailable" in capsys.readouterr().err
    assert not (folder / "out.jpg").exists()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.png", "-o", "out.png"], "missing.png"),
        (["face.jpg", "-o", "out.png", "--model", "other"], "no model 'other'"),
        (["face.jpg", "-o", "out.png", "--quality", "0"], "--quality is 1..100"),
        (["face.jpg", "-o", "out.png", *["--reference", "reference.png"] * 9], "9 references"),
    ],
)
def test_what_cannot_be_done_is_said(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    monkeypatch.chdir(folder)
    assert restore(*arguments) == 1
    assert says in capsys.readouterr().err
    assert not (folder / "out.png").exists()


def test_a_provider_that_is_not_there_has_a_status_of_its_own(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert restore(folder / "face.jpg", "-o", folder / "out.jpg", "--provider", "cuda") == 78
    assert "CUDAExecutionProvider was asked for" in capsys.readouterr().err


def test_a_knob_out_of_range_is_wrong_use(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        restore(folder / "face.jpg", "-o", folder / "out.jpg", "--fidelity", "1.5")
    assert ended.value.code == 2
    assert "1.5 is not in 0..1" in capsys.readouterr().err


def test_models_are_listed_with_their_data_and_limits(capsys: pytest.CaptureFixture[str]) -> None:
    assert run(["models"]) == 0
    said = capsys.readouterr().out
    assert said.startswith("refstar ")
    assert "trained on:" in said
    assert "limit:" in said


def test_a_worker_alone_needs_a_redis(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.delenv("REFSTAR_REDIS_URL", raising=False)
    assert run(["worker"]) == 1
    assert "REFSTAR_REDIS_URL" in capsys.readouterr().err


def test_a_setting_that_is_wrong_is_named(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("REFSTAR_MAX_BATCH", "0")
    assert run(["models"]) == 2
    assert "REFSTAR_MAX_BATCH" in capsys.readouterr().err
