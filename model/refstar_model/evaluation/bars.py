"""The bars a shipped model is held to, and by how much it misses them."""

from dataclasses import dataclass
from typing import Any

from refstar_model.data.photos import Kind
from refstar_model.evaluation.bar import Bar
from refstar_model.evaluation.harm import WITH_REFERENCE
from refstar_model.evaluation.lone_bars import HATCHING, PATTERN, lone_bars
from refstar_model.evaluation.occluder import OccluderKind
from refstar_model.evaluation.occlusion import ALLOWED

MEASURABLE = 0.5  # a knob changes the picture: levels of 255, mean over the picture
BETWEEN = 30.0  # dB: what is seen between bars is the photograph, and no confetti
CLEAN = 37.0  # dB to itself, of a clean photograph with a reference
MISTAKEN = 0.03  # share of references whose person is taken for another, or another for the person


@dataclass(frozen=True)
class WithReference:
    """What a right reference must give at a level: the result's own figures, and PSNR gained over the input (dB)."""

    gain: float
    identity: float
    over_none: float  # identity
    distinct: float | None  # identity where truth and reference are truly different pictures
    second: float  # distance of the second recognizer to the truth, at most
    sharpness: float
    outside: float


LEVELS = {
    "severe": WithReference(3.0, 0.83, 0.35, 0.75, 0.30, 0.75, 0.70),
    "moderate": WithReference(2.2, 0.92, 0.0, None, 0.23, 0.80, 0.75),
}


def bars(table: dict[str, Any]) -> list[Bar]:
    """All bars that the table of ``study.evaluate`` has figures for.

    Those of the levels are of a model that takes references, or of one that takes none (`lone_bars`).
    """
    made = []
    for level, wanted in LEVELS.items():
        if "right" in table.get(level, {}):
            made += _with_reference(level, table[level], wanted) + _both(table, level)
    if not made and any("none" in table.get(level, {}) for level in LEVELS):
        made += lone_bars(table)
    if row := table.get("harm", {}).get(WITH_REFERENCE):
        made.append(Bar("no harm, with a reference", "PSNR to itself", row["psnr"], CLEAN))
    for level, told in table.get("gate", {}).items():
        for kind, row in told["means"].items():
            if "mistaken" in row:
                made.append(
                    Bar(level, f"{kind}: who it is, mistaken", row["mistaken"], MISTAKEN, at_most=True)
                )
    for level, groups in table.get("gate_views", {}).items():
        made += _by_side(level, groups)
    made += _occluded(table.get("occluded", {}))
    return [Bar(b.level, b.name, round(b.value, 4), round(b.bar, 4), b.at_most) for b in made]


def _with_reference(level: str, of: dict[str, Any], wanted: WithReference) -> list[Bar]:
    right, none, given = of["right"], of["none"], of["input"]
    made = []
    if "identity" in right:
        made += [
            Bar(level, "identity", right["identity"], wanted.identity),
            Bar(level, "identity over none", right["identity"] - none["identity"], wanted.over_none),
        ]
    if wanted.distinct is not None and "identity_distinct_pictures" in right:
        distinct = right["identity_distinct_pictures"]
        made.append(Bar(level, "identity, truly different pictures", distinct, wanted.distinct))
    if "second" in right:
        made.append(Bar(level, "second recognizer, distance", right["second"], wanted.second, at_most=True))
    made += [
        Bar(level, "PSNR over the input", right["psnr"] - given["psnr"], wanted.gain),
        Bar(level, "PSNR over none", right["psnr"] - none["psnr"], 0),
        Bar(level, "sharpness in the face", right["sharpness"], wanted.sharpness),
        Bar(level, "sharpness outside it", right["sharpness_outside"], wanted.outside),
    ]
    for part in ("landmarks", "lips", "lids"):
        if part in right:
            made.append(
                Bar(level, f"{part}: distance, at most none's", right[part], none[part], at_most=True)
            )
    if "pattern" in right:
        made.append(Bar(level, "pattern", right["pattern"], PATTERN, at_most=True))
    if "hatching" in right:
        made.append(Bar(level, "hatching", right["hatching"], HATCHING, at_most=True))
    return made


def _by_side(level: str, groups: dict[str, dict[str, float]]) -> list[Bar]:
    """All pairs of photographs up to a three-quarter view together, and those in which one is a profile."""
    profiles = {name for name in groups if Kind.PROFILE.value in name}
    made = []
    for sides, names in (("up to three quarters", groups.keys() - profiles), ("with a profile", profiles)):
        for share, pairs, what in (
            ("refused", "pairs", "right ones refused"),
            ("let_in", "strangers", "strangers let in"),
        ):
            if count := sum(groups[name][pairs] for name in names):
                mistaken = sum(groups[name][share] * groups[name][pairs] for name in names) / count
                made.append(Bar(level, f"{sides}: {what}", mistaken, MISTAKEN, at_most=True))
    return made


def _both(table: dict[str, Any], level: str) -> list[Bar]:
    of = table[level]
    right, none = of["right"], of["none"]
    made = []
    for kind in ("wrong", "look-alike"):
        if kind in of:
            wrong = of[kind]
            if "identity" in wrong:
                lost = wrong["identity"] - none["identity"]
                made.append(Bar(level, f"{kind}: identity over none", lost, -0.01))
            made += [
                Bar(level, f"{kind}: PSNR over none", wrong["psnr"] - none["psnr"], -0.1),
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
