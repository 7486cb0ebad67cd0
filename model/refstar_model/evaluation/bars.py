"""The bars a shipped model is held to, and by how much it misses them."""

from typing import Any

from refstar_model.evaluation.bar import Bar
from refstar_model.evaluation.lone_bars import LEVELS, lone_bars
from refstar_model.evaluation.occluder import OccluderKind
from refstar_model.evaluation.occlusion import ALLOWED

MEASURABLE = 0.5  # a knob changes the picture: levels of 255, mean over the picture
BETWEEN = 30.0  # dB: what is seen between bars is the photograph, and no confetti


def bars(table: dict[str, Any]) -> list[Bar]:
    """All bars that the table of ``study.evaluate`` has figures for.

    Those of the levels are of a model that takes references, or of one that takes none (`lone_bars`).
    """
    made = []
    for level, rules in (("severe", _severe), ("moderate", _moderate)):
        if "right" in table.get(level, {}):
            made += rules(table[level]) + _both(table, level)
    if not made and any("none" in table.get(level, {}) for level in LEVELS):
        made += lone_bars(table)
    made += _occluded(table.get("occluded", {}))
    return [Bar(b.level, b.name, round(b.value, 4), round(b.bar, 4), b.at_most) for b in made]


def _severe(of: dict[str, Any]) -> list[Bar]:
    right, none, given = of["right"], of["none"], of["input"]
    level = "severe"
    made = [
        *_identity(level, right, none, 0.78, 0.35),
        Bar(level, "PSNR over the input", right["psnr"] - given["psnr"], 2.5),
        Bar(level, "PSNR over none", right["psnr"] - none["psnr"], 0),
    ]
    if "identity_distinct_pictures" in right:
        distinct = right["identity_distinct_pictures"]
        made.append(Bar(level, "identity, truly different pictures", distinct, 0.70))
    if "landmarks" in right:
        made.append(
            Bar(level, "landmark distance, at most none's", right["landmarks"], none["landmarks"], True)
        )
    return made


def _moderate(of: dict[str, Any]) -> list[Bar]:
    right, none, given = of["right"], of["none"], of["input"]
    return [
        *_identity("moderate", right, none, 0.90, 0),
        Bar("moderate", "PSNR over the input", right["psnr"] - given["psnr"], 2),
    ]


def _identity(level: str, right: dict[str, Any], none: dict[str, Any], bar: float, over: float) -> list[Bar]:
    """None where no recognizer judged."""
    if "identity" not in right:
        return []
    return [
        Bar(level, "identity", right["identity"], bar),
        Bar(level, "identity over none", right["identity"] - none["identity"], over),
    ]


def _both(table: dict[str, Any], level: str) -> list[Bar]:
    of = table[level]
    right, none = of["right"], of["none"]
    made = [
        Bar(level, "sharpness in the face", right["sharpness"], 0.65),
        Bar(level, "sharpness outside it", right["sharpness_outside"], 0.65),
    ]
    for kind in ("wrong", "look-alike"):
        if kind in of:
            wrong = of[kind]
            if "identity" in wrong:
                lost = wrong["identity"] - none["identity"]
                made.append(Bar(level, f"{kind}: identity over none", lost, -0.02))
            made += [
                Bar(level, f"{kind}: PSNR over none", wrong["psnr"] - none["psnr"], -0.15),
                Bar(
                    level,
                    f"{kind}: mean mask, at most half of right's",
                    wrong["mean_mask"],
                    right["mean_mask"] / 2,
                    True,
                ),
            ]
    for control, found in table.get("at_equal_psnr", {}).get(level, {}).items():
        made.append(Bar(level, f"identity over {control} at equal PSNR", found["lead"], 0))
    turned = table.get("knobs", {}).get(level, {})
    for knob in ("fidelity 0", "fidelity 1", "reference_strength 0.5"):
        if knob in turned:
            made.append(
                Bar(level, f"{knob} changes the picture (levels)", turned[knob]["change"], MEASURABLE)
            )
    return made


def _occluded(table: dict[str, Any]) -> list[Bar]:
    """A face behind something regular comes back no worse than it went in; the worst tenth of them too."""
    made = []
    for kind, row in table.items():
        made.append(Bar("occluded", f"{kind}, worst tenth: PSNR over the input", row["worst_gain"], -ALLOWED))
        if "between" in row and kind in (OccluderKind.BARS, OccluderKind.NET):
            made.append(Bar("occluded", f"{kind}: PSNR between them", row["between"], BETWEEN))
    return made
