"""A contact sheet of turned faces: at which angle do they stop looking like faces?"""

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np

from refstar_model.data.degradation_sheet import stack_cells
from refstar_model.data.turning import MOST_PITCH, MOST_YAW, Turn, make_relief, turn_field, turn_picture
from refstar_model.judges.landmarks import FaceMesh, Pixels

#: Shares of the largest yaw and pitch.
SHOWN = ((0.5, 0), (1, 0), (-0.5, 0), (-1, 0), (0, 1), (0, -1), (1, 1))


def draw_turning_sheet(photos: Sequence[Pixels], mesh: FaceMesh, folder: Path) -> Path:
    """Write turning.png to ``folder``: a row for each photograph [512, 512, 3] in RGB, as it is and turned."""
    rows = []
    for photo in photos:
        relief = make_relief(mesh.look_in_depth(photo).points)
        turns = [Turn(yaw * MOST_YAW, pitch * MOST_PITCH) for yaw, pitch in SHOWN]
        turned = [turn_picture(photo, turn_field(relief, turn)) for turn in turns]
        captions = [f"looks {relief.yaw:+.0f} degrees to the side"]
        captions += [f"yaw {turn.yaw:+.0f}, pitch {turn.pitch:+.0f}" for turn in turns]
        halved = [cv2.resize(p, (256, 256), interpolation=cv2.INTER_AREA) for p in (photo, *turned)]
        rows.append(stack_cells(halved, captions))
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "turning.png"
    if not cv2.imwrite(str(path), np.vstack(rows)[..., ::-1]):
        raise OSError(f"{path} could not be written")
    return path
