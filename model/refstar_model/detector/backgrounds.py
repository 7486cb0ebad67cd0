"""Pictures without a face to put faces on, and to learn what is none.

They are drawn (colors, waves, noise, shapes, text), cut from what surrounds the faces of photographs, from face-free
photographs where there are some, or made of faces taken apart: an eye, a mouth, shuffled blocks.
"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]

#: In shares of an aligned photograph's side: places without face (x, y, width, height).
AROUND = (
    (0.0, 0.0, 0.2, 0.3), (0.8, 0.0, 0.2, 0.3), (0.0, 0.55, 0.2, 0.45), (0.8, 0.55, 0.2, 0.45),
    (0.0, 0.86, 1.0, 0.14), (0.05, 0.0, 0.9, 0.12),
)  # fmt: skip
HEAD = ((0.5, 0.53), (0.33, 0.46))  # center and half axes of an oval that covers face, forehead and chin
#: Parts of a face that are no face: eyes, one eye, nose, mouth, forehead, chin, left and right half.
PARTS = (
    (0.3, 0.38, 0.4, 0.16), (0.32, 0.4, 0.14, 0.14), (0.54, 0.4, 0.14, 0.14), (0.4, 0.45, 0.2, 0.2),
    (0.34, 0.64, 0.32, 0.18), (0.3, 0.12, 0.4, 0.22), (0.3, 0.74, 0.4, 0.24), (0.22, 0.62, 0.56, 0.36),
)  # fmt: skip
SUFFIXES = {".jpg", ".jpeg", ".png", ".webp"}


def read_folder(folder: Path, long_side: int = 1024) -> list[Pixels]:
    """The face-free photographs of a folder, RGB, reduced to ``long_side``."""
    pictures = []
    for path in sorted(p for p in folder.rglob("*") if p.suffix.lower() in SUFFIXES):
        picture = cv2.imread(str(path))
        if picture is None:
            raise ValueError(f"{path}: not a picture")
        scale = min(1.0, long_side / max(picture.shape[:2]))
        picture = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
        pictures.append(np.ascontiguousarray(picture[..., ::-1]))
    return pictures


def draw_background(height: int, width: int, rng: np.random.Generator) -> Pixels:
    """A drawn picture, RGB [height, width, 3]."""
    out = _gradient(height, width, rng)
    if rng.random() < 0.6:
        out = out + _noise(height, width, rng)
    if rng.random() < 0.25:
        out = out + _waves(height, width, rng)
    picture: Pixels = np.clip(out, 0, 255).astype(np.uint8)
    for _ in range(int(rng.integers(0, 12)) if rng.random() < 0.6 else 0):
        _shape(picture, rng)
    if rng.random() < 0.15:
        _text(picture, rng)
    return picture


def draw_patchwork(
    height: int,
    width: int,
    faces: Sequence[Pixels],
    scenery: Sequence[Pixels],
    rng: np.random.Generator,
) -> Pixels:
    """A face-free picture of photographic texture, RGB [height, width, 3], out of aligned photographs ``faces``."""
    kind = rng.random()
    if scenery and kind < 0.4:
        return _cut(scenery[int(rng.integers(len(scenery)))], height, width, rng)
    if kind < 0.65:
        return _cut(_behead(faces, rng), height, width, rng)
    out = draw_background(height, width, rng)
    for _ in range(int(rng.integers(1, 6))):
        source = faces[int(rng.integers(len(faces)))]
        places = AROUND if rng.random() < 0.6 else PARTS
        patch = _part(source, places[int(rng.integers(len(places)))])
        side = int(np.exp(rng.uniform(np.log(12), np.log(max(height, width)))))
        _lay(out, _warp_patch(patch, side, rng), rng)
    if rng.random() < 0.25:
        blocks = _shuffle_parts(faces[int(rng.integers(len(faces)))], rng)
        side = int(np.exp(rng.uniform(np.log(16), np.log(max(height, width)))))
        _lay(out, cv2.resize(blocks, (side, side), interpolation=cv2.INTER_AREA), rng)
    return out


def _gradient(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    corners = rng.uniform(0, 255, (2, 2, 3)).astype(np.float32)
    if rng.random() < 0.5:  # nearly plain
        corners = corners.mean((0, 1)) + (corners - corners.mean((0, 1))) * np.float32(rng.uniform(0, 0.3))
    if rng.random() < 0.3:  # gray
        corners = np.repeat(corners.mean(-1, keepdims=True), 3, -1)
    return np.asarray(cv2.resize(corners, (width, height), interpolation=cv2.INTER_LINEAR), np.float32)


def _noise(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    """Noise of several octaves, as clouds, leaves and cloth have."""
    out = np.zeros((height, width, 3), np.float32)
    power, colored = rng.uniform(0.3, 1.1), rng.random() < 0.5
    for octave in range(1, 7):
        cells = 2**octave
        grid = rng.normal(0, 1, (cells, cells, 3 if colored else 1)).astype(np.float32)
        layer = cv2.resize(grid, (width, height), interpolation=cv2.INTER_CUBIC)
        out += layer.reshape(height, width, -1) * np.float32(cells**-power)
    return out * np.float32(rng.uniform(10, 120))


def _waves(height: int, width: int, rng: np.random.Generator) -> NDArray[np.float32]:
    y, x = np.mgrid[:height, :width].astype(np.float32)
    angle, period = rng.uniform(0, np.pi), np.exp(rng.uniform(np.log(3), np.log(60)))
    wave = np.sin((x * np.cos(angle) + y * np.sin(angle)) * 2 * np.pi / period)
    if rng.random() < 0.5:
        wave = np.sign(wave)
    return np.asarray(wave[..., None] * rng.uniform(-60, 60, 3), np.float32)


def _color(rng: np.random.Generator) -> tuple[int, int, int]:
    if rng.random() < 0.35:  # as skin, so that color alone is no face
        red = rng.uniform(60, 250)
        red, green, blue = red, red * rng.uniform(0.6, 0.9), red * rng.uniform(0.4, 0.8)
    else:
        red, green, blue = rng.uniform(0, 255, 3)
    return int(red), int(green), int(blue)


def _shape(picture: Pixels, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    x, y = int(rng.integers(width)), int(rng.integers(height))
    size = np.exp(rng.uniform(np.log(2), np.log(max(height, width) / 2)))
    thick = -1 if rng.random() < 0.6 else int(rng.integers(1, 6))
    kind, color = rng.random(), _color(rng)
    if kind < 0.4:
        axes = (int(size * rng.uniform(0.3, 1)) + 1, int(size) + 1)
        cv2.ellipse(picture, (x, y), axes, rng.uniform(0, 180), 0, 360, color, thick, cv2.LINE_AA)
        if rng.random() < 0.4:  # dots and a line where a face has eyes and a mouth: a button, a socket, a car
            dark = _color(rng)
            for side in (-1, 1):
                at = (int(x + side * size * rng.uniform(0.2, 0.5)), int(y - size * rng.uniform(-0.2, 0.4)))
                cv2.circle(picture, at, max(1, int(size * rng.uniform(0.05, 0.2))), dark, -1, cv2.LINE_AA)
    elif kind < 0.7:
        corner = (int(x + size), int(y + size * rng.uniform(0.2, 2)))
        cv2.rectangle(picture, (x, y), corner, color, thick)
    else:
        points = rng.normal(0, size / 2, (int(rng.integers(2, 7)), 2)) + np.array([x, y])
        cv2.polylines(
            picture, [points.astype(np.int32)], rng.random() < 0.5, color, abs(thick) + 1, cv2.LINE_AA
        )


def _text(picture: Pixels, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    letters = "".join(chr(int(c)) for c in rng.integers(48, 122, 14))
    for _ in range(int(rng.integers(1, 6))):
        at = (int(rng.integers(-20, width)), int(rng.integers(height)))
        font = int(rng.integers(0, 8))
        cv2.putText(picture, letters, at, font, rng.uniform(0.3, 3), _color(rng), int(rng.integers(1, 5)))


def _part(source: Pixels, place: tuple[float, float, float, float]) -> Pixels:
    side = source.shape[0]
    x, y, w, h = (round(v * side) for v in place)
    return source[y : y + h, x : x + w]


def _warp_patch(patch: Pixels, side: int, rng: np.random.Generator) -> Pixels:
    """The patch with its longer side ``side``, turned and mirrored at random."""
    scale = side / max(patch.shape[:2])
    size = (max(2, round(patch.shape[1] * scale)), max(2, round(patch.shape[0] * scale)))
    out = cv2.resize(patch, size, interpolation=cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC)
    return np.asarray(np.rot90(out, int(rng.integers(4)))[:, :: rng.choice([-1, 1])], np.uint8)


def _behead(faces: Sequence[Pixels], rng: np.random.Generator) -> Pixels:
    """A photograph whose face is covered by something else, mostly softly: hair, collar, suit and flag are left."""
    source = faces[int(rng.integers(len(faces)))]
    side = source.shape[0]
    if rng.random() < 0.6:
        other = _part(faces[int(rng.integers(len(faces)))], AROUND[int(rng.integers(len(AROUND)))])
        filling = _cut(np.ascontiguousarray(other), side, side, rng)
    else:
        filling = draw_background(side, side, rng)
    cover = np.zeros((side, side), np.float32)
    (x, y), (a, b) = HEAD
    cv2.ellipse(cover, (int(x * side), int(y * side)), (int(a * side), int(b * side)), 0, 0, 360, 1.0, -1)
    cover = cv2.GaussianBlur(cover, (0, 0), rng.uniform(0.5, 8))[..., None]
    return np.asarray(source + (filling.astype(np.float32) - source) * cover, np.uint8)


def _shuffle_parts(face: Pixels, rng: np.random.Generator) -> Pixels:
    """The face's middle in blocks that have changed places."""
    side = face.shape[0]
    middle = face[side // 8 : side - side // 8, side // 8 : side - side // 8]
    count = int(rng.integers(3, 6))  # two by two would leave half faces whole
    step = middle.shape[0] // count
    blocks = [
        middle[y * step : (y + 1) * step, x * step : (x + 1) * step]
        for y in range(count)
        for x in range(count)
    ]
    order = rng.permutation(len(blocks))
    while np.array_equal(order, np.arange(len(blocks))):
        order = rng.permutation(len(blocks))
    rows = [np.hstack([blocks[order[y * count + x]] for x in range(count)]) for y in range(count)]
    return np.vstack(rows)


def _lay(picture: Pixels, patch: Pixels, rng: np.random.Generator) -> None:
    height, width = picture.shape[:2]
    x, y = int(rng.integers(-patch.shape[1] // 2, width)), int(rng.integers(-patch.shape[0] // 2, height))
    left, top, right, bottom = (
        max(x, 0),
        max(y, 0),
        min(x + patch.shape[1], width),
        min(y + patch.shape[0], height),
    )
    if right > left and bottom > top:
        picture[top:bottom, left:right] = patch[top - y : bottom - y, left - x : right - x]


def _cut(source: Pixels, height: int, width: int, rng: np.random.Generator) -> Pixels:
    """A random part of a photograph at a random scale, mirrored where it is too small."""
    least = max(height / source.shape[0], width / source.shape[1])
    scale = least * np.exp(rng.uniform(0, np.log(6))) if rng.random() < 0.5 else least
    part_h, part_w = (
        min(source.shape[0], int(height / scale) + 1),
        min(source.shape[1], int(width / scale) + 1),
    )
    y, x = int(rng.integers(source.shape[0] - part_h + 1)), int(rng.integers(source.shape[1] - part_w + 1))
    part = source[y : y + part_h, x : x + part_w]
    if rng.random() < 0.5:
        part = part[:, ::-1]
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_LINEAR
    return np.asarray(cv2.resize(part, (width, height), interpolation=method), np.uint8)
