"""How each kind of mark is drawn: uint8 [512, 512], 128 nothing, up light, down dark.

``number`` goes through the varieties of a kind, so that a bank has some of each.
"""

from typing import Any

import cv2
import numpy as np
from numpy.typing import NDArray

Overlay = NDArray[np.uint8]
Layer = NDArray[np.floating[Any]]

FULL = 512
_FINE = 4  # fractional bits of drawn coordinates
_y, _x = np.mgrid[:FULL, :FULL].astype(np.float32)


def draw_field(rng: np.random.Generator, number: int) -> Overlay:
    """Smooth, mean 0, extreme 1: a slope, a vignette, a lit corner, clouds, or wide bands."""
    y, x = np.mgrid[-1:1:64j, -1:1:64j].astype(np.float32)
    angle = rng.uniform(0, 2 * np.pi)
    along = x * np.cos(angle) + y * np.sin(angle)
    match number % 5:
        case 0:
            field = along + rng.uniform(-0.4, 0.4) * along**2
        case 1:
            center = rng.uniform(-0.3, 0.3, 2)
            radius = np.hypot(
                (x - center[0]) / rng.uniform(0.7, 1.1), (y - center[1]) / rng.uniform(0.8, 1.3)
            )
            field = _step(radius, rng.uniform(0.5, 0.8), rng.uniform(1.0, 1.5))
        case 2:
            far = np.hypot(x - np.sign(np.cos(angle)), y - np.sign(np.sin(angle)))
            field = np.exp(-((far / rng.uniform(0.6, 1.3)) ** 2))
        case 3:
            field = _clouds(rng, 64, rng.uniform(6, 14))
        case _:
            field = np.sin(along * rng.uniform(2, 6) + rng.uniform(0, 6)) + 0.5 * _clouds(rng, 64, 8)
    field = (field + 0.15 * _clouds(rng, 64, 6)).astype(np.float32)
    # Cubic interpolation alone leaves a lattice that a strong fading shows.
    wide = cv2.resize(cv2.resize(field, (128, 128)), (FULL, FULL), interpolation=cv2.INTER_CUBIC)
    wide = cv2.GaussianBlur(wide, (0, 0), 6)
    wide -= wide.mean()
    return _code_overlay(wide / np.abs(wide).max() * rng.choice([-1, 1]))


def draw_texture(rng: np.random.Generator, number: int) -> Overlay:
    """Of standard deviation 0.25: mottled paper, fibers, cloth, laid lines, or the grain of a coarse print."""
    match number % 5:
        case 0:
            made = _clouds(rng, FULL, 1.5) + _clouds(rng, FULL, 4) + 0.7 * _clouds(rng, FULL, 10)
        case 1:
            wide, high = (rng.uniform(0.5, 0.8), rng.uniform(4, 8))
            made = _unit(cv2.GaussianBlur(_noise(rng, FULL), (0, 0), wide, sigmaY=high))
            made += _unit(cv2.GaussianBlur(_noise(rng, FULL), (0, 0), high, sigmaY=wide))
            made += 0.8 * _clouds(rng, FULL, 3)
        case 2:
            period, bend = rng.uniform(4, 8), 1.2 * _clouds(rng, FULL, 24)
            angle = rng.uniform(-0.1, 0.1)
            u = (_x * np.cos(angle) + _y * np.sin(angle)) / period * 2 * np.pi + bend
            v = (_y * np.cos(angle) - _x * np.sin(angle)) / period * 2 * np.pi + bend.T
            made = np.cos(u) * np.cos(v) + 0.3 * (np.cos(u) + np.cos(v)) + 0.5 * _clouds(rng, FULL, 1)
        case 3:
            period = rng.uniform(6, 14)
            made = np.cos(_y / period * 2 * np.pi + 0.6 * _clouds(rng, FULL, 30)) + _clouds(rng, FULL, 1.2)
            made += 0.8 * _clouds(rng, FULL, 4)
        case _:
            made = _clouds(rng, FULL, rng.uniform(0.9, 1.6))
            made = np.sign(made) * np.abs(made) ** 0.7 + 0.8 * _clouds(rng, FULL, 6)
    return _code_overlay(0.25 * _unit(made))


