"""Restored faces back into their picture, without a trace.

Everything that decides how (mask, color, what may be kept) is worked out on the crop, where every face has the same
size; the picture is touched only where a face's mask is, in strips, so that memory does not grow with the picture.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_service.faces.align import Alignment, cut
from refstar_service.faces.color import fill_inside, tone_of
from refstar_service.faces.mask import face_mask, foreign, give_way, smooth_step
from refstar_service.faces.sampling import coarse, low_pass, move_matrix, regrain, scale_of, to_bytes, warp

Pixels = NDArray[np.uint8]
Matrix = NDArray[np.float64]

UPSCALES = (1, 2, 4)

#: Side of the maps of mask and color; they are smooth, and a sixteenth of the pixels takes a sixteenth of the time.
_COARSE = 128

#: Pixels of a strip: what is worked on at once stays in the processor's cache.
_STRIP = 1 << 17


@dataclass(frozen=True, eq=False)
class PastedFace:
    """``restored`` [S, S, 3] is what the model made of the crop that ``alignment`` cuts.

    ``points`` [5, 2]: the face's, in the picture.
    """

    restored: Pixels
    alignment: Alignment
    points: NDArray[np.float32]


def enlarge(pixels: Pixels, upscale: int) -> Pixels:
    """A copy of [H, W, 3], ``upscale`` (1, 2 or 4) times as wide and high, by Lanczos."""
    if upscale not in UPSCALES:
        raise ValueError(f"upscale is {upscale}, it can be {', '.join(map(str, UPSCALES))}")
    if upscale == 1:
        return pixels.copy()
    height, width = pixels.shape[:2]
    size = (width * upscale, height * upscale)
    return np.asarray(cv2.resize(pixels, size, interpolation=cv2.INTER_LANCZOS4), np.uint8)


def paste_faces(picture: Pixels, faces: Sequence[PastedFace], upscale: int = 1) -> Pixels:
    """A new picture [H * upscale, W * upscale, 3] with ``faces`` in it, the later over the earlier.

    Outside of the faces' masks it equals ``enlarge(picture, upscale)`` in every bit. A gray or sepia face stays so.
    Detail of a face larger than its crop, finer than the crop can show, is kept where the model saw no noise in it.
    Raises ValueError for an ``upscale`` other than 1, 2, 4.
    """
    canvas = enlarge(picture, upscale)
    for face in faces:
        _paste(canvas, cut(picture, face.alignment), face, upscale)
    return canvas


def lay_out(
    layer: NDArray[np.float32], alignment: Alignment, width: int, height: int, upscale: int = 1
) -> tuple[tuple[slice, slice], NDArray[np.float32]]:
    """A layer over the crop, [g, g] with any g, as it lies on a picture of ``width`` x ``height``, enlarged.

    Returns rows and columns of the enlarged picture, and the values [h, w] there: 0 outside of the crop.
    """
    grain = alignment.size / layer.shape[0]
    matrix = coarse(regrain(alignment.inverse, upscale), grain)
    low, step = low_pass(np.asarray(layer, np.float32), scale_of(matrix))
    rows, columns = _find_covered(
        matrix, (0, 0, layer.shape[1], layer.shape[0]), width * upscale, height * upscale
    )
    if rows.start == rows.stop or columns.start == columns.stop:
        return (slice(0, 0), slice(0, 0)), np.zeros((0, 0), np.float32)
    place = _from(move_matrix(matrix, step=step), columns.start, rows.start)
    size = (columns.stop - columns.start, rows.stop - rows.start)
    values = warp(low, place, *size, smooth=False, mirrored=False)
    return (rows, columns), np.clip(values, layer.min(), layer.max(), dtype=np.float32)


def _paste(canvas: Pixels, low_quality: Pixels, face: PastedFace, upscale: int) -> None:
    """One face, written into the canvas."""
    alignment, restored = face.alignment, face.restored
    size = alignment.size
    tone = tone_of(low_quality)
    if tone is not None:
        restored = tone.of(restored)
    mask, color = _blend(low_quality, restored, alignment.to_crop(face.points))
    grown = cv2.resize(color, (size, size), interpolation=cv2.INTER_LINEAR)
    kept = _kept_detail(low_quality, restored, mask, alignment.scale)
    # The picture's own share is added where it stands: kept * picture + (restored - kept * its crop).
    matched = cv2.add(restored, grown, dtype=cv2.CV_32F)
    if kept is not None:
        share = cv2.resize(kept, (size, size), interpolation=cv2.INTER_LINEAR)
        matched = cv2.subtract(matched, cv2.multiply(low_quality, cv2.merge([share] * 3), dtype=cv2.CV_32F))

    matrix = regrain(alignment.inverse, upscale)
    source, step = low_pass(matched, scale_of(matrix))
    grain = size / mask.shape[0]
    seen = np.nonzero(mask.any(0))[0], np.nonzero(mask.any(1))[0]
    if not len(seen[0]):
        return
    # One more on each side: as far as the bilinear filter carries the mask.
    box = (seen[0][0] - 1, seen[1][0] - 1, seen[0][-1] + 2, seen[1][-1] + 2)
    rows, columns = _find_covered(coarse(matrix, grain), box, canvas.shape[1], canvas.shape[0])
    width = columns.stop - columns.start
    if width <= 0:
        return
    height = max(1, _STRIP // width)
    for top in range(rows.start, rows.stop, height):
        strip = canvas[top : min(top + height, rows.stop), columns]
        place = _from(matrix, columns.start, top)
        shape = (width, strip.shape[0])
        share = np.asarray(warp(mask, coarse(place, grain), *shape, smooth=False, mirrored=False), np.float32)
        laid = np.asarray(warp(source, move_matrix(place, step=step), *shape), np.float32)
        if kept is not None:
            own = np.asarray(warp(kept, coarse(place, grain), *shape, smooth=False), np.float32)
            laid = cv2.add(laid, cv2.multiply(strip, cv2.merge([own] * 3), dtype=cv2.CV_32F))
        strip[:] = cv2.blendLinear(strip, to_bytes(laid), 1 - share, share)


def _blend(
    low_quality: Pixels, restored: Pixels, points: NDArray[np.float64]
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Mask [n, n] and color to add [n, n, 3] of a crop, both coarse."""
    size = restored.shape[0]
    side = min(_COARSE, size)
    mask = face_mask((points + 0.5) * side / size - 0.5, side)
    before, after = (
        cv2.resize(p, (side, side), interpolation=cv2.INTER_AREA).astype(np.float32)
        for p in (low_quality, restored)
    )
    difference = before - after
    edge = 4 * mask * (1 - mask)
    things = foreign(difference, fill_inside(difference, edge, slow_only=True))
    mask = give_way(mask, things)
    # The color of a cap must not run into the forehead.
    return mask, fill_inside(difference, 4 * mask * (1 - mask) * (1 - things))


