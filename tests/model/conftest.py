"""A tiny data folder of drawn faces and a tiny recognizer: the model's tests need no photographs and no teachers."""

import csv
import fcntl
import os
import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import onnx
import pytest
from documented import DOCS, find_command, swap_words
from drawn_net import write_drawn_weights
from onnx import TensorProto, helper, numpy_helper
from refstar_model import cli
from refstar_model.data.photos import Pair, PhotoSet, load_photos
from refstar_model.judges.recognition import Recognizer
from refstar_model.refstar.params import TINY


def drawn_face(person: int, photo: int, size: int) -> np.ndarray:
    """A cartoon face on the template: the person fixes colors and features, the photo the light."""
    rng = np.random.default_rng(person)
    s = size / 512
    skin, eyes, hair = (rng.integers(40, 220, 3).tolist() for _ in range(3))
    canvas = np.full((size, size, 3), 120 + 20 * photo, np.uint8)
    cv2.ellipse(canvas, (int(256 * s), int(280 * s)), (int(150 * s), int(200 * s)), 0, 0, 360, hair, -1)
    cv2.ellipse(canvas, (int(256 * s), int(300 * s)), (int(130 * s), int(170 * s)), 0, 0, 360, skin, -1)
    for x in (193, 319):
        cv2.circle(canvas, (int(x * s), int(240 * s)), int(rng.integers(10, 30) * s), eyes, -1)
    cv2.line(
        canvas, (int(201 * s), int(371 * s)), (int(313 * s), int(371 * s)), eyes, int(rng.integers(4, 20) * s)
    )
    return canvas


@pytest.fixture(scope="session")
def photos(tmp_path_factory: pytest.TempPathFactory) -> PhotoSet:
    folder: Path = tmp_path_factory.mktemp("faces")
    for name in ("faces256", "faces512"):
        (folder / name).mkdir()
    faces, pairs = [], []
    for person in range(6):
        split = "val" if person >= 4 else "train"
        files = [f"p{person}_{photo}.png" for photo in range(2)]
        for photo, file in enumerate(files):
            sharp = person % 2
            for size in (256, 512) if sharp else (256,):
                cv2.imwrite(str(folder / f"faces{size}" / file), drawn_face(person, photo, size))
            faces.append(
                {"file": file, "in512": sharp, "split": split, "person": f"p{person}", "licence": "CC0"}
            )
        pairs.append(
            {"person": f"p{person}", "split": split, "file_a": files[0], "file_b": files[1], "emb_sim": 0.8}
        )
    for name, rows in (("faces.csv", faces), ("pairs.csv", pairs)):
        with (folder / name).open("w", newline="") as out:
            writer = csv.DictWriter(out, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return load_photos(folder)


EXPORTED = ("runs/refstar/weights.pt", "--out", "zoo/refstar")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a net with every part, for faces of 128 pixels, exported by the command of docs/training.md. Not to be written
    to.

    It takes most of a minute, so that one process makes it for all.
    """
    root = tmp_path_factory.getbasetemp()
    root = root.parent if "PYTEST_XDIST_WORKER" in os.environ else root
    weights, folder = root / "tiny-weights.pt", root / "tiny" / "refstar"
    with (root / "tiny.lock").open("w") as lock, pytest.MonkeyPatch.context() as patch:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not (folder / "model.json").is_file():
            write_drawn_weights(replace(TINY, size=128, unshuffle=8), weights)
            patch.delenv("REFSTAR_DATA", raising=False)
            command = find_command(DOCS / "training.md", "export", "refstar", *EXPORTED)
            paths = dict(zip(EXPORTED[::2], (weights, folder), strict=True))
            patch.setattr(sys, "argv", swap_words(command, paths))
            cli.main()
    return folder


@pytest.fixture(scope="module")
def recognizer(recognizer_file: Path) -> Recognizer:
    return Recognizer(recognizer_file)


@pytest.fixture(scope="session")
def recognizer_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two strided convolutions and an embedding, as an ONNX file."""
    rng = np.random.default_rng(0)
    shapes = {"w1": (4, 3, 3, 3), "s1": (4, 1, 1), "w2": (6, 4, 3, 3), "w3": (8, 6 * 28 * 28), "b3": (8,)}
    tensors = [
        numpy_helper.from_array(rng.normal(0, 0.1, s).astype(np.float32), n) for n, s in shapes.items()
    ]
    conv = {"strides": [2, 2], "pads": [1, 1, 1, 1], "dilations": [1, 1], "group": 1}
    nodes = [
        helper.make_node("Conv", ["data", "w1"], ["c1"], **conv),
        helper.make_node("PRelu", ["c1", "s1"], ["p1"]),
        helper.make_node("Conv", ["p1", "w2"], ["c2"], **conv),
        helper.make_node("Flatten", ["c2"], ["flat"]),
        helper.make_node("Gemm", ["flat", "w3", "b3"], ["out"], transB=1),
    ]
    graph = helper.make_graph(
        nodes,
        "recognizer",
        [helper.make_tensor_value_info("data", TensorProto.FLOAT, ["N", 3, 112, 112])],
        [helper.make_tensor_value_info("out", TensorProto.FLOAT, ["N", 8])],
        tensors,
    )
    path = tmp_path_factory.mktemp("recognizer") / "tiny.onnx"
    onnx.save(helper.make_model(graph), str(path))
    return path


@pytest.fixture
def turned(photos: PhotoSet) -> PhotoSet:
    """Two val people with six photographs each: the first from the front, the second turned, the third in profile."""
    yaws = (0.0, 0.5, 1.0, 0.3, 0.4, 0.6)
    changed = []
    for index, photo in enumerate(sorted(photos.photos, key=lambda p: p.file)):
        person = "ab"[index % 2]
        changed.append(replace(photo, person=person, split="val", yaw=yaws[index // 2]))
    pairs = []
    for person in "ab":
        front, side, profile, turned_less = [p.file for p in changed if p.person == person][:4]
        pairs += [Pair(person, "val", front, other, 0.5) for other in (side, profile)]
        pairs.append(Pair(person, "val", side, turned_less, 0.5))
    return replace(photos, photos=tuple(changed), pairs=tuple(pairs))
