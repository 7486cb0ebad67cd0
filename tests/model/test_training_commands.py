"""Every command of docs/training.md, run on drawn faces and with small networks: what stands there works."""

import json
import shutil
import sys
from dataclasses import replace
from functools import partial
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import skimage.data
import torch
from documented import DOCS, read_commands
from narrow_nets import ENTED, GANPRIOR, REFSTAR
from refstar_model import cli
from refstar_model.commands.publish import draw_calibration_faces
from refstar_model.data.photos import PhotoSet
from refstar_model.detector import geometry
from refstar_model.detector.network import DetectorParams
from refstar_model.detector.training import LABELS, DetectorTraining
from refstar_model.options.teachers import JUDGE, RECOGNIZER
from refstar_model.refstar.person_training import PersonTraining
from refstar_service.app import cli as service

ROOT = Path(__file__).parents[2]
SPELLINGS = (".venv/bin/refstar-model", "PYTHONPATH=model python3 -m refstar_model.cli")
SERVICE = ".venv/bin/refstar"
#: What commands that begin so get behind their own options, to take a second instead of hours.
SHORTER = {
    "train refstar": "--steps 1 --batch 2 --on-device --device cpu --processes 1",
    "train ganprior": "--steps 1 --batch 2 --on-device --device cpu",
    "train ganprior --data runs/pack": "--minutes 0.01",
    "train detector": "--steps 1 --device cpu",
    "train ented": "--steps 1 --batch 2 --on-device --device cpu",
    "sample": "--count 2 --views 2",
    "evaluate zoo/refstar": "--only old",
    "evaluate service": "--only old",
}
#: Words behind which a command names what it writes.
WRITES = ("--out", "--sheets", "--sheet", "--report", "--travel")
#: What is not run here, by how it begins, and why.
ELSEWHERE = {
    "make serve": "the same options are given to another command",
    "make setup": "made the environment of this test",
    ".venv/bin/refstar-model export refstar runs/refstar/": "run by the fixture tiny_folder",
    ".venv/bin/refstar-model export detector": "run by a fixture of test_detector.py",
    "accelerate launch": "wants several GPUs; the command behind it is run",
    "git worktree add": "would change the repository",
    ".venv/bin/python bench/": "takes minutes; its options are looked up",
}
DOCUMENTED = read_commands(DOCS / "training.md")
COMMANDS = [c for c in DOCUMENTED if not " ".join(c).startswith(tuple(ELSEWHERE))]


def strip_program(command: list[str]) -> list[str]:
    for spelling in (*SPELLINGS, SERVICE):
        if " ".join(command).startswith(f"{spelling} "):
            return command[len(spelling.split()) :]
    raise AssertionError(f"{command} is none of ours, nor named in ELSEWHERE")


def run_model_command() -> None:
    threads = torch.get_num_threads()
    try:
        cli.main()
    finally:
        torch.set_num_threads(threads)