def draw_stain(rng: np.random.Generator, number: int) -> Overlay:
    """Dark: a dried flood with a darker rim, blots, or foxing (small soft spots in swarms)."""
    if number % 3 == 2:
        spots = np.zeros((FULL, FULL), np.float32)
        for _ in range(int(rng.integers(1, 5))):
            center = rng.uniform(0, FULL, 2)
            for _ in range(int(rng.integers(3, 25))):
                place = center + rng.normal(0, 70, 2)
                _disc(spots, place, float(np.exp(rng.uniform(np.log(1.5), np.log(11)))), rng.uniform(0.4, 1))
        spots = cv2.GaussianBlur(spots, (0, 0), 2.2) * (1 + 0.35 * _clouds(rng, FULL, 2.5))
        return _code_overlay(-spots)
    half = FULL // 2
    wide = rng.uniform(20, 45) if number % 3 == 0 else rng.uniform(8, 17)
    height = _clouds(rng, half, wide) + 0.06 * _clouds(rng, half, 4)
    inside = _step(height - np.quantile(height, rng.uniform(0.6, 0.85)), 0.0, 0.06)
    dried = (0.45 + 0.55 * _clouds(rng, half, 12)).clip(0, 1.5)  # a rim is not as dark everywhere
    rim = inside * dried * (1 - cv2.GaussianBlur(inside, (0, 0), rng.uniform(1.5, 4)))
    uneven = 1 + 0.25 * _clouds(rng, half, 10) + 0.15 * _clouds(rng, half, 1)
    made = (0.4 * inside + 1.1 * rim) * uneven
    return _code_overlay(-cv2.resize(made, (FULL, FULL), interpolation=cv2.INTER_CUBIC))


def draw_scratches(rng: np.random.Generator, number: int) -> Overlay:
    """Light, and some dark: hairlines, long ones side by side as from a film gate, or a scuffed patch."""
    light, dark = (np.zeros((FULL, FULL), np.uint8) for _ in range(2))
    upright = rng.uniform(0, np.pi)
    match number % 3:
        case 0:
            for _ in range(int(rng.integers(1, 7))):
                _hairline(light, rng, rng.uniform(0, FULL, 2), rng.uniform(0, np.pi), rng.uniform(60, 450))
        case 1:
            for _ in range(int(rng.integers(2, 14))):
                angle = upright + rng.normal(0, 0.03)
                _hairline(light, rng, rng.uniform(0, FULL, 2), angle, rng.uniform(200, 900))
        case _:
            center = rng.uniform(100, 412, 2)
            for _ in range(int(rng.integers(12, 45))):
                place, angle = center + rng.normal(0, 60, 2), upright + rng.normal(0, 0.35)
                _hairline(light, rng, place, angle, rng.uniform(8, 90))
    for _ in range(int(rng.integers(0, 3))):
        _hairline(dark, rng, rng.uniform(0, FULL, 2), rng.uniform(0, np.pi), rng.uniform(40, 300))
    return _code_overlay((_soft(light, 0.45) - _soft(dark, 0.45)) / 255)


def draw_dust(rng: np.random.Generator, number: int) -> Overlay:
    """Light, and some dark: specks of many sizes, and lint."""
    light, dark = (np.zeros((FULL, FULL), np.uint8) for _ in range(2))
    count = int(np.exp(rng.uniform(np.log(12), np.log(160))))
    for _ in range(count):
        canvas = light if rng.random() < 0.85 else dark
        radius = float(np.exp(rng.normal(-0.15, 0.55)))
        corners = int(rng.integers(5, 9))
        angles = np.sort(rng.uniform(0, 2 * np.pi, corners))
        reach = radius * rng.uniform(0.5, 1.3, corners)
        points = rng.uniform(0, FULL, 2) + np.stack([np.cos(angles), np.sin(angles)], 1) * reach[:, None]
        cv2.fillPoly(canvas, [_fix_points(points)], int(rng.integers(110, 256)), cv2.LINE_AA, _FINE)
    for _ in range(int(rng.integers(0, 5)) if number % 2 else 0):
        place, angle, turn = rng.uniform(0, FULL, 2), rng.uniform(0, 2 * np.pi), rng.normal(0, 0.05)
        steps = int(rng.integers(10, 45))
        headings = angle + np.cumsum(turn + rng.normal(0, 0.08, steps))
        points = place + np.cumsum(np.stack([np.cos(headings), np.sin(headings)], 1) * 1.8, 0)
        cv2.polylines(light, [_fix_points(points)], False, int(rng.integers(90, 230)), 1, cv2.LINE_AA, _FINE)
    return _code_overlay((_soft(light, 0.5) - _soft(dark, 0.5)) / 255)


def draw_fold(rng: np.random.Generator, number: int) -> Overlay:
    """A crease: a lit and a shadowed flank, along it a thin line where the emulsion is broken, and flakes beside it."""
    angle = rng.normal(0, 0.12) + (np.pi / 4 * rng.choice([-1, 1]) if number % 4 == 3 else 0)
    middle = 256 + rng.uniform(-196, 196)
    reach = 40 + 256 * abs(np.tan(angle))  # nothing is further from the crease's middle than that
    rows = slice(int(max(0, middle - reach)), int(min(FULL, middle + reach)))
    wobble = 1.5 * _line_noise(rng, 40) + 0.5 * _line_noise(rng, 4)
    distance = (_y[rows] - middle) * np.cos(angle) - (_x[rows] - 256) * np.sin(angle) - wobble[None]
    flank = rng.uniform(3, 7)
    lit = 0.30 * np.exp(-(((distance - flank) / flank) ** 2))
    shadow = -0.42 * np.exp(-(((distance + 0.8 * flank) / flank) ** 2))
    strength = (0.75 + 0.25 * _line_noise(rng, 25))[None]
    broken = (_line_noise(rng, 5) + 0.7 * _line_noise(rng, 25) > rng.uniform(-0.9, 0.3))[None]
    width = rng.uniform(0.7, 1.3) * (1 + 0.4 * _line_noise(rng, 3)[None]).clip(0.4, 2)
    core = 0.9 * np.exp(-((distance / width) ** 2)) * broken
    rough = (_clouds(rng, FULL, 1.6) + 0.5 * _clouds(rng, FULL, 6))[: len(distance)]
    flaked = rough > 1.1 + np.abs(distance) / rng.uniform(4, 8)
    flakes = cv2.GaussianBlur(flaked.astype(np.float32), (0, 0), 0.6)
    made = np.zeros((FULL, FULL), np.float32)
    made[rows] = (lit + shadow) * strength * (1 - core) + np.maximum(core, 0.9 * flakes)
    return _code_overlay(made)


