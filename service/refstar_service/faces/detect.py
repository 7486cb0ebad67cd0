"""Finding faces with the shipped networks: the finder over views of the picture, the refiner on what it found.

The finder knows faces of 9 to 48 pixels, so the picture is shown to it at halving sizes; that is also how a blurred
face is found best. What it finds is shown upright to the refiner, which throws out what is no face and sets the five
points.
"""

from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_service.engine.errors import ModelError
from refstar_service.engine.manifest import ModelManifest, load_manifest
from refstar_service.engine.provider import Provider
from refstar_service.engine.restorer import golden_picture
from refstar_service.engine.session import Session
from refstar_service.faces.align import TEMPLATE, similarity
from refstar_service.faces.face import LEAST_SCORE, Face, FaceDetector
from refstar_service.faces.sampling import scale_of
from refstar_service.faces.thorough import ThoroughDetector

Pixels = NDArray[np.uint8]

LONG_SIDE = 1280  # pixels of the largest view: faces below 1/140 of the picture's longer side are not found
LEAST_VIEW = 40  # pixels of the smallest view's longer side: there a face that fills the picture has 48
MULTIPLE = 16  # a view's sides, as the graph wants them
CANDIDATE = 0.15  # finder's score from which a place is looked at again
MOST_CANDIDATES = 400
AT_ONCE = 32  # candidates in one run of the refiner
#: Side in pixels below which there is little to see, and how much surer a face must be there.
SMALL, SMALL_EXTRA = 32.0, 0.1
LEAST_SIZE = 12.0  # pixels: smaller ones are more often anything else
SAME_FACE = 0.4  # intersection over union from which two boxes are one face

#: How finds are looked at again (turn in radians, scale), the mean score from which one stays a face then, and how far
#: its points may move, in distances of the eyes. Of 32 false finds in 76 pictures without people, also turned and in
#: quarters, 6 are left; of 639 faces in scenes, 120 low-resolution, 72 historic and 50 varied portraits none is lost.
_OTHERWISE = ((0.3, 1.0), (-0.3, 1.0), (0.0, 1.25), (0.0, 0.8))
STEADY, STILL = 0.4, 0.07

CROP = 64
MIRRORED = [1, 0, 2, 4, 3]  # the five points' order in a mirrored picture
ZOOM, CENTER = 1.3, (256.0, 300.0)  # the crop shows 1 / 1.3 of the 512 template around this place
CROP_TEMPLATE = (TEMPLATE - CENTER) * (CROP / 512 * ZOOM) + (CROP - 1) / 2


@dataclass(frozen=True, eq=False)
class View:
    """The picture at one size. ``x_scale`` and ``y_scale``: picture pixels per view pixel."""

    pixels: Pixels
    x_scale: float
    y_scale: float

    def to_picture(self, points: NDArray[np.float64]) -> NDArray[np.float64]:
        """[..., 2] from view to picture; pixel centers are whole numbers in both."""
        return np.asarray((points + 0.5) * (self.x_scale, self.y_scale) - 0.5)


