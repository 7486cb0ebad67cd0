"""Pictures to measure with: those of docs/example, which every clone has, or real faces where there are some.

``REFSTAR_DATA=... --real-faces`` takes aligned faces of its folder ``faces`` instead.
"""

import argparse
import csv
import os
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

EXAMPLE = Path(__file__).parents[1] / "docs" / "example"
SIDE = 512
_QUALITY = 92  # of the JPEG files that are made here, as cameras have it


@dataclass(frozen=True)
class Faces:
    """JPEG files of aligned faces of 512 pixels: some to restore and some to refer to."""

    degraded: tuple[bytes, ...]
    references: tuple[bytes, ...]

    def picture(self, number: int) -> bytes:
        """The ``number``-th file, as no other number has it."""
        return unlike(self.degraded[number % len(self.degraded)], number)

    def reference(self, number: int) -> bytes:
        return unlike(self.references[number % len(self.references)], number)


def add_option(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--real-faces", action="store_true", help="aligned faces from REFSTAR_DATA")


def faces(options: argparse.Namespace) -> Faces:
    """As the options say; the example's two pictures by default."""
    if not options.real_faces:
        degraded, reference = ((EXAMPLE / f"{name}.jpg").read_bytes() for name in ("degraded", "reference"))
        return Faces((degraded,), (reference,))
    files = sorted((Path(os.environ["REFSTAR_DATA"]) / "faces" / "faces512").rglob("*.*"))[:32]
    read = (cv2.imread(str(file), cv2.IMREAD_COLOR_RGB) for file in files)
    pictures = [picture for picture in read if picture is not None]
    if not pictures:
        raise FileNotFoundError("REFSTAR_DATA has no pictures in faces/faces512")
    whole = [np.asarray(cv2.resize(picture, (SIDE, SIDE)), np.uint8) for picture in pictures]
    return Faces(
        tuple(jpeg(_ruined(picture)) for picture in whole), tuple(jpeg(picture) for picture in whole)
    )


def unlike(file: bytes, number: int) -> bytes:
    """The same JPEG with a comment of its own: other bytes, so nothing that knows files by content knows it."""
    text = b"%016d" % number
    return file[:2] + b"\xff\xfe" + (len(text) + 2).to_bytes(2, "big") + text + file[2:]


def jpeg(pixels: Pixels, quality: int = _QUALITY) -> bytes:
    """RGB pixels as a file."""
    bgr = np.ascontiguousarray(pixels[..., ::-1])
    done, data = cv2.imencode(".jpg", bgr, [cv2.IMWRITE_JPEG_QUALITY, quality])
    assert done
    return data.tobytes()


def pixels_of(file: bytes) -> Pixels:
    """RGB."""
    return np.asarray(cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR_RGB), np.uint8)


def photograph(megapixels: float, count: int, face: bytes) -> Pixels:
    """A scene of 4:3 with so many faces in rows, each up to 320 pixels large and no more than its place allows."""
    width = round((megapixels * 1e6 * 4 / 3) ** 0.5)
    height = round(width * 3 / 4)
    across = int(np.ceil((count * width / height) ** 0.5))
    down = -(-count // across)
    # Of the aligned crop the face is about 0.6; a little is left free around each.
    side = round(min(512, 0.9 * width / across, 0.9 * height / down))
    canvas = _scene(width, height)
    crop = np.asarray(cv2.resize(pixels_of(face), (side, side), interpolation=cv2.INTER_AREA), np.float32)
    axis = np.clip((0.5 - np.abs((np.arange(side) + 0.5) / side - 0.5)) / 0.12, 0, 1)
    mask = (axis[:, None] * axis)[..., None].astype(np.float32)
    for number in range(count):
        left = round((number % across + 0.5) * width / across - side / 2)
        top = round((number // across + 0.5) * height / down - side / 2)
        place = canvas[top : top + side, left : left + side]
        place[:] = np.rint(place + mask * (crop - place)).astype(np.uint8)
    return canvas


def data_folder(folder: Path, people: int = 8) -> Path:
    """Fill a folder as training wants it: the example's two pictures as so many people, each in a light of its own."""
    pictures = [cv2.imread(str(EXAMPLE / f"{name}.jpg")) for name in ("degraded", "reference")]
    faces, pairs = [], []
    for person in range(people):
        files = [f"{person}_{number}.png" for number in range(len(pictures))]
        for file, picture in zip(files, pictures, strict=True):
            for size in (256, 512):
                (folder / f"faces{size}").mkdir(exist_ok=True)
                lit = np.clip(cv2.resize(picture, (size, size)) * (0.8 + 0.05 * person), 0, 255).astype(
                    np.uint8
                )
                cv2.imwrite(str(folder / f"faces{size}" / file), lit)
            faces.append({"file": file, "split": "train", "person": person, "in512": 1, "licence": "example"})
        pairs.append(
            {"person": person, "split": "train", "file_a": files[0], "file_b": files[1], "emb_sim": 0.8}
        )
    for name, rows in (("faces.csv", faces), ("pairs.csv", pairs)):
        with (folder / name).open("w", newline="") as out:
            writer = csv.DictWriter(out, list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
    return folder


def _ruined(picture: Pixels) -> Pixels:
    small = cv2.resize(cv2.GaussianBlur(picture, (0, 0), 6), (64, 64))
    return np.asarray(cv2.resize(small, (SIDE, SIDE)), np.uint8)


def _scene(width: int, height: int) -> Pixels:
    """Soft colors with the noise of a camera: without it a picture would compress too well to tell anything."""
    rng = np.random.default_rng(5)
    coarse = rng.integers(60, 200, (6, 8, 3), np.uint8)
    picture = np.asarray(cv2.resize(coarse, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    grain = rng.integers(-6, 7, (256, width, 3), np.int16)
    for top in range(0, height, 256):
        band = picture[top : top + 256]
        band[:] = np.clip(band + grain[: len(band)], 0, 255).astype(np.uint8)
    return picture