def _kept_detail(
    low_quality: Pixels, restored: Pixels, mask: NDArray[np.float32], scale: float
) -> NDArray[np.float32] | None:
    """Share 0..1 [n, n] of the picture's detail beyond the crop's resolution that is added to the restored face.

    Such detail exists only in faces larger than the crop: None for others. Whether it is detail or noise shows in the
    finest that the crop still holds: the model keeps detail and removes noise, so where input and restored face agree
    there, it is detail.
    """
    if scale >= 1:
        return None
    fine = []
    for pixels in (low_quality, restored):
        light = cv2.cvtColor(pixels, cv2.COLOR_RGB2GRAY).astype(np.float32)
        fine.append(light - cv2.GaussianBlur(light, (0, 0), 1.5))
    a, b = fine
    both, first, second = (
        cv2.GaussianBlur(cv2.resize(p, mask.shape, interpolation=cv2.INTER_AREA), (0, 0), 3.0)
        for p in (a * b, a * a, b * b)
    )
    agreement = np.asarray(both / np.sqrt(np.maximum(first * second, 1e-6)), np.float32)
    # A face hardly larger than the crop has lost nothing to it.
    return smooth_step(agreement, 0.3, 0.6) * np.float32(min(1.0, (1 - scale) / 0.2))


def _find_covered(
    matrix: Matrix, box: tuple[int, int, int, int], width: int, height: int
) -> tuple[slice, slice]:
    """Rows and columns of the target that hold a source box (left, top, right, bottom), clipped."""
    left, top, right, bottom = box
    corners = np.array([[x, y] for x in (left - 0.5, right - 0.5) for y in (top - 0.5, bottom - 0.5)])
    x, y = (corners @ matrix[:, :2].T + matrix[:, 2]).T
    spans = []
    for places, length in ((y, height), (x, width)):
        first = int(np.clip(np.floor(places.min()), 0, length))
        spans.append(slice(first, int(np.clip(np.ceil(places.max()) + 1, first, length))))
    return spans[0], spans[1]


def _from(matrix: Matrix, left: int, top: int) -> Matrix:
    """The same map into a target that begins at (left, top)."""
    out = matrix.copy()
    out[:, 2] -= (left, top)
    return out
