"""Dense points of a face that nobody has: ellipses where the parts are, so that no photograph is needed."""

import numpy as np
from refstar_model.data import face_parts as fp


def drawn_points(mouth_gap: float = 0.0, eye_height: float = 5.0) -> np.ndarray:
    """[468, 2] at 256: a frontal face on the template."""
    points = np.tile(np.array([[128.0, 140.0]]), (468, 1))

    def ring(indices: tuple[int, ...], x: float, y: float, across: float, along: float, start: float) -> None:
        angle = start + np.linspace(0, 2 * np.pi, len(indices), endpoint=False)
        points[list(indices)] = np.stack([x + across * np.cos(angle), y + along * np.sin(angle)], -1)

    ring(fp.OUTLINE, 128, 140, 62, 82, -np.pi / 2)
    for x, eye, brow, lid in ((96, fp.EYE_ONE, fp.BROW_ONE, 0), (160, fp.EYE_TWO, fp.BROW_TWO, 1)):
        ring(eye, x, 120, 14, eye_height, np.pi)
        ring(brow, x, 104, 18, 4, np.pi)
        upper, lower, outer, inner = fp.LIDS[lid]
        side = -1 if lid == 0 else 1
        points[upper], points[lower] = (x, 120 - eye_height), (x, 120 + eye_height)
        points[outer], points[inner] = (x + side * 14, 120), (x - side * 14, 120)
    frame = [i for i in fp.FRAME if i not in (*fp.OUTLINE, *fp.BROW_ONE, *fp.BROW_TWO)]
    for i, place in zip(
        frame, ((128, 106), (170, 138), (150, 138), (128, 118), (106, 138), (86, 138)), strict=False
    ):
        points[i] = place
    ring(fp.LIPS, 128, 184, 26, 9 + mouth_gap / 2, np.pi)
    upper, lower, left, right = fp.INNER_LIPS
    points[[upper, lower, left, right]] = [
        (128, 184 - mouth_gap / 2), (128, 184 + mouth_gap / 2), (106, 184), (150, 184)
    ]  # fmt: skip
    for i, place in zip(
        (426, 327, 2, 98, 206), ((150, 166), (140, 164), (128, 166), (116, 164), (106, 166)), strict=True
    ):
        points[i] = place
    for cheek, x in zip(fp.CHEEKS, (92, 164), strict=True):
        points[list(cheek)] = [(x - 8, 146), (x + 8, 146), (x + 8, 160), (x - 8, 160)]
    return points.astype(np.float32)
