"""The whole evaluation, section by section.

The result is a plain dictionary that JSON can hold; ``report`` writes it out and ``bars`` judges it.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from refstar_model.data.degradation import LEVELS
from refstar_model.data.photos import Kind, PhotoSet
from refstar_model.evaluation import perceptual, second_recognizer
from refstar_model.evaluation.bars import bars
from refstar_model.evaluation.cases import Case, cases, few_cases, nearest_strangers, real_cases
from refstar_model.evaluation.differing_parts import judge_differing_parts
from refstar_model.evaluation.gate import judge_gate
from refstar_model.evaluation.gate_views import judge_gate_views
from refstar_model.evaluation.harm import measure_harm
from refstar_model.evaluation.kinds import judge_kinds
from refstar_model.evaluation.knobs import turn_knobs
from refstar_model.evaluation.lone_level import judge_old
from refstar_model.evaluation.occlusion import judge_occlusion
from refstar_model.evaluation.pair_level import judge_level
from refstar_model.evaluation.portraits import judge_portraits
from refstar_model.evaluation.records import Record
from refstar_model.evaluation.scores import Judges
from refstar_model.evaluation.sheets import Show
from refstar_model.evaluation.super_resolution import judge_super_resolution
from refstar_model.evaluation.views import judge_views
from refstar_model.export.gate_graph import GateGraph
from refstar_model.export.restorers import Restorer
from refstar_model.judges.recognition import Recognizer

IDENTITY_OFF = "off (no --judge)"


class Section(StrEnum):
    """What can be asked for alone."""

    PAIRS = "pairs"  # val pairs at each level, with every kind of reference
    KNOBS = "knobs"  # fidelity and reference_strength, on some of the pairs
    GATE = (
        "gate"  # who references show, by the model: on the pairs, and by the sides that two photographs show
    )
    VIEWS = "views"  # references from another side, and several different ones
    PARTS = "parts"  # glasses, beards and others that differ between the face and its reference
    REAL = "real"  # real small portraits
    HARM = "harm"  # clean photographs, and real old portraits, as they are
    OLD = "old"  # gray portraits as old photographs
    KINDS = "kinds"  # single photographs by view, age, skin tone, gray or color
    SUPER_RESOLUTION = "super-resolution"  # single photographs reduced by 4, 8 and 16
    OCCLUDED = "occluded"  # clean photographs behind drawn bars, nets, dots and stripes


@dataclass(frozen=True)
class Extent:
    """How much is done.

    ``cases``: so many at each level, None for all. ``knobs_every``: the knobs are turned on every such case.
    ``references``, ``fidelity``: False for a model that takes none; what needs them is left out. ``per_group``: at
    most so many photographs in a group of KINDS and VIEWS and behind each occluder; ``lone_cases``: in one of HARM and
    OLD and at each factor of SUPER_RESOLUTION, None for all.
    """

    seed: int = 7
    levels: tuple[str, ...] = tuple(sorted(LEVELS))
    cases: int | None = None
    knobs_every: int = 3
    sections: frozenset[Section] = frozenset(Section)
    references: bool = True
    fidelity: bool = True
    per_group: int = 16
    lone_cases: int | None = None


def evaluate(
    model: Restorer,
    photos: PhotoSet,
    judges: Judges,
    finder: Recognizer | None = None,
    extent: Extent | None = None,
    show: Show | None = None,
    gate: GateGraph | None = None,
) -> tuple[dict[str, Any], list[Record]]:
    """Judge a model on the val people of ``photos`` (the whole set).

    ``finder`` chooses the look-alikes (the judge would rather not: it would find its own mistakes); without one the
    variant is left out. ``show`` gets the rows of the contact sheets. ``gate`` is the model's, alone: without it, who
    references show is judged on the pairs only. Returns the table and all records of the levels.
    """
    extent = extent or Extent()
    wanted = extent.sections
    val = photos.split("val")
    table: dict[str, Any] = {"seed": extent.seed, "cases": 0, "people": 0}
    records: list[Record] = []
    if wanted & {Section.PAIRS, Section.KNOBS, Section.GATE}:
        alike = None
        if finder is not None and extent.references:
            alike = nearest_strangers(val.of_kinds(Kind.FRONT), finder)
        for level in extent.levels:
            if extent.cases is None:
                made = cases(val, level, extent.seed, alike)
            else:
                made = few_cases(val, level, extent.cases, extent.seed, alike)
            table |= {"cases": len(made), "people": len({c.person for c in made})}
            records += _judge_pairs(table, model, made, judges, level, extent, show)
    if Section.GATE in wanted and gate is not None:
        table["gate_views"] = judge_gate_views(gate, photos, extent.levels, extent.seed)
    if Section.VIEWS in wanted and extent.references:
        table["views"] = judge_views(
            model, photos, judges, extent.levels, extent.seed, extent.per_group, show
        )
    if Section.PARTS in wanted and extent.references and judges.mesh is not None:
        table["parts"] = judge_differing_parts(
            model, photos, judges.mesh, extent.levels, extent.seed, show=show
        )
    if Section.REAL in wanted and (found := real_cases(photos)):
        table["real"] = judge_portraits(model, found, judges, extent.references, show)
    if Section.HARM in wanted:
        table["harm"] = measure_harm(model, photos, judges, extent.lone_cases, show, extent.references)
    if Section.OLD in wanted:
        table["old"] = judge_old(model, val, judges, extent.seed, extent.lone_cases, show)
    if Section.KINDS in wanted:
        table["kinds"] = judge_kinds(
            model, photos, judges, extent.levels, extent.seed, extent.per_group, show
        )
    if Section.SUPER_RESOLUTION in wanted:
        table["super_resolution"] = judge_super_resolution(model, val, judges, extent.lone_cases, show)
    if Section.OCCLUDED in wanted:
        table["occluded"] = judge_occlusion(model, val, judges, extent.seed, extent.per_group, show)
    table["identity"] = "on" if judges.identity is not None else IDENTITY_OFF
    table["lpips"] = "on" if judges.perceptual is not None else perceptual.OFF
    table["fid"] = "on" if judges.inception is not None else perceptual.OFF
    table["second_recognizer"] = "on" if judges.second is not None else second_recognizer.OFF
    table["bars"] = [bar.to_dict() for bar in bars(table)]
    return table, records


def _judge_pairs(
    table: dict[str, Any],
    model: Restorer,
    made: Sequence[Case],
    judges: Judges,
    level: str,
    extent: Extent,
    show: Show | None,
) -> list[Record]:
    """What is asked for of one level of the pairs, put into ``table``; returns the records."""
    records = []
    if Section.PAIRS in extent.sections:
        judged, seen = judge_level(model, made, judges, level, extent.references, show)
        table[level] = judged["means"]
        for part in ("differences", "at_equal_psnr"):
            table.setdefault(part, {})[level] = judged[part]
        records = [Record(r.case, r.person, r.distinct, f"{level}/{r.variant}", r.scores) for r in seen]
    if Section.KNOBS in extent.sections and extent.references:
        turned = [c for i, c in enumerate(made) if i % extent.knobs_every == 0]
        table.setdefault("knobs", {})[level] = turn_knobs(model, turned, judges, extent.fidelity)
    if Section.GATE in extent.sections and extent.references and (told := judge_gate(model, made, level)):
        table.setdefault("gate", {})[level] = told
    return records
