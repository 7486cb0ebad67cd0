"""The shipped face detector beside YuNet, on scenes made from the val people with a fixed seed.

    REFSTAR_DATA=... python bench/detector.py [--scenes 150] [--empty FOLDER ...]

The truth is what both teachers say of the clean photographs. Scenes hold one to six faces of 32 to 400 pixels, turned
by up to 35 degrees; the degraded ones are the same scenes made bad with the ranges of the moderate and severe levels,
by the size of their faces. Pictures without faces are drawn or made of the surroundings of val faces; ``--empty`` adds
real ones, whole and in quarters. Times are of one 1920x1080 scene with two threads.
"""

import argparse
import json
import os
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from refstar_model.data.degradation import LEVELS, Recipe
from refstar_model.data.photos import load_photos
from refstar_model.detector.backgrounds import read_folder
from refstar_model.detector.labels import Teachers, label_photos
from refstar_model.detector.samples import Cast, angle
from refstar_model.detector.scenes import PlacedFace, place
from refstar_service.faces.detect import load_detector
from refstar_service.faces.face import Face, FaceDetector
from refstar_service.faces.yunet import YuNetDetector

Pixels = NDArray[np.uint8]
CROP_PER_FACE = 512 / 321  # side of the aligned crop by side of the face's box


@dataclass(frozen=True, eq=False)
class Scene:
    pixels: Pixels
    faces: list[PlacedFace]


@dataclass
class Score:
    """Counts over scenes; ``errors`` in inter-ocular distances of the truth."""

    faces: int = 0
    found: int = 0
    false: int = 0
    errors: list[float] | None = None

    def add(self, truth: Sequence[PlacedFace], found: Sequence[Face]) -> None:
        self.errors = self.errors if self.errors is not None else []
        left = list(found)
        for face in truth:
            self.faces += 1
            middle = face.points.mean(0)
            near = [f for f in left if np.linalg.norm(f.points.mean(0) - middle) < 0.5 * face.iod]
            near = [f for f in near if 0.5 < f.size / face.size < 2]
            if near:
                best = max(near, key=lambda f: f.score)
                left.remove(best)
                self.found += 1
                self.errors.append(float(np.linalg.norm(best.points - face.points, axis=1).mean() / face.iod))
        self.false += len(left)


def make_scene(cast: Cast, rng: np.random.Generator, size: float) -> Scene:
    """A 1280x960 or 1920x1080 scene with faces of about ``size`` pixels."""
    width, height = ((1280, 960), (1920, 1080))[int(rng.integers(2))]
    small = cast.background(height // 2, width // 2, rng)
    scene = np.asarray(cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC), np.uint8)
    faces: list[PlacedFace] = []
    for _ in range(int(rng.integers(1, 7))):
        side = max(32.0, size * np.exp(rng.normal(0, 0.15)))
        for _ in range(20):
            x, y = rng.uniform(0.6 * side, width - 0.6 * side), rng.uniform(0.75 * side, height - 0.75 * side)
            if all(np.hypot(*(f.box[:2] + f.box[2:] / 2 - (x, y))) > 1.25 * max(side, f.size) for f in faces):
                actor = cast.actors[int(rng.integers(len(cast.actors)))]
                faces.append(place(scene, actor, (x, y), side, angle(rng), rng))
                break
    return Scene(scene, faces)


def degraded(scene: Scene, recipe: Recipe, rng: np.random.Generator) -> Pixels:
    """The scene made bad as an aligned crop of its median face would be."""
    how = recipe.last
    crop = float(np.median([f.size for f in scene.faces])) * CROP_PER_FACE
    out = cv2.GaussianBlur(scene.pixels, (0, 0), max(0.2, how.blur * crop / 512))
    height, width = out.shape[:2]
    scale = min(1.0, 512 / how.down / crop)
    out = cv2.resize(out, (round(width * scale), round(height * scale)), interpolation=cv2.INTER_LINEAR)
    noisy = out.astype(np.float32) + rng.standard_normal(out.shape, np.float32) * how.noise
    coded = cv2.imencode(
        ".jpg", np.clip(noisy, 0, 255).astype(np.uint8), [cv2.IMWRITE_JPEG_QUALITY, how.jpeg.quality]
    )[1]
    return np.asarray(cv2.resize(cv2.imdecode(coded, cv2.IMREAD_COLOR), (width, height)), np.uint8)