class Desk:
    """A folder in which commands are run, each once; what one needs of another is made first."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.done: set[str] = set()

    def run(self, command: list[str]) -> None:
        """Run it as the command line would, in the folder."""
        words = strip_program(command)
        name = " ".join(words)
        if name in self.done:
            return
        for before, word in pairwise(words):
            if before not in WRITES and word.startswith(("runs/", "zoo/")):
                self.make(word)
        said = [v.split() for k, v in SHORTER.items() if name.startswith(k) and "--quick" not in words]
        with pytest.MonkeyPatch.context() as patch:
            patch.chdir(self.folder)
            patch.setenv("REFSTAR_DATA", str(self.folder / "data-root"))
            patch.setattr("refstar_model.refstar.params.SMALL", GATED)
            patch.setattr("refstar_model.ganprior.params.SMALL", GANPRIOR)
            patch.setattr("refstar_model.ented.params.SMALL", replace(ENTED, person=GATED.person))
            patch.setattr("refstar_model.refstar.person_training.PersonTraining", PERSON)
            patch.setattr("refstar_model.detector.training.DetectorTraining", DETECTOR)
            patch.setattr("refstar_model.commands.publish.draw_calibration_faces", FEW_FACES)
            patch.setattr(sys, "argv", ["refstar-model", *words, *(w for some in said for w in some)])
            if command[0] == SERVICE:
                assert service.run(words) == 0
            else:
                run_model_command()
        self.done.add(name)

    def make(self, path: str) -> None:
        """Run the command of the document that writes ``path``, where it is not there yet."""
        if (self.folder / path).exists():
            return
        for command in COMMANDS:
            written = [w for b, w in pairwise(command) if b == "--out"]
            if any(path == out or path.startswith(f"{out}/") for out in written):
                self.run(command)
                break
        assert (self.folder / path).exists(), f"no command of docs/training.md makes {path}"


GATED = replace(
    REFSTAR, unshuffle=8, reconstruction=4, gate=True, gate_widths=(8, 8, 8, 8), person=8, prior=GANPRIOR
)
PERSON = partial(PersonTraining, batch=2, loaders=0, views=1, held_out=2)
DETECTOR = partial(
    DetectorTraining,
    network=DetectorParams(8, 16, 1, (8, 8, 8, 8)),
    views=2,
    view_side=64,
    candidates=4,
    loaders=0,
    mistakes=5,
    patience=2,
)


FEW_FACES = partial(draw_calibration_faces, count=1)


@pytest.fixture(scope="module")
def desk(
    photos: PhotoSet,
    recognizer_file: Path,
    tiny_folder: Path,
    tmp_path_factory: pytest.TempPathFactory,
) -> Desk:
    folder = tmp_path_factory.mktemp("desk")
    for teacher, name in ((RECOGNIZER, "mobileface_v3.onnx"), (JUDGE, "mobileface_v2.onnx")):
        place = folder / "data-root" / teacher.place
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(recognizer_file, place)
        shutil.copy(recognizer_file, folder / name)
    shutil.copytree(photos.roots[0], folder / "data-root/faces")
    shutil.copytree(tiny_folder, folder / "zoo/refstar")
    family = shutil.copytree(tiny_folder, folder / "served/family") / "model.json"
    family.write_text(json.dumps(json.loads(family.read_text()) | {"name": "family"}))
    for name in ("old.jpg", "sharp.jpg"):
        cv2.imwrite(str(folder / name), skimage.data.astronaut()[..., ::-1])
    (folder / "service/refstar_service").mkdir(parents=True)
    (folder / "service/refstar_service/zoo").symlink_to(ROOT / "service/refstar_service/zoo")
    her = cv2.resize(skimage.data.astronaut()[:256, 96:352], (512, 512))
    for person in ("Ada", "Ben"):
        (folder / "album" / person).mkdir(parents=True)
        cv2.imwrite(str(folder / "album" / person / "1.png"), her[..., ::-1])
        her = her[:, ::-1]
    (folder / "FOLDER").mkdir()
    cv2.imwrite(str(folder / "FOLDER/grass.png"), skimage.data.grass())
    write_labels(photos, folder / "runs/detector" / LABELS)
    return Desk(folder)


def write_labels(photos: PhotoSet, path: Path) -> None:
    """What YuNet and the face mesh, which are not here, would have said."""
    files = [photo.file for photo in photos.split("train").photos]
    path.parent.mkdir(parents=True)
    points = np.stack([geometry.TEMPLATE / 2] * len(files)).astype(np.float32)
    np.savez(path, name=files, points=points, box=np.array([[59, 48, 138, 187]] * len(files), np.float32))


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: " ".join(strip_program(command))[:70])
def test_a_command_of_the_document_works(desk: Desk, command: list[str]) -> None:
    desk.run(command)


def test_what_is_not_run_here_is_in_the_document_and_has_the_options_that_it_says() -> None:
    said = [" ".join(command) for command in DOCUMENTED]
    assert [b for b in ELSEWHERE if not any(one.startswith(b) for one in said)] == []
    benches = [c for c in DOCUMENTED if c[1].startswith("bench/")]
    assert len(benches) == 2
    for _, script, *words in benches:
        text = (ROOT / script).read_text()
        assert [w for w in words if w.startswith("--") and f'"{w}"' not in text] == []


@pytest.mark.parametrize(
    ("system", "start", "finding"),
    [
        ("refstar", "nowhere.pt", "nowhere.pt does not exist"),
        ("refstar", "empty", "is no model folder: it has no model.json"),
        ("detector", "empty", "is a folder; here it must be the weights.pt of a training"),
    ],
)
def test_a_start_that_cannot_be_begun_at_is_refused(
    system: str, start: str, finding: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "empty").mkdir()
    words = ["train", system, "--init", str(tmp_path / start), "--out", str(tmp_path / "run")]
    monkeypatch.setattr(sys, "argv", ["refstar-model", *words])
    with pytest.raises(SystemExit, match=finding):
        cli.main()
