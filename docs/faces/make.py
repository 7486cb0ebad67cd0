"""Make docs/faces/sheet.jpg: the hard cases, each as it went in and as it came out.

    .venv/bin/python docs/faces/make.py --people FOLDER

FOLDER holds official photographs of the US government, which are in the public domain: ``obama.jpg``, ``obama2.jpg``,
``obama3.jpg``, ``biden.jpg`` and ``obama_partial_face.jpg`` as the source distribution of face_recognition 1.3.0 has
them, and ``grace_hopper.jpg`` of matplotlib's sample data. The astronaut and the rocket come with scikit-image. All
pictures are composed, made bad and restored here, through ``refstar restore``. Biden's portrait is one of the training
photographs, the others are not.
"""

import argparse
import json
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

import cv2
import numpy as np
import skimage.data
from numpy.typing import NDArray
from refstar_service.app.cli import run

Pixels = NDArray[np.uint8]
HERE = Path(__file__).parent
HEIGHT, WIDEST = 240, 460  # a picture is fitted into these
FONT = cv2.FONT_HERSHEY_SIMPLEX
COLORS = {
    "restored": (60, 170, 60),
    "kept": (60, 120, 200),
    "skipped": (230, 160, 30),
    "failed": (215, 50, 50),
}


@dataclass(frozen=True)
class Case:
    title: str
    picture: Pixels
    references: tuple[Pixels, ...] = ()
    options: tuple[str, ...] = ()
    close: tuple[int, int, int, int] | None = None  # x, y, width, height of the part shown large
    reference_title: str = ""
    faces: list[dict[str, object]] = field(default_factory=list)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--people", type=Path, required=True)
    parser.add_argument("--models-dir", type=Path)
    parser.add_argument("--out", type=Path, default=HERE / "sheet.jpg")
    arguments = parser.parse_args()
    extra = ["--models-dir", str(arguments.models_dir)] if arguments.models_dir else []
    rows = [row(case, extra) for case in cases(arguments.people)]
    width = max(r.shape[1] for r in rows)
    rows = [np.pad(r, ((0, 0), (0, width - r.shape[1]), (0, 0)), constant_values=255) for r in rows]
    sheet = np.vstack(rows)
    cv2.imwrite(str(arguments.out), sheet[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 86])
    print(arguments.out, sheet.shape)


def cases(folder: Path) -> list[Case]:
    obama, speaking, standing = (read(folder / f"{n}.jpg") for n in ("obama", "obama2", "obama3"))
    hopper, biden = read(folder / "grace_hopper.jpg"), read(folder / "biden.jpg")
    cut = read(folder / "obama_partial_face.jpg")
    collins = np.ascontiguousarray(skimage.data.astronaut())
    return [
        Case(
            "two people, faces=all, no reference",
            bad(np.hstack([portrait(standing, 700), portrait(collins, 700)]), 4.0),
        ),
        Case(
            "two people, a reference for the one in the box",
            bad(np.hstack([portrait(speaking, 520), portrait(hopper, 520)[:, 100:]]), 7.0),
            (obama,),
            ("--boxes", "100,130,170,240"),
        ),
        Case(
            "a group of eight, faces=all", bad(group(standing, biden, hopper, collins, obama, speaking), 2.2)
        ),
        Case("a tilted head, with a reference", bad(turned(portrait(obama, 900), 28), 9.0), (speaking,)),
        Case("a face cut by the border, with a reference", bad(portrait(cut, 620), 9.0), (obama,)),
        Case(
            "a 16 px face beside a large one, faces=all",
            with_small(bad(portrait(obama, 800), 2.0), portrait(collins, 640), 16),
        ),
        Case(
            "sunglasses drawn on, with a reference", bad(sunglasses(portrait(obama, 800)), 6.0), (speaking,)
        ),
        Case("no face: the job fails", bad(np.ascontiguousarray(skimage.data.rocket()), 2.0)),
        Case(
            "a wrong person's reference",
            bad(portrait(obama, 900), 11.0),
            (biden,),
            reference_title="somebody else",
        ),
        Case("the same with the right one", bad(portrait(obama, 900), 11.0), (speaking,)),
    ]