def draw_lines(rng: np.random.Generator, number: int) -> Overlay:
    """Upright lines of a scanner: its cells' unequal sensitivity, and a few single streaks."""
    column = 0.12 * _unit(rng.normal(0, 1, FULL)) + 0.18 * _line_noise(rng, rng.uniform(1.5, 12))
    for _ in range(int(rng.integers(0, 6))):
        column[int(rng.integers(FULL))] += rng.uniform(0.4, 1.0) * rng.choice([-1, 1])
    along = 1 + 0.3 * _line_noise(rng, 90)[:, None]
    return _code_overlay(np.asarray(column[None] * along, np.float32))


def _hairline(canvas: Overlay, rng: np.random.Generator, start: Layer, angle: float, length: float) -> None:
    """A thin line that wavers, fades in and out, and breaks off."""
    steps = max(4, int(length / 7))
    headings = angle + np.cumsum(rng.normal(0, 0.012, steps)) + rng.normal(0, 0.01, steps)
    points = start + np.cumsum(np.stack([np.cos(headings), np.sin(headings)], 1) * 7, 0)
    weight = _smooth(rng.standard_normal(steps + 8, np.float32), 2.5)[:steps] * 75 + rng.uniform(60, 190)
    weight *= np.minimum(1, np.linspace(0, 6, steps)) * np.minimum(1, np.linspace(6, 0, steps))
    fixed = _fix_points(points)
    for first in range(steps - 1):
        level = int(weight[first])
        if level > 25:
            cv2.line(canvas, fixed[first], fixed[first + 1], min(level, 255), 1, cv2.LINE_AA, _FINE)


def _disc(layer: Layer, place: Layer, radius: float, value: float) -> None:
    cv2.circle(layer, tuple(int(p) for p in place), max(1, round(radius)), value, -1)


def _clouds(rng: np.random.Generator, side: int, sigma: float) -> Layer:
    """Smooth noise [side, side] of mean 0 and deviation 1."""
    coarse = max(1, int(sigma / 2))  # drawn small: it is smooth
    small = cv2.GaussianBlur(_noise(rng, side // coarse + 2), (0, 0), sigma / coarse)
    if coarse > 1:
        small = cv2.resize(small, (side, side), interpolation=cv2.INTER_CUBIC)
    return _unit(small[:side, :side])


def _line_noise(rng: np.random.Generator, sigma: float) -> Layer:
    return _unit(_smooth(rng.normal(0, 1, FULL + 2 * int(4 * sigma)).astype(np.float32), sigma)[:FULL])


def _smooth(values: Layer, sigma: float) -> Layer:
    reach = int(3 * sigma) + 1
    kernel = np.exp(-0.5 * (np.arange(-reach, reach + 1) / sigma) ** 2)
    return np.asarray(np.convolve(values, kernel / np.sqrt((kernel**2).sum()), "same"), np.float32)


def _unit(values: Layer) -> Layer:
    return np.asarray((values - values.mean()) / (values.std() + 1e-6), np.float32)


def _noise(rng: np.random.Generator, side: int) -> Layer:
    return rng.standard_normal((side, side), np.float32)


def _step(values: Layer, low: float, high: float) -> Layer:
    """0 below ``low``, 1 above ``high``, smooth between."""
    part = ((values - low) / (high - low)).clip(0, 1)
    return np.asarray(part * part * (3 - 2 * part), np.float32)


def _fix_points(points: Layer) -> NDArray[np.int32]:
    """Coordinates as cv2 draws them, with fractional bits."""
    return np.rint(points * (1 << _FINE)).astype(np.int32)


def _soft(drawn: Overlay, sigma: float) -> Layer:
    return np.asarray(cv2.GaussianBlur(drawn, (0, 0), sigma), np.float32)


def _code_overlay(values: Layer) -> Overlay:
    """-1..1 to uint8 with 128 for 0."""
    return np.asarray(np.rint(values * 127 + 128).clip(1, 255), np.uint8)
