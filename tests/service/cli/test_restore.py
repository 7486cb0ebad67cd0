"""`refstar restore` and `refstar models`, with the shipped model where its work is looked at, else with a small one,
and with a detector that knows the astronaut."""

import json
import re
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
from known_faces import KnownFaces, astronauts, face_at
from lone_model import write_lone_model
from pictures import aligned_face, degraded_face, file_of, pixels_of, psnr, reference_face
from refstar_service.app.cli import run
from refstar_service.restoration.knobs import KNOBS, KnobKind
from small_model import write_small_model


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "face.jpg").write_bytes(file_of(degraded_face(), ".jpg", cv2.IMWRITE_JPEG_QUALITY, 95))
    (tmp_path / "reference.png").write_bytes(file_of(reference_face()))
    return tmp_path


@pytest.fixture
def small_model(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """In place of the shipped one: it loads in a moment, and its faces are too small for a review, so none is kept."""
    models = tmp_path_factory.mktemp("models")
    write_small_model(models)
    monkeypatch.setenv("REFSTAR_MODELS_DIR", str(models))


with_small_model = pytest.mark.usefixtures("small_model")


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


def test_a_picture_that_comes_out_no_better_is_kept_unless_the_flag_says_no(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    soft = aligned_face().astype(np.float32)  # of a small picture
    sharp = np.clip(2 * soft - cv2.GaussianBlur(soft, (0, 0), 1.5), 0, 255).astype(np.uint8)
    (folder / "in").mkdir()
    (folder / "in" / "sharp.png").write_bytes(file_of(sharp))
    assert restore(folder / "in", "-o", folder / "out", "--report", folder / "report.json") == 0
    said = capsys.readouterr().err
    assert "0 of 1 face restored (1 already-sharp)" in said
    assert "0 restored, 0 failed, 1 kept as they were" in said
    (entry,) = json.loads((folder / "report.json").read_text())
    assert (entry["status"], entry["faces"][0]["action"]) == ("kept", "kept")
    assert np.array_equal(pixels_of((folder / "out" / "sharp.png").read_bytes()), sharp)
    assert restore(folder / "in", "-o", folder / "out") == 0
    assert "1 of 1 were done by an earlier run" in capsys.readouterr().err
    assert restore(folder / "in", "-o", folder / "drawn", "--no-keep") == 0
    assert "1 restored, 0 failed, " in capsys.readouterr().err


@with_small_model
def test_a_folder_goes_on_after_a_bad_file_and_says_so(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = folder / "in"
    pictures.mkdir()
    for name in ("a.png", "c.png"):
        (pictures / name).write_bytes(file_of(degraded_face()[::4, ::4]))
    (pictures / "b.png").write_bytes(b"not a picture")
    assert restore(pictures, "-o", folder / "out") == 1
    assert sorted(path.name for path in (folder / "out").glob("*.png")) == ["a.png", "c.png"]
    said = capsys.readouterr().err
    assert "b.png: failed: not-an-image" in said
    assert "2 restored, 1 failed (1 not-an-image), " in said


@with_small_model
@pytest.mark.parametrize(
    ("name", "arguments", "written"),
    [("out.gif", [], "out.jpg"), ("out.bmp", [], "out.bmp"), ("out.png", ["--format", "tiff"], "out.tif")],
)
def test_the_suffix_says_what_the_file_is(
    folder: Path, name: str, arguments: list[str], written: str
) -> None:
    assert restore(folder / "face.jpg", "-o", folder / name, *arguments) == 0
    assert [path.name for path in folder.glob("out.*")] == [written]


@pytest.fixture
def photographs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> KnownFaces:
    """In `folder`: one astronaut, two of them, and a picture without a face; and the detector that knows."""
    two, faces = astronauts(2)
    blurred = cv2.GaussianBlur(two, (0, 0), 2.5)
    (folder / "one.png").write_bytes(file_of(blurred[:, :512]))
    (folder / "two.png").write_bytes(file_of(blurred))
    (folder / "coffee.jpg").write_bytes(file_of(skimage.data.coffee(), ".jpg"))
    (folder / "sharp.png").write_bytes(file_of(skimage.data.astronaut()))
    detector = KnownFaces({(512, 512): [face_at()], (1024, 512): faces})
    monkeypatch.setattr("refstar_service.faces.detect.load_detector", lambda *arguments: detector)
    monkeypatch.chdir(folder)
    return detector


def whole(*arguments: str) -> int:
    return run(["restore", *arguments])


def test_a_photograph_comes_back_whole_with_a_report(photographs: KnownFaces, folder: Path) -> None:
    arguments = ["two.png", "-o", "out.png", "-r", "sharp.png"]
    assert whole(*arguments, "--selection", "mask.png", "--report", "report.json") == 0
    before, after = (pixels_of((folder / name).read_bytes()) for name in ("two.png", "out.png"))
    different = (before != after).any(-1)
    assert different[90:140, 200:250].mean() > 0.9
    assert not different[:, 512:].any()  # with references, the largest face alone
    assert pixels_of((folder / "mask.png").read_bytes()).shape == before.shape
    (entry,) = json.loads((folder / "report.json").read_text())
    assert entry["output"] == "out.png"
    assert [face["action"] for face in entry["faces"]] == ["restored", "skipped"]
    assert entry["references"][0]["used"]
    assert set(entry["timings"]) == {"decode", "detect", "infer", "review", "paste", "encode"}


@with_small_model
def test_every_knob_of_photographs_is_obeyed(photographs: KnownFaces, folder: Path) -> None:
    assert whole("two.png", "-o", "both.png") == 0
    assert whole("two.png", "-o", "right.png", "--boxes", "691,62,90,112", "--upscale", "2") == 0
    before, both, right = (pixels_of((folder / n).read_bytes()) for n in ("two.png", "both.png", "right.png"))
    changed = (before != both).any(-1)
    assert changed[:, :512].any()
    assert changed[:, 512:].any()
    assert right.shape == (1024, 2048, 3)
    assert (
        right[:, :1024] == cv2.resize(before, (2048, 1024), interpolation=cv2.INTER_LANCZOS4)[:, :1024]
    ).all()


@with_small_model
def test_a_picture_without_a_face_fails_and_nothing_is_written(
    photographs: KnownFaces, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert whole("coffee.jpg", "-o", "out.jpg") == 1
    assert "no-face-found" in capsys.readouterr().err
    assert whole("one.png", "-o", "out.png", "--min-face", "200", "--report", "report.json") == 1
    assert "face-too-small" in capsys.readouterr().err
    assert not list(folder.glob("out.*"))
    (entry,) = json.loads((folder / "report.json").read_text())
    assert entry["error"]["code"] == "face-too-small"
    assert entry["faces"][0]["reason"] == "face-too-small"


@with_small_model
def test_a_reference_with_several_faces_is_refused_unless_its_largest_is_meant(
    photographs: KnownFaces, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "sharp.png").write_bytes(file_of(astronauts(2)[0]))
    arguments = ["one.png", "-o", "out.png", "-r", "sharp.png"]
    assert whole(*arguments) == 1
    assert "failed: several-faces: " in capsys.readouterr().err
    assert whole(*arguments, "--reference-face", "largest", "--report", "report.json") == 0
    (entry,) = json.loads((folder / "report.json").read_text())
    assert entry["references"][0]["used"]


def test_a_stranger_is_refused_and_the_report_says_how_sure_that_is(
    photographs: KnownFaces, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_small_model(folder / "zoo", gated=True)
    (folder / "dark.png").write_bytes(file_of(skimage.data.astronaut() // 4))
    arguments = ["one.png", "-o", "out.png", "-r", "sharp.png", "-r", "dark.png", "--models-dir", "zoo"]
    arguments += ["--no-keep", "--overwrite", "--report", "report.json"]
    assert whole(*arguments, "--stranger", "refuse") == 1
    assert "failed: reference-stranger: A reference probably shows somebody else: reference 2 (dark.png)" in (
        capsys.readouterr().err
    )
    (entry,) = json.loads((folder / "report.json").read_text())
    (face,) = entry["faces"]
    assert (face["action"], face["reason"]) == ("failed", "reference-stranger")
    assert face["same_person"] == pytest.approx([0.99, 0.0], abs=0.01)
    assert not (folder / "out.png").exists()
    assert whole(*arguments) == 0
    (entry,) = json.loads((folder / "report.json").read_text())
    (face,) = entry["faces"]
    assert face["likeness"] == pytest.approx([0.99, 0.0], abs=0.01)


@with_small_model
def test_a_model_that_cannot_tell_strangers_refuses_none(
    photographs: KnownFaces, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert whole("one.png", "-o", "out.png", "-r", "sharp.png", "--stranger", "refuse") == 1
    assert "--stranger refuse has no effect on the model 'refstar'" in capsys.readouterr().err


@with_small_model
def test_a_folder_of_photographs_is_summed_up(
    photographs: KnownFaces, folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pictures = folder / "in"
    (pictures / "more").mkdir(parents=True)
    for name in ("one.png", "two.png", "coffee.jpg"):
        (folder / name).rename(pictures / name)
    (pictures / "notes.txt").write_text("no picture")
    assert whole("in", "-o", "out", "-r", "sharp.png") == 1
    said = capsys.readouterr().err
    assert "[1/3] coffee.jpg: failed: no-face-found" in said
    assert "[3/3] two.png: 1 of 2 faces restored (1 not-largest)" in said
    assert "2 restored, 1 failed (1 no-face-found), 2 passed over, " in said
    assert sorted(path.name for path in (folder / "out").glob("*.png")) == ["one.png", "two.png"]
    assert photographs.asked.count((512, 512)) == 2  # one.png, and the reference once


@with_small_model
def test_two_pictures_of_one_name_do_not_end_in_one_file(photographs: KnownFaces, folder: Path) -> None:
    (folder / "in").mkdir()
    for name in ("a.png", "a.jpg"):
        (folder / "in" / name).write_bytes(file_of(skimage.data.astronaut(), name[1:]))
    assert whole("in", "-o", "out", "--format", "jpeg") == 0
    assert sorted(path.name for path in (folder / "out").glob("*.jpg")) == ["a.jpg", "a.png.jpg"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["one.png", "-o", "one.png"], "--output one.png is also an input"),
        (["one.png", "-o", "."], "--output one.png is also an input"),
        (["one.png", "-o", "one.jpg", "--format", "png"], "would overwrite"),
        (["one.png", "-o", "x.png", "-r", "sharp.png", "--selection", "sharp.png"], "--selection sharp.png"),
        (["one.png", "-o", "x.png", "--report", "x.png"], "name the same file"),
        ([".", "-o", "."], "choose another folder"),
        ([".", "-o", "one.png"], "is a file"),
    ],
)
def test_nothing_that_is_read_is_overwritten(
    photographs: KnownFaces,
    folder: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: list[str],
    says: str,
) -> None:
    before = {path: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    assert whole(*arguments) == 1
    assert says in capsys.readouterr().err
    assert {path: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before


@with_small_model
def test_a_picture_that_breaks_something_does_not_end_a_folder(
    photographs: KnownFaces,
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    def find(pixels: np.ndarray) -> list[object]:
        raise RuntimeError("odd" if pixels.shape[1] == 1024 else "never")

    known = photographs.find
    monkeypatch.setattr(
        photographs, "find", lambda p, *more: find(p) if p.shape[1] == 1024 else known(p, *more)
    )
    (folder / "in").mkdir()
    for name in ("one.png", "two.png", "sharp.png"):
        (folder / name).rename(folder / "in" / name)
    assert whole("in", "-o", "out") == 1
    assert "two.png: failed: inference-failed: RuntimeError: odd" in capsys.readouterr().err
    assert len(list((folder / "out").glob("*.png"))) == 2


@pytest.mark.parametrize("box", ["1,2,3", "a,b,c,d", "1,1,0,5", "1,1,nan,5"])
def test_a_box_that_is_none_is_wrong_use(box: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        whole("one.png", "-o", "x.png", "--boxes", box)
    assert ended.value.code == 2
    assert box in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["missing.png", "-o", "out.png"], "missing.png"),
        (["face.jpg", "-o", "out.png", "--model", "other"], "No such model: 'other'"),
        (
            ["face.jpg", "-o", "out.png", "--boxes", "1,2,30,40"],
            "--faces aligned cannot be combined with boxes",
        ),
        (["face.jpg", "-o", "out.png", *["--reference", "reference.png"] * 9], "8 references, not 9"),
        (["face.jpg", "-o", "out.png", "--no-grain"], "--no-grain applies to whole photographs"),
        (["face.jpg", "-o", "out.png", "--min-face", "300"], "--min-face 300 applies to whole photographs"),
        (
            ["face.jpg", "-o", "out.png", "--reference-face", "largest"],
            "--reference-face largest applies to whole photographs",
        ),
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


@pytest.mark.parametrize("command", [["restore", "face.jpg", "-o", "out.jpg"], ["worker"]])
def test_a_detector_that_is_not_there_has_that_status_too(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], command: list[str]
) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("REFSTAR_REDIS_URL", "redis://127.0.0.1:1")
    monkeypatch.setenv("REFSTAR_DETECTOR", "missing.onnx")
    assert run(command) == 78
    assert "missing.onnx: there is no such file" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flag", "value", "says"),
    [
        ("--fidelity", "1.5", "must be a number from 0 to 1, not '1.5'"),
        ("--quality", "0", "must be a whole number from 1 to 100, not '0'"),
        ("--min-face", "3", "must be a whole number from 16 to 512, not '3'"),
        ("--upscale", "3", "must be 1, 2 or 4, not '3'"),
    ],
)
def test_a_knob_out_of_range_is_wrong_use(
    folder: Path, capsys: pytest.CaptureFixture[str], flag: str, value: str, says: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        restore(folder / "face.jpg", "-o", folder / "out.jpg", flag, value)
    assert ended.value.code == 2
    assert f"{flag}: {says}" in capsys.readouterr().err


def test_every_knob_has_a_flag_with_its_default(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        run(["restore", "--help"])
    said = " ".join(capsys.readouterr().out.split())
    for knob in KNOBS.values():
        assert re.search(rf" --{knob.name.replace('_', '-')}[ ,]", said)
        if knob.kind is KnobKind.SWITCH:
            assert f" --no-{knob.name.replace('_', '-')} " in said
    assert "(default: 24)" in said


@pytest.mark.parametrize(("references", "inverted"), [([], True), (["-r", "reference.png"], False)])
def test_the_default_model_is_the_one_that_its_folder_ranks_first(
    folder: Path, monkeypatch: pytest.MonkeyPatch, references: list[str], inverted: bool
) -> None:
    write_small_model(folder / "zoo")
    write_lone_model(folder / "zoo")
    monkeypatch.chdir(folder)
    assert restore("face.jpg", "-o", "out.png", "--models-dir", "zoo", *references) == 0
    level = float(pixels_of((folder / "face.jpg").read_bytes()).mean())
    found = float(pixels_of((folder / "out.png").read_bytes()).mean())
    assert (abs(found - (255 - level)) < 2) is inverted


def test_a_knob_that_the_default_model_does_not_have_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    write_lone_model(folder / "zoo")
    monkeypatch.chdir(folder)
    assert restore("face.jpg", "-o", "out.png", "--models-dir", "zoo", "--fidelity", "0.1") == 1
    assert "--fidelity 0.1 has no effect on the model 'lone'" in capsys.readouterr().err
