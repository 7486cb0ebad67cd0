"""What the teachers say of a clean photograph: where the five points are, and the box.

YuNet's points jump by several pixels from view to view, so many views of one photograph are averaged; the face mesh has
another notion of where an eye is, so its mean offset is learnt from all photographs first, and the two are averaged.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.data.photos import PhotoSet

Pixels = NDArray[np.uint8]

SIDE = 256  # photographs are labeled at this size
VIEWS = (128, 144, 160, 192, 224, 256, 320)  # sides at which YuNet looks
MIRRORED = (1, 0, 2, 4, 3)  # the order of the five points in a mirrored picture
FURTHEST = 0.12  # of the inter-ocular distance: teachers that differ by more are not believed

#: Points of the 468-point mesh whose mean is one of the five: corners and lids of the eyes, nose tip, mouth corners.
MESH_POINTS = ((33, 133, 159, 145), (362, 263, 386, 374), (1,), (61,), (291,))
MESH_SIDE = 192
MESH_VIEW = (
    56.0,
    72.0,
    200.0,
)  # x, y, side of the part of the aligned photograph that the mesh is shown, at 512


@dataclass(frozen=True, eq=False)
class FaceLabel:
    """In pixels of the photograph at 256: ``points`` [5, 2], ``box`` x, y, width, height."""

    file: str
    points: NDArray[np.float32]
    box: NDArray[np.float32]

    @property
    def iod(self) -> float:
        """Distance of the eyes."""
        return float(np.linalg.norm(self.points[1] - self.points[0]))


class Teachers:
    """YuNet and the face mesh, as files of the opencv_zoo and of MediaPipe."""

    def __init__(self, yunet: Path, mesh: Path | None) -> None:
        for path in (yunet, mesh):
            if path is not None and not path.is_file():
                raise FileNotFoundError(f"{path}: the teacher is missing")
        self._yunet = cv2.FaceDetectorYN.create(str(yunet), "", (SIDE, SIDE), 0.5, 0.3, 50)
        self._mesh = cv2.dnn.readNetFromTFLite(str(mesh)) if mesh is not None else None

    def yunet(self, picture: Pixels) -> tuple[NDArray[np.float32], NDArray[np.float32]] | None:
        """Points [5, 2] and box [4], averaged over views and mirrored views; None where YuNet finds no face."""
        rows = []
        for side in VIEWS:
            for mirror in (False, True):
                shown = picture[:, ::-1] if mirror else picture
                view = cv2.resize(shown[..., ::-1], (side, side), interpolation=cv2.INTER_AREA)
                self._yunet.setInputSize((side, side))
                found = self._yunet.detect(np.ascontiguousarray(view))[1]
                if found is None:
                    continue
                best = found[found[:, 2].argmax()]
                # Pixel centers are whole numbers: (x + 0.5) scales, x does not.
                points = (best[4:14].reshape(5, 2) + 0.5) * SIDE / side - 0.5
                box = best[:4] * SIDE / side
                if mirror:
                    points = np.stack([SIDE - 1 - points[:, 0], points[:, 1]], -1)[list(MIRRORED)]
                    box = np.array([SIDE - box[0] - box[2], *box[1:]])
                rows.append((points, box))
        if len(rows) < len(VIEWS):
            return None
        points, box = (np.median(np.stack(part), 0).astype(np.float32) for part in zip(*rows, strict=True))
        return points, box

    def mesh(self, picture: Pixels) -> NDArray[np.float32] | None:
        """The five points [5, 2] out of the mesh of an aligned photograph; None without the mesh."""
        if self._mesh is None:
            return None
        x, y, side = (v * SIDE / 512 for v in (MESH_VIEW[0], MESH_VIEW[1], 2 * MESH_VIEW[2]))
        scale = MESH_SIDE / side
        matrix = np.array(
            [[scale, 0, -x * scale + scale / 2 - 0.5], [0, scale, -y * scale + scale / 2 - 0.5]]
        )
        view = cv2.warpAffine(picture, matrix, (MESH_SIDE, MESH_SIDE), flags=cv2.INTER_LINEAR)
        self._mesh.setInput(cv2.dnn.blobFromImage(view, 1 / 255))
        outputs = self._mesh.forward(self._mesh.getUnconnectedOutLayersNames())
        dense = next(o for o in outputs if o.size == 468 * 3).reshape(468, 3)[:, :2]
        five = np.stack([dense[list(group)].mean(0) for group in MESH_POINTS])
        inverse = cv2.invertAffineTransform(matrix)
        return np.asarray(five @ inverse[:, :2].T + inverse[:, 2], np.float32)


def label_photos(photos: PhotoSet, teachers: Teachers) -> list[FaceLabel]:
    """Labels of all photographs on which the teachers agree, in the photographs' order."""
    files, seen, boxes, meshes = [], [], [], []
    for photo in photos.photos:
        picture = photos.read(photo.file, SIDE)
        answer = teachers.yunet(picture)
        if answer is None:
            continue
        files.append(photo.file)
        seen.append(answer[0])
        boxes.append(answer[1])
        meshes.append(teachers.mesh(picture))
    if any(m is None for m in meshes):
        return [FaceLabel(f, p, b) for f, p, b in zip(files, seen, boxes, strict=True)]
    return _agree(files, np.stack(seen), np.stack(boxes), np.stack([m for m in meshes if m is not None]))


def _agree(
    files: Sequence[str],
    seen: NDArray[np.float32],
    boxes: NDArray[np.float32],
    meshes: NDArray[np.float32],
) -> list[FaceLabel]:
    shifted = meshes - np.median(meshes - seen, 0)
    distance = np.linalg.norm(shifted - seen, axis=-1).mean(1)
    iod = np.linalg.norm(seen[:, 1] - seen[:, 0], axis=-1)
    return [
        FaceLabel(file, (seen[i] + shifted[i]) / 2, boxes[i])
        for i, file in enumerate(files)
        if distance[i] <= FURTHEST * iod[i]
    ]