class ShippedDetector:
    """The detector of a model folder; a ``FaceDetector``."""

    def __init__(self, manifest: ModelManifest, *, threads: int = 0) -> None:
        """Load and try it on the golden picture; raises ModelError. It runs on the CPU: its views differ in size."""
        manifest.verify()
        for name in ("detect", "refine"):
            if name not in manifest.graphs:
                raise ModelError(f"{manifest.folder}: names no graph `{name}`, so it is no face detector")
        self.label = manifest.label
        self._detect = Session(manifest.path("detect"), Provider.CPU, threads=threads)
        self._refine = Session(manifest.path("refine"), Provider.CPU, threads=threads)
        found = self._refine.run({"crops": golden_picture(CROP)[None]})["points"][0]
        worst = float(np.abs(found - np.asarray(manifest.golden["points"])).max())
        if not worst <= float(manifest.golden["tolerance"]):
            raise ModelError(
                f"{manifest.label}: points of the golden picture are off by {worst:.2f} pixels, allowed "
                f"{manifest.golden['tolerance']}; this machine computes something else"
            )

    def find(self, pixels: Pixels, min_score: float = LEAST_SCORE) -> list[Face]:
        views = picture_views(pixels)
        boxes, scores, points = self._candidates(views)
        kept = distinct(boxes, scores)[:MOST_CANDIDATES]
        boxes, points, first = boxes[kept], points[kept], scores[kept]
        layers = [View(pixels, 1.0, 1.0), *views] if views[0].x_scale > 1 else views
        before = points
        points, _, _ = self._refine_faces(
            layers, points
        )  # the second look starts from the first one's points
        points, second, mirrored = self._refine_faces(layers, points)
        # Finder and refiner err on different things, so the score is the geometric mean of theirs.
        scores = np.sqrt(first * np.sqrt(second * mirrored))
        boxes = np.array([_move_faces(b, p, q) for b, p, q in zip(boxes, before, points, strict=True)])
        size = np.sqrt(np.prod(boxes[:, 2:], 1)) if len(boxes) else np.zeros(0)
        least = np.where(size < SMALL, min(1.0, min_score + SMALL_EXTRA), min_score)
        likely = np.flatnonzero((size >= LEAST_SIZE) & (scores >= least))
        scores[likely] *= self._steadiness(layers, points[likely])
        sure = likely[scores[likely] >= least[likely]]
        order = sure[distinct(boxes[sure], scores[sure])] if len(sure) else sure
        return [_face(boxes[i], scores[i], points[i]) for i in order]

    def _candidates(
        self, views: list[View]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Boxes [n, 4], scores [n] and points [n, 5, 2] in picture pixels, of all views."""
        boxes, scores, points = [np.zeros((0, 4))], [np.zeros(0)], [np.zeros((0, 5, 2))]
        for view in views:
            answer = self._detect.run({"image": _pad_picture(view.pixels)[None]})
            good = np.flatnonzero(answer["scores"][0] >= CANDIDATE)
            box = answer["boxes"][0, good].astype(np.float64)
            corner = view.to_picture(box[:, :2] - 0.5) + 0.5
            boxes.append(np.concatenate([corner, box[:, 2:] * (view.x_scale, view.y_scale)], 1))
            scores.append(answer["scores"][0, good].astype(np.float64))
            points.append(view.to_picture(answer["points"][0, good].astype(np.float64)))
        return np.concatenate(boxes), np.concatenate(scores), np.concatenate(points)

    def _refine_faces(
        self, layers: list[View], points: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """Better points for candidates at ``points`` [n, 5, 2], their scores, and those of their mirror images.

        A face is one in the mirror too, and its points are the mean of both looks; what resembles one often is not.
        """
        scores, mirrored, better = np.zeros(len(points)), np.zeros(len(points)), points.copy()
        for start in range(0, len(points), AT_ONCE):
            chunk = points[start : start + AT_ONCE]
            cuts = [_crop(layers, p) for p in chunk]
            crops = np.stack([crop for crop, _ in cuts])
            answer = self._refine.run({"crops": np.concatenate([crops, crops[:, :, ::-1]])})
            count = len(chunk)
            scores[start : start + count] = answer["scores"][:count]
            mirrored[start : start + count] = answer["scores"][count:]
            other = answer["points"][count:, MIRRORED] * (-1, 1) + (CROP - 1, 0)
            found = (answer["points"][:count] + other) / 2
            for row, (_, matrix) in enumerate(cuts):
                back = cv2.invertAffineTransform(matrix)
                better[start + row] = found[row] @ back[:, :2].T + back[:, 2]
        return better, scores, mirrored

    def _steadiness(self, layers: list[View], points: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of finds at ``points`` [n, 5, 2], 0..1: whether they stay faces, and their points in place, seen otherwise.

        What only resembles a face does so from one point of view. Turned either way, closer and from farther
        off it scores less, and its points move.
        """
        scores, apart = np.zeros(len(points)), np.zeros(len(points))
        width = np.linalg.norm(points[:, 1] - points[:, 0], axis=1) if len(points) else np.zeros(0)
        for tilt, scale in _OTHERWISE:
            seen, one, other = self._refine_faces(layers, _seen_otherwise(points, tilt, scale))
            scores += np.log(np.sqrt(one * other) + 1e-6) / len(_OTHERWISE)
            apart += np.linalg.norm(seen - points, axis=2).mean(1) / np.maximum(width, 1e-6) / len(_OTHERWISE)
        held = np.minimum(1, np.exp(scores) / STEADY) * np.minimum(1, STILL / np.maximum(apart, 1e-6))
        return np.asarray(np.sqrt(held))


def load_detector(models_dir: Path, yunet: Path | None = None, threads: int = 0) -> FaceDetector:
    """The shipped detector (the folder ``detector`` of ``models_dir``), or the operator's YuNet file instead.

    Raises ModelError.
    """
    if yunet is not None:
        from refstar_service.faces.yunet import YuNetDetector

        return ThoroughDetector(YuNetDetector(yunet))
    return ThoroughDetector(ShippedDetector(load_manifest(models_dir / "detector"), threads=threads))


def picture_views(pixels: Pixels) -> list[View]:
    """The picture at its own size, at most ``LONG_SIDE``, and at halves of that, largest first."""
    height, width = pixels.shape[:2]
    scale = min(1.0, LONG_SIDE / max(height, width))
    views: list[View] = []
    source = pixels
    while not views or scale * max(height, width) >= LEAST_VIEW:
        size = (max(1, round(width * scale)), max(1, round(height * scale)))
        if size != (source.shape[1], source.shape[0]):
            source = np.asarray(cv2.resize(source, size, interpolation=cv2.INTER_AREA), np.uint8)
        views.append(View(source, width / size[0], height / size[1]))
        scale /= 2
    return views


def distinct(boxes: NDArray[np.float64], scores: NDArray[np.float64]) -> NDArray[np.intp]:
    """Indices of the boxes [n, 4] that are not the same face as a better one, best first."""
    order = np.argsort(-scores, kind="stable")
    corners = np.concatenate([boxes[:, :2], boxes[:, :2] + boxes[:, 2:]], 1)
    areas = np.prod(boxes[:, 2:], 1)
    kept: list[int] = []
    while len(order):
        best, rest = order[0], order[1:]
        kept.append(int(best))
        low = np.maximum(corners[best, :2], corners[rest, :2])
        high = np.minimum(corners[best, 2:], corners[rest, 2:])
        common = np.prod(np.clip(high - low, 0, None), 1)
        union = areas[best] + areas[rest] - common
        # A box mostly inside a better one is that face's part, or it with its hair.
        inside = common / np.minimum(areas[best], areas[rest])
        order = rest[(common < SAME_FACE * union) & (inside < 0.75)]
    return np.asarray(kept, np.intp)


def _seen_otherwise(points: NDArray[np.float64], tilt: float, scale: float) -> NDArray[np.float64]:
    """Points [n, 5, 2] turned by ``tilt`` and scaled around the middle of their face."""
    cosine, sine = scale * np.cos(tilt), scale * np.sin(tilt)
    middle = points.mean(1, keepdims=True)
    return np.asarray((points - middle) @ np.array([[cosine, sine], [-sine, cosine]]) + middle)


def _pad_picture(pixels: Pixels) -> Pixels:
    """Sides brought to multiples of 16 at the right and at the bottom, in the gray that convolutions pad with."""
    height, width = pixels.shape[:2]
    down, right = -height % MULTIPLE, -width % MULTIPLE
    if not (down or right):
        return pixels
    return np.asarray(
        cv2.copyMakeBorder(pixels, 0, down, 0, right, cv2.BORDER_CONSTANT, value=(127, 127, 127)), np.uint8
    )


def _crop(layers: list[View], points: NDArray[np.float64]) -> tuple[Pixels, NDArray[np.float64]]:
    """The refiner's crop of a candidate, and the map [2, 3] from picture to crop.

    It is cut from the smallest layer that has the detail, so nothing is skipped when a large face shrinks.
    """
    matrix = similarity(points, CROP_TEMPLATE)
    scale = scale_of(matrix)  # crop pixels per picture pixel
    layer = next((v for v in reversed(layers) if v.x_scale * scale <= 1.0), layers[0])
    # picture = layer * s + (s - 1) / 2
    factors = np.array([layer.x_scale, layer.y_scale])
    local = np.column_stack([matrix[:, :2] * factors, matrix[:, :2] @ ((factors - 1) / 2) + matrix[:, 2]])
    crop = cv2.warpAffine(
        layer.pixels, local, (CROP, CROP), flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REFLECT_101
    )
    return np.asarray(crop, np.uint8), matrix


def _move_faces(
    box: NDArray[np.float64], before: NDArray[np.float64], after: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The finder's box, moved and scaled as its points were."""
    matrix = similarity(before, after)
    scale = scale_of(matrix)
    middle = matrix[:, :2] @ (box[:2] + box[2:] / 2 - 0.5) + matrix[:, 2] + 0.5
    return np.concatenate([middle - box[2:] * scale / 2, box[2:] * scale])


def _face(box: NDArray[np.float64], score: float, points: NDArray[np.float64]) -> Face:
    x, y, width, height = (round(float(v), 2) for v in box)
    return Face((x, y, width, height), round(float(score), 4), np.asarray(points, np.float32))
