"""Do the two eyes of a face belong to one person? The left one against the mirrored right one.

Each eye is seen in a frame of its own, spanned by its corners. The mesh's lids are those of a likely face, even on a
picture that has other ones, so the pictures in the two frames are compared as well. The mesh knows no irises: the iris
is looked for as a dark disk between the lids, after Daugman's operator (1993): the one whose surroundings are brighter
by most. Gaze, light from one side and a turned head make the eyes of anybody differ, so a value means something
beside the truth's own.
"""

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from refstar_model.data.face_parts import EYE_ONE, EYE_TWO
from refstar_model.judges.landmarks import SIDE, Pixels, Points

Plane = NDArray[np.float32]

OUTER, INNER = 0, 8  # of EYE_ONE and EYE_TWO
WIDTH = 64  # of an eye in its frame, pixels
MARGIN = 8  # around it, left and right
HEIGHT = 56
#: Radius of an iris as a share of the eye's width: 11.8 mm across, in an opening of 25 to 32 mm.
RADII = tuple(float(r) for r in np.linspace(0.15, 0.25, 6))
#: Where an iris may be, from the outer corner, as shares of the eye's width.
CENTERS = (0.3, 0.7)
RING = 1.4  # its surroundings reach so far, in radii
SEEN = 0.35  # so much of the disk must lie between the lids
LIFTED = 4  # pixels that the center may be outside of the opening: a lid may hang low
SOFT = 1.5  # sigma of the blur before frames are compared, pixels
AROUND = 4  # sigma of the window around the opening, pixels
SHIFTS = tuple((x, y) for y in range(-2, 3) for x in range(-3, 4))  # pixels: gaze, and the mesh's own error


@dataclass(frozen=True)
class Iris:
    x: float  # from the outer corner towards the inner one, share of the eye's width
    y: float  # below the line of the corners
    radius: float
    light: float  # gray level of 255 against that of the white beside it: below 0


@dataclass(frozen=True, eq=False)
class Eye:
    patch: Plane  # the frame, outer corner left; gray levels of 255
    opening: Plane  # 1 between the lids
    lids: NDArray[np.float64]  # [14, 2] without the corners, in the frame, shares of the eye's width
    iris: Iris


def compare_eyes(picture: Pixels, points: Points) -> dict[str, float]:
    """How far the eyes of an aligned face differ, 0 for equal ones; ``points`` are its mesh.

    ``eyes_unlike``: 1 less the correlation of the frames, at the best small shift. ``lids_apart``: mean distance of the
    lid points; ``irises_apart``: of the centers, plus the difference of the radii; both as a share of the eye's width.
    ``iris_light_apart``: by how many gray levels one is darker than the other, each against the white beside it.
    """
    one, two = (see_eye(picture, points, eye) for eye in (EYE_ONE, EYE_TWO))
    a, b = one.iris, two.iris
    return {
        "eyes_unlike": 1 - correlate(one, two),
        "lids_apart": float(np.linalg.norm(one.lids - two.lids, axis=1).mean()),
        "irises_apart": float(np.hypot(a.x - b.x, a.y - b.y)) + abs(a.radius - b.radius),
        "iris_light_apart": abs(a.light - b.light),
    }


def correlate(one: Eye, two: Eye) -> float:
    """The best correlation of two frames in a soft window around their openings, -1..1."""
    window = cv2.GaussianBlur(np.maximum(one.opening, two.opening), (0, 0), AROUND)
    window = window / max(float(window.sum()), 1e-6)

    def center(patch: Plane) -> Plane:
        return np.asarray(patch - (window * patch).sum(), np.float32)

    first = center(cv2.GaussianBlur(one.patch, (0, 0), SOFT))
    other = cv2.GaussianBlur(two.patch, (0, 0), SOFT)
    found = []
    for shift in SHIFTS:
        second = center(np.roll(other, shift, (1, 0)))
        spread = float((window * first**2).sum() * (window * second**2).sum())
        found.append(float((window * first * second).sum()) / np.sqrt(spread + 1e-6))
    return max(found)


