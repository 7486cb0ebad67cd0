"""The bars of a model that takes no references: nearer to the truth than the input, and no harm to what is good."""

from typing import Any

from refstar_model.evaluation.bar import Bar

#: By level: PSNR gained over the input (dB), identity, sharpness in the face and outside it (shares of the truth's),
#: and by how much the second recognizer's distance to the truth must fall.
LEVELS = {"severe": (2.8, 0.50, 0.75, 0.70, 0.03), "moderate": (2.2, 0.88, 0.80, 0.75, 0.0)}
#: By group of `harm`: PSNR (dB) and identity of what was good already, to itself.
UNHARMED = {"val": (38.0, 0.99), "historic": (36.0, 0.98)}
SAME_SHARPNESS = 0.05  # by which that of what was good may change, as a share
PATTERN = 4.0  # gray levels; clean photographs have 2 to 4
HATCHING = 5.0  # decibels beyond truth and input; the eye finds that in two faces of ten
EYES = 1.3  # times the truth's difference of both eyes


def lone_bars(table: dict[str, Any]) -> list[Bar]:
    """All bars that the table of ``study.evaluate`` has figures for."""
    made = []
    for level, wanted in LEVELS.items():
        if "none" in table.get(level, {}):
            made += _level(level, table[level], *wanted)
    for group, (psnr, identity) in UNHARMED.items():
        if row := table.get("harm", {}).get(group):
            made += _harm(f"no harm, {group}", row, psnr, identity)
    return made


def _level(
    level: str,
    of: dict[str, Any],
    gain: float,
    identity: float,
    sharpness: float,
    outside: float,
    nearer: float,
) -> list[Bar]:
    none, given, truth = of["none"], of["input"], of.get("truth", {})
    made = [Bar(level, "PSNR over the input", none["psnr"] - given["psnr"], gain)]
    if "identity" in none:
        made.append(Bar(level, "identity", none["identity"], identity))
    made += [
        Bar(level, "sharpness in the face", none["sharpness"], sharpness),
        Bar(level, "sharpness outside it", none["sharpness_outside"], outside),
    ]
    if "second" in none:
        made.append(
            Bar(level, "second recognizer, nearer than the input", given["second"] - none["second"], nearer)
        )
    if "pattern" in none:
        made.append(Bar(level, "pattern", none["pattern"], PATTERN, at_most=True))
    if "hatching" in none:
        made.append(Bar(level, "hatching", none["hatching"], HATCHING, at_most=True))
    if truth.get("eyes_unlike"):
        unlike = none["eyes_unlike"] / truth["eyes_unlike"]
        made.append(Bar(level, "eyes unlike, times the truth's", unlike, EYES, at_most=True))
    return [*made, Bar(level, "no face is found", none["failures"], 0, at_most=True)]


def _harm(level: str, row: dict[str, Any], psnr: float, identity: float) -> list[Bar]:
    made = [Bar(level, "PSNR to itself", row["psnr"], psnr)]
    if "identity" in row:
        made.append(Bar(level, "identity to itself", row["identity"], identity))
    changed = abs(row["sharpness"] - 1)
    return [*made, Bar(level, "sharpness changes by", changed, SAME_SHARPNESS, at_most=True)]
