"""Does the edge of a pasted face show? Gradient jumps across the mask's edge, against the untouched picture's.

REFSTAR_DATA=... .venv/bin/python bench/seam.py            # photographs of the val people
REFSTAR_DATA=... .venv/bin/python bench/seam.py --sheet seams.png

Scenes are made from photographs: aligned faces with their border mirrored, turned, at several sizes, degraded as a
whole; the face is cut, restored by the shipped model with and without a reference, and pasted.
"""

import argparse
import os
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from refstar_service.faces.align import Alignment, align, cut
from refstar_service.faces.mask import face_mask
from refstar_service.faces.paste import PastedFace, enlarge, lay_out, paste_faces

Pixels = NDArray[np.uint8]
FEATHER = 11.0  # of the mask, pixels of the 512 template


@dataclass(frozen=True)
class Seam:
    """Mean over the edge and the colors, gray levels per feather width.

    ``jump``: the gradient just outside less the one just inside; ``step``: the difference across the edge;
    ``ring``: mean along the edge of the signed change of that difference, which is what makes a halo or a dark line.
    """

    jump: float
    step: float
    ring: float


def seam(
    result: Pixels,
    untouched: Pixels,
    points: NDArray[np.floating],
    alignment: Alignment,
    upscale: int = 1,
    level: float = 0.5,
) -> tuple[Seam, Seam]:
    """The seams of ``result`` and of ``untouched`` [H, W, 3] where the mask of a face is ``level``.

    ``points`` and ``alignment`` are of the picture before ``upscale``.
    """
    height, width = (side // upscale for side in result.shape[:2])
    mask = face_mask(alignment.to_crop(points), alignment.size)
    (rows, columns), laid = lay_out(mask, alignment, width, height, upscale)
    feather = max(FEATHER * alignment.size / 512 / alignment.scale * upscale, 1.0)
    edge, normals = _edge(laid, level)
    measured = []
    for picture in (result, untouched):
        light = cv2.GaussianBlur(picture[rows, columns].astype(np.float32), (0, 0), feather / 2)
        inside, at, outside = (_read(light, edge + k * feather * normals) for k in (-1, 0, 1))
        measured.append((outside - at, at - inside))
    (out_r, in_r), (out_u, in_u) = measured
    ring = float(np.abs(((out_r + in_r) - (out_u + in_u)).mean(0)).mean())
    made, before = (
        Seam(float(np.abs(o - i).mean()), float(np.abs(o + i).mean()), ring if k == 0 else 0.0)
        for k, (o, i) in enumerate(measured)
    )
    return made, before


def _edge(mask: NDArray[np.float32], level: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Places [n, 2] where the mask is ``level`` and the directions [n, 2] out of it."""
    contours, _ = cv2.findContours((mask > level).astype(np.uint8), cv2.RETR_EXTERNAL, cv2.CHAIN_APPROX_NONE)
    places = np.concatenate(contours)[:, 0].astype(np.float32)
    smooth = cv2.GaussianBlur(mask, (0, 0), 1.0)
    slope = np.stack([_read(cv2.Sobel(smooth, cv2.CV_32F, *d), places) for d in ((1, 0), (0, 1))], -1)
    steep = np.hypot(slope[:, 0], slope[:, 1])
    good = steep > 1e-3 * steep.max()  # not where the picture's border cuts the mask
    inner = (places > 1).all(1) & (places < np.array(mask.shape[::-1]) - 2).all(1)
    return places[good & inner], -slope[good & inner] / steep[good & inner, None]


def _read(picture: NDArray[np.float32], places: NDArray[np.float32]) -> NDArray[np.float32]:
    """Values [n, ...] at ``places`` [n, 2] of the picture, bilinear."""
    read = cv2.remap(
        picture, places[None].astype(np.float32), None, cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE
    )
    return np.asarray(read[0], np.float32)


@dataclass(frozen=True, eq=False)
class Scene:
    """A degraded photograph with a face in it."""

    name: str
    picture: Pixels
    points: NDArray[np.float64]
    reference: Pixels | None  # [512, 512, 3] aligned


def scene(
    face: Pixels,
    points: NDArray[np.float64],
    size: int,
    angle: float,
    center: tuple[float, float] = (0.5, 0.5),
) -> tuple[Pixels, NDArray[np.float64]]:
    """An aligned face [512, 512, 3] in a picture whose background mirrors it, and the points [5, 2] there.

    ``size``: width and height, in which the crop would have ``size`` / 2; ``angle`` in degrees.
    """
    zoom = size / 2 / 512
    turn = np.radians(angle)
    linear = zoom * np.array([[np.cos(turn), -np.sin(turn)], [np.sin(turn), np.cos(turn)]])
    shift = np.array(center) * size - linear @ [255.5, 270]
    matrix = np.concatenate([linear, shift[:, None]], 1)
    source = face if zoom >= 1 else cv2.GaussianBlur(face, (0, 0), 0.5 / zoom)
    picture = cv2.warpAffine(
        source, matrix, (size, size), flags=cv2.INTER_CUBIC, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(picture, np.uint8), points @ linear.T + shift


def degraded(picture: Pixels, face: float, level: str, rng: np.random.Generator) -> Pixels:
    """The picture with the noise, blur and JPEG of a test level; ``face``: pixels of the 512 crop in it.

    Where the level's loss of pixels exceeds the picture's, it is shrunk and grown again.
    """
    from refstar_model.data.degradation import LEVELS

    if level == "clean":
        return picture
    how = LEVELS[level](rng).last
    scale = face / 512
    out = cv2.GaussianBlur(picture, (0, 0), max(how.blur * scale, 0.2))
    down = min(1.0, 1 / (how.down * scale))
    small = cv2.resize(out, None, fx=down, fy=down, interpolation=cv2.INTER_AREA)
    noisy = small + rng.normal(0, how.noise, small.shape)
    _, coded = cv2.imencode(
        ".jpg", np.clip(np.rint(noisy), 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, how.jpeg.quality]
    )
    small = cv2.imdecode(coded, cv2.IMREAD_COLOR)
    return np.asarray(cv2.resize(small, picture.shape[1::-1], interpolation=cv2.INTER_LINEAR), np.uint8)


def scenes(folder: Path, count: int, seed: int = 0) -> Iterator[Scene]:
    """``count`` val photographs with a second one of the person, each at several levels and sizes."""
    from refstar_model.data.photos import load_photos

    photos = load_photos(folder / "faces").split("val")
    found = _points(folder / "faces" / "faces.csv")
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(photos.pairs))
    kinds = [
        ("clean", 1300),
        ("moderate", 1300),
        ("moderate", 320),
        ("severe", 900),
        ("severe", 160),
        ("moderate", 2600),
    ]
    for number, index in enumerate(order[:count]):
        pair = photos.pairs[index]
        face, reference = (
            cv2.resize(photos.read(f, 256), (512, 512), interpolation=cv2.INTER_CUBIC)
            for f in (pair.first, pair.second)
        )
        for level, size in kinds:
            angle = float(rng.uniform(-35, 35))
            picture, points = scene(face, found[pair.first], size, angle)
            if number % 4 == 3:
                picture = np.repeat(cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)[..., None], 3, -1)
            yield Scene(f"{level} {size // 2}", degraded(picture, size / 2, level, rng), points, reference)


def _points(table: Path) -> dict[str, NDArray[np.float64]]:
    """Five points of every photograph on the 512 template, from those in its source."""
    import csv

    with table.open(newline="") as lines:
        found = {
            row["file"]: np.array(row["lm5"].split(), float).reshape(5, 2) for row in csv.DictReader(lines)
        }
    return {file: align(points, 512).to_crop(points) for file, points in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--count", type=int, default=12, help="photographs")
    parser.add_argument("--upscale", type=int, default=1)
    parser.add_argument(
        "--sheet", type=Path, help="where to write before | with reference | without, for the eye"
    )
    options = parser.parse_args()
    from refstar_service.engine.manifest import load_manifest
    from refstar_service.engine.restorer import FaceTask, ReferencePicture, Restorer
    from refstar_service.settings import Settings

    restorer = Restorer(load_manifest(Settings().models_dir / "refstar"))
    table: dict[str, list[list[float]]] = {}
    rows = []
    for place in scenes(Path(os.environ["REFSTAR_DATA"]), options.count):
        alignment = align(place.points, 512)
        crop = cut(place.picture, alignment)
        known = () if place.reference is None else (ReferencePicture(place.name, place.reference),)
        untouched = enlarge(place.picture, options.upscale)
        shown = [untouched]
        for kind, references in (("reference", known), ("none", ())):
            restored = restorer.restore([FaceTask(crop, references, 1.0, 0.5)])[0].pixels
            face = PastedFace(restored, alignment, place.points.astype(np.float32))
            result = paste_faces(place.picture, [face], options.upscale)
            shown.append(result)
            values = []
            for level in (0.5, 0.15, 0.85):
                made, before = seam(result, untouched, place.points, alignment, options.upscale, level)
                values += [made.jump, before.jump, made.step, before.step, made.ring]
            table.setdefault(f"{place.name:14} {kind}", []).append(values)
        rows.append(_shown(shown, place.points * options.upscale))
    print(f"{'scene, crop size':24}  n  jump  step  ring | the same where the mask is 0.15 and 0.85")
    for name, cases in table.items():
        mean = np.mean(cases, 0).reshape(3, 5)
        print(
            f"{name:24} {len(cases):2}",
            " | ".join(f"{r[0] / r[1]:5.3f} {r[2] / r[3]:5.3f} {r[4]:5.2f}" for r in mean),
        )
    if options.sheet:
        cv2.imwrite(str(options.sheet), np.concatenate(rows)[..., ::-1])


def _shown(pictures: list[Pixels], points: NDArray[np.float64], side: int = 400) -> Pixels:
    """The surroundings of a face in each picture, side by side."""
    middle, reach = points.mean(0), 2.2 * float(np.ptp(points, 0).max())
    matrix = np.array([[1, 0, -middle[0] + reach], [0, 1, -middle[1] + reach]]) * side / (2 * reach)
    small = Alignment(matrix, side)
    return np.concatenate([cut(p, small) for p in pictures], 1)


if __name__ == "__main__":
    main()