def row(case: Case, extra: Sequence[str]) -> Pixels:
    """Input with boxes, reference, result and a close look, with what the report says below."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        write(folder / "in.png", case.picture)
        arguments = ["restore", str(folder / "in.png"), "-o", str(folder / "out.png"), *case.options, *extra]
        for index, reference in enumerate(case.references):
            write(folder / f"reference{index}.png", reference)
            arguments += ["-r", str(folder / f"reference{index}.png")]
        status = run([*arguments, "--report", str(folder / "report.json")])
        report = json.loads((folder / "report.json").read_text())[0]
        result = read(folder / "out.png") if status == 0 else None
    faces = report.get("faces", [])
    marked = case.picture.copy()
    for face in faces:
        x, y, w, h = (round(v) for v in face["box"])
        cv2.rectangle(marked, (x, y), (x + w, y + h), COLORS[face["action"]], max(1, marked.shape[0] // 150))
    chosen = [f for f in faces if f["action"] == "restored"]
    area = close_up(case.picture, max(chosen or faces, key=lambda f: f["box"][2], default=None))
    cells = [fitted(marked, "in")]
    cells += [fitted(r, case.reference_title or "reference") for r in case.references]
    if result is not None:
        cells += [fitted(result, "out")]
    if faces:
        cells += [fitted(crop(case.picture, area), "in, close")]
    if result is not None:
        cells += [fitted(crop(result, area), "out, close")]
    body = np.hstack(cells)
    body = np.pad(body, ((0, 0), (0, max(0, 900 - body.shape[1])), (0, 0)), constant_values=255)
    head = np.full((40, body.shape[1], 3), 255, np.uint8)
    cv2.putText(head, case.title, (10, 28), FONT, 0.8, (20, 20, 20), 2, cv2.LINE_AA)
    foot = np.full((36, body.shape[1], 3), 255, np.uint8)
    cv2.putText(foot, said(report), (10, 22), FONT, 0.55, (90, 90, 90), 1, cv2.LINE_AA)
    return np.vstack([head, body, foot])


def said(report: dict[str, object]) -> str:
    counts: dict[str, int] = {}
    for face in report.get("faces", []):  # type: ignore[attr-defined]
        what = face["action"] + (f" ({face['reason']})" if face["reason"] else "")
        counts[what] = counts.get(what, 0) + 1
    words = [f"{count} {what}" for what, count in counts.items()]
    error = report.get("error")
    if error:
        words.append(f"failed: {error['code'] if isinstance(error, dict) else error}")
    return ", ".join(words) or str(report.get("status"))


def close_up(picture: Pixels, face: dict[str, list[float]] | None) -> tuple[int, int, int, int]:
    height, width = picture.shape[:2]
    if face is None:
        return 0, 0, width, height
    x, y, w, h = face["box"]
    side = 1.5 * max(w, h)
    left, top = int(x + w / 2 - side / 2), int(y + h / 2 - side / 2)
    return left, top, int(side), int(side)


def crop(picture: Pixels, area: tuple[int, int, int, int]) -> Pixels:
    x, y, w, h = area
    return picture[max(0, y) : y + h, max(0, x) : x + w]


def fitted(picture: Pixels, title: str) -> Pixels:
    scale = min((HEIGHT - 8) / picture.shape[0], (WIDEST - 8) / picture.shape[1])
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    small = cv2.resize(picture, None, fx=scale, fy=scale, interpolation=method)
    cell = np.full((HEIGHT + 26, max(small.shape[1] + 8, 190), 3), 255, np.uint8)
    cv2.putText(cell, title, (6, HEIGHT + 18), FONT, 0.55, (60, 60, 60), 1, cv2.LINE_AA)
    top = HEIGHT - small.shape[0] - 4
    cell[top : top + small.shape[0], 4 : 4 + small.shape[1]] = small
    return cell


def portrait(picture: Pixels, height: int) -> Pixels:
    """The upper part of a photograph, square where it can be, at a height."""
    side = min(picture.shape[:2])
    top = picture[:side]
    scale = height / side
    method = cv2.INTER_AREA if scale < 1 else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(top, None, fx=scale, fy=scale, interpolation=method), np.uint8)


def group(*people: Pixels) -> Pixels:
    """Eight portraits in two rows, mirrored ones among them."""
    eight = [*people, people[2][:, ::-1], people[0][:, ::-1]]
    tiles = [portrait(np.ascontiguousarray(p), 300) for p in eight]
    tiles = [t[:, max(0, (t.shape[1] - 300) // 2) :][:, :300] for t in tiles]
    return np.vstack([np.hstack(tiles[:4]), np.hstack(tiles[4:])])


def turned(picture: Pixels, degrees: float) -> Pixels:
    height, width = picture.shape[:2]
    matrix = cv2.getRotationMatrix2D((width / 2, height / 2), degrees, 1.0)
    return np.asarray(
        cv2.warpAffine(picture, matrix, (width, height), borderMode=cv2.BORDER_REFLECT_101), np.uint8
    )


def with_small(picture: Pixels, other: Pixels, side: int) -> Pixels:
    """A second portrait at the left edge, so small that its face has about ``side`` pixels."""
    scale = side / (0.226 * other.shape[0])
    small = cv2.resize(other, None, fx=scale, fy=scale, interpolation=cv2.INTER_AREA)
    out = picture.copy()
    out[300 : 300 + small.shape[0], 30 : 30 + small.shape[1]] = small
    return out


def sunglasses(picture: Pixels) -> Pixels:
    """Dark glasses over the eyes, which are looked for with the shipped detector."""
    from refstar_service.faces.detect import load_detector
    from refstar_service.settings import Settings

    face = load_detector(Settings().models_dir).find(picture)[0]
    left, right = face.points[:2]
    apart, out = float(np.linalg.norm(right - left)), picture.copy()
    for eye in (left, right):
        axes = (round(0.42 * apart), round(0.33 * apart))
        cv2.ellipse(
            out, (round(float(eye[0])), round(float(eye[1]))), axes, 0, 0, 360, (15, 15, 18), -1, cv2.LINE_AA
        )
    ends = [(round(float(p[0])), round(float(p[1]) - 0.1 * apart)) for p in (left, right)]
    cv2.line(out, ends[0], ends[1], (15, 15, 18), max(2, round(apart / 14)), cv2.LINE_AA)
    return out


def bad(picture: Pixels, shrink: float) -> Pixels:
    """Blurred, shrunk, noisy, compressed, enlarged again."""
    rng = np.random.default_rng(5)
    height, width = picture.shape[:2]
    out = cv2.GaussianBlur(picture, (0, 0), 0.6 * shrink)
    out = cv2.resize(out, (round(width / shrink), round(height / shrink)), interpolation=cv2.INTER_AREA)
    out = np.clip(out + rng.normal(0, 6, out.shape), 0, 255).astype(np.uint8)
    coded = cv2.imencode(".jpg", out[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 75])[1]
    out = cv2.imdecode(coded, cv2.IMREAD_COLOR)[..., ::-1]
    return np.ascontiguousarray(cv2.resize(out, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)


def read(path: Path) -> Pixels:
    picture = cv2.imread(str(path))
    if picture is None:
        raise FileNotFoundError(f"{path}: no picture")
    return np.ascontiguousarray(picture[..., ::-1])


def write(path: Path, pixels: Pixels) -> None:
    cv2.imwrite(str(path), pixels[..., ::-1])


if __name__ == "__main__":
    main()