def empty_pictures(cast: Cast, folders: Sequence[Path], count: int) -> tuple[list[Pixels], list[Pixels]]:
    """Made pictures without a face, and real ones whole and in quarters."""
    rng = np.random.default_rng(77)
    made = [cast.background(480, 640, rng) for _ in range(count)]
    real = []
    for picture in (p for folder in folders for p in read_folder(folder, 1600)):
        h, w = picture.shape[0] // 2, picture.shape[1] // 2
        real += [picture, picture[:h, :w], picture[h:, :w], picture[:h, w:], picture[h:, w:]]
    return made, real


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--scenes", type=int, default=150)
    parser.add_argument("--blank", type=int, default=400, help="made pictures without a face")
    parser.add_argument(
        "--empty", type=Path, nargs="*", default=[], help="folders of real face-free pictures"
    )
    parser.add_argument("--zoo", type=Path, help="a models folder, instead of the shipped one")
    parser.add_argument("--only-own", action="store_true")
    parser.add_argument(
        "--write", action="store_true", help="put the own figures into the detector's model.json"
    )
    arguments = parser.parse_args()
    data = Path(os.environ["REFSTAR_DATA"])
    photos = load_photos(data / "faces").split("val")
    yunet = data / "models/yunet/face_detection_yunet_2023mar.onnx"
    teachers = Teachers(yunet, data / "models/mediapipe/face_landmark.tflite")
    cast = Cast(photos, tuple(label_photos(photos, teachers)), None)
    zoo = arguments.zoo or Path(__file__).parents[1] / "service/refstar_service/zoo"
    detectors: dict[str, FaceDetector] = {"own": load_detector(zoo, threads=2)}
    if not arguments.only_own:
        detectors["YuNet"] = YuNetDetector(yunet)

    rng = np.random.default_rng(2026)
    scenes = [
        make_scene(cast, rng, float(np.exp(rng.uniform(np.log(32), np.log(400)))))
        for _ in range(arguments.scenes)
    ]
    levels: dict[str, list[Pixels]] = {"clean": [s.pixels for s in scenes]}
    levels |= {name: [degraded(s, draw(rng), rng) for s in scenes] for name, draw in LEVELS.items()}
    made, real = empty_pictures(cast, arguments.empty, arguments.blank)
    count = sum(len(s.faces) for s in scenes)
    print(
        f"{len(scenes)} scenes, {count} faces; {len(made)} made and {len(real)} real pictures without a face"
    )
    for name, detector in detectors.items():
        quality: dict[str, object] = {}
        print(f"\n{name} ({detector.label})")
        for level, pictures in levels.items():
            whole, small = Score(), Score()
            for scene, picture in zip(scenes, pictures, strict=True):
                found = detector.find(picture)
                whole.add(scene.faces, found)
                if float(np.median([f.size for f in scene.faces])) < 64:
                    small.add(scene.faces, found)
            print(f"  {level:9s} {_line(whole)}   below 64 px: {_line(small)}")
            quality[level] = {
                "recall": round(whole.found / whole.faces, 4),
                "error": round(float(np.mean(whole.errors or [0.0])), 4),
            }
        for label, pictures in (("made", made), ("real", real)):
            if pictures:
                false = [len(detector.find(p)) for p in pictures]
                print(f"  {label} empty: {sum(false)} false faces in {len(pictures)} pictures")
                quality[f"false_faces_per_100_{label}_pictures"] = round(100 * sum(false) / len(pictures), 2)
        picture = next(p for p in levels["clean"] if p.shape[1] == 1920)
        cv2.setNumThreads(2)
        times = []
        for _ in range(12):
            began = time.perf_counter()
            detector.find(picture)
            times.append(time.perf_counter() - began)
        print(f"  1920x1080: median {1e3 * float(np.median(times)):.0f} ms, least {1e3 * min(times):.0f} ms")
        if arguments.write and name == "own":
            path = zoo / "detector/model.json"
            manifest = json.loads(path.read_text())
            path.write_text(json.dumps(manifest | {"quality": quality}, indent=2) + "\n")


def _line(score: Score) -> str:
    errors = score.errors or [float("nan")]
    return (
        f"recall {score.found / max(1, score.faces):.4f} ({score.found}/{score.faces}), error "
        f"{np.mean(errors):.3f} (p95 {np.percentile(errors, 95):.3f}), false {score.false}"
    )


if __name__ == "__main__":
    main()
