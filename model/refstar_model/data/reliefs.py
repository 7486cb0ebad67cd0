"""The reliefs of a photo set: measured with the face mesh once, and kept in a file beside the run that needs them."""

import hashlib
from collections.abc import Iterable
from pathlib import Path

import numpy as np

from refstar_model.data.photos import DataError, Kind, PhotoSet
from refstar_model.data.turning import Relief, make_relief
from refstar_model.judges.landmarks import SIDE, FaceMesh

#: Where the mesh sees no face well enough: it knows no profiles.
UNSEEN = (Kind.PROFILE, Kind.SYNTHETIC)
VERSION = 1

Reliefs = dict[str, Relief]


def measure_reliefs(photos: PhotoSet, mesh: Path | None, folder: Path) -> Reliefs:
    """Reliefs of the photographs in which the mesh sees a face, by file; some 40 ms each where none are kept yet.

    They are kept in ``folder``, under a name that stands for the photographs' names: on a machine without a mesh the
    file can be brought along. ``mesh`` is ``face_landmark.tflite``; raises DataError where it is needed and missing.
    """
    files = sorted(p.file for p in photos.photos if p.kind not in UNSEEN)
    path = folder / f"reliefs-{_hash(files)}.npz"
    if path.is_file():
        return _read(path)
    if mesh is None or not mesh.is_file():
        lacking = f"{mesh} is missing" if mesh else "no folder of teachers is named"
        raise DataError(
            f"turned faces need the face mesh, and {lacking}: give --teachers, bring {path} from a machine that has "
            "it, or turn none (--turned 0)"
        )
    reliefs = {}
    looking = FaceMesh(mesh)
    for file in files:
        face = looking.look_in_depth(photos.read(file, SIDE))
        if face.presence > 0:
            reliefs[file] = make_relief(face.points)
    _write(reliefs, path)
    return reliefs


def _hash(files: Iterable[str]) -> str:
    return hashlib.sha256("\n".join([str(VERSION), *files]).encode()).hexdigest()[:12]


def _write(reliefs: Reliefs, path: Path) -> None:
    files, rows = list(reliefs), list(reliefs.values())
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_suffix(".part.npz")
    np.savez_compressed(
        part,
        files=np.array(files),
        depth=np.array([r.depth for r in rows], np.float16),
        anchors=np.array([r.anchors for r in rows], np.float32),
        yaw=np.array([r.yaw for r in rows], np.float32),
    )
    part.replace(path)


def _read(path: Path) -> Reliefs:
    try:
        with np.load(path) as kept:
            rows = zip(kept["files"], kept["depth"], kept["anchors"], kept["yaw"], strict=True)
            return {str(f): Relief(d.astype(np.float32), a, float(y)) for f, d, a, y in rows}
    except (OSError, ValueError, KeyError) as error:
        raise DataError(f"{path} cannot be read ({error}): remove it, and it is made anew") from None
