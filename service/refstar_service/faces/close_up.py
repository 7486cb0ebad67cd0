"""The middle of a face at 512, from the brows to the chin: where fine detail is measured."""

from functools import cache

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_service.faces.align import TEMPLATE, TEMPLATE_SIZE
from refstar_service.faces.mask import face_mask

Map = NDArray[np.float32]

SIDE = TEMPLATE_SIZE // 2
_LEFT, _TOP = (round(at) - SIDE // 2 for at in TEMPLATE.mean(0))


def cut_close_up(light: NDArray[np.uint8] | Map) -> Map:
    """The light [256, 256] there of an aligned crop [S, S], enlarged or reduced to 512 before if S is another."""
    if len(light) == TEMPLATE_SIZE:
        return light[_PLACE].astype(np.float32)
    method = cv2.INTER_AREA if len(light) > TEMPLATE_SIZE else cv2.INTER_CUBIC
    resized = cv2.resize(np.float32(light), (TEMPLATE_SIZE, TEMPLATE_SIZE), interpolation=method)
    return np.ascontiguousarray(resized[_PLACE], np.float32)


@cache
def weigh_face(side: int) -> Map:
    """The mask [side, side] of a face whose points are the template's."""
    return face_mask((TEMPLATE + 0.5) * (side / TEMPLATE_SIZE) - 0.5, side)


@cache
def weigh_close_up() -> Map:
    """The same of a close-up: 1 nearly everywhere."""
    return np.ascontiguousarray(weigh_face(TEMPLATE_SIZE)[_PLACE])


@cache
def weigh_middle() -> Map:
    """Weights [256, 256] of a close-up that fall off from the middle of the points, sigma 92 pixels: hair and the
    rim of the face, which have detail of their own, count little."""
    x, y = TEMPLATE.mean(0)
    columns, rows = np.arange(_LEFT, _LEFT + SIDE) - x, np.arange(_TOP, _TOP + SIDE) - y
    away = columns[None] ** 2 + rows[:, None] ** 2
    return np.asarray(np.exp(-away / (2 * (0.18 * TEMPLATE_SIZE) ** 2)), np.float32)


_PLACE = slice(_TOP, _TOP + SIDE), slice(_LEFT, _LEFT + SIDE)