def see_eye(picture: Pixels, points: Points, eye: tuple[int, ...]) -> Eye:
    """One eye in its frame, outer corner left; ``picture`` is square, ``points`` are in pixels at 256."""
    own = ((points[list(eye)] + 0.5) * (picture.shape[0] / SIDE) - 0.5).astype(np.float32)
    outer, inner = own[OUTER], own[INNER]
    along = inner - outer
    # Down in the picture is down in the frame, whichever corner is on the left.
    below = np.array([-along[1], along[0]]) * (1 if along[0] > 0 else -1)
    corners = np.array([outer, inner, outer + below], np.float32)
    middle = HEIGHT / 2
    left, right = MARGIN, MARGIN + WIDTH
    frame = np.array([[left, middle], [right, middle], [left, middle + WIDTH]], np.float32)
    matrix = cv2.getAffineTransform(corners, frame)
    size = (WIDTH + 2 * MARGIN, HEIGHT)
    gray = cv2.cvtColor(picture, cv2.COLOR_RGB2GRAY)
    patch = cv2.warpAffine(gray, matrix, size, flags=cv2.INTER_LINEAR, borderMode=cv2.BORDER_REPLICATE)
    lids = own @ matrix[:, :2].T + matrix[:, 2]
    opening = np.zeros(size[::-1], np.uint8)
    cv2.fillPoly(opening, [np.rint(lids * 16).astype(np.int32)], 1, shift=4)
    inside = [i for i in range(len(eye)) if i not in (OUTER, INNER)]
    shares = (lids[inside] - [MARGIN, middle]) / WIDTH
    plane, between = patch.astype(np.float32), opening.astype(np.float32)
    return Eye(plane, between, shares, find_iris(plane, between))


def find_iris(patch: Plane, opening: Plane) -> Iris:
    """The disk that is darker than its surroundings by most; ``opening`` is 1 between the lids, both [H, W]."""
    best, found = -np.inf, Iris(0.5, 0.0, RADII[0], 0.0)
    left, right = (round(MARGIN + c * WIDTH) for c in CENTERS)
    reach = cv2.dilate(opening, np.ones((2 * LIFTED + 1, 1), np.uint8)) > 0
    for share in RADII:
        radius = share * WIDTH
        disk, ring = _disk(radius), _disk(radius * RING)
        rim = (len(ring) - len(disk)) // 2
        ring[rim : rim + len(disk), rim : rim + len(disk)] -= disk
        inside, inside_area = _mean(patch, opening, disk)
        around, around_area = _mean(patch, opening, ring)
        contrast = around - inside
        contrast[~reach | (inside_area < SEEN * disk.sum()) | (around_area < 4)] = -np.inf
        contrast = contrast[:, left : right + 1]
        y, x = np.unravel_index(int(contrast.argmax()), contrast.shape)
        if contrast[y, x] > best:
            best = float(contrast[y, x])
            place = ((x + left - MARGIN) / WIDTH, (y - HEIGHT / 2) / WIDTH)
            found = Iris(float(place[0]), float(place[1]), share, -best)
    return found


def _mean(patch: Plane, opening: Plane, kernel: Plane) -> tuple[Plane, Plane]:
    """Mean under the kernel of what lies in the opening, and how much that is."""
    area = cv2.filter2D(opening, cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT)
    total = cv2.filter2D(patch * opening, cv2.CV_32F, kernel, borderType=cv2.BORDER_CONSTANT)
    return total / np.maximum(area, 1e-6), area


def _disk(radius: float) -> Plane:
    """1 inside the circle, 0 outside, with a soft edge."""
    reach = int(np.ceil(radius)) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    return np.clip(radius + 0.5 - np.hypot(x, y), 0, 1).astype(np.float32)
