"""For whom does it work? Single val photographs by view, age, skin tone, gray or color, restored without a reference.

Pictures of nobody (SYNTHETIC) form groups of their own, whose names say so: they are no photographs, but there are dark
skins and old faces among them that the real ones lack.
"""

from collections.abc import Iterator
from typing import Any

from refstar_model.data.photos import Kind, Photo, PhotoSet
from refstar_model.evaluation.lone_cases import REAL_KINDS, degraded_case, spread
from refstar_model.evaluation.lone_level import judge_alone
from refstar_model.evaluation.records import mean_scores
from refstar_model.evaluation.scores import Judges, Scores, know
from refstar_model.evaluation.sheets import Show, WorstRows
from refstar_model.evaluation.skin_tone import SkinTone, classify_tone, measure_ita
from refstar_model.export.restorers import Restorer
from refstar_model.progress import follow

MEASURES = ("gain", "psnr", "identity", "second", "second_same", "sharpness", "pattern", "failures")
#: A recognizer says little about a profile, and the places of smooth skin are beside the face.
NOT_OF_PROFILES = ("identity", "second", "second_same", "pattern")
AGES = ((0, 24), (25, 39), (40, 59), (60, 120))  # years
SYNTHETIC_SEEN = 6  # times the group's size: so many synthetic pictures are looked at for their tone

Groups = dict[str, list[Photo]]


def judge_kinds(
    model: Restorer,
    photos: PhotoSet,
    judges: Judges,
    levels: tuple[str, ...],
    seed: int,
    count: int,
    show: Show | None = None,
) -> dict[str, Any]:
    """``{level: {group: {"cases": n, measure: mean}}}``; ``photos`` is the whole set, ``count`` the most of a group.

    ``gain`` is the PSNR gained over the input; ``second_input`` the second recognizer's distance of the input.
    """
    groups = dict(form_groups(photos, judges, count))
    chosen = {p.file: p for members in groups.values() for p in members}
    worst = {level: WorstRows(show, f"kinds-{level}-worst-alone") for level in levels}
    scored: dict[tuple[str, str], Scores] = {}
    for photo in follow(chosen.values(), "by kind"):
        known = know(photos.read_sharpest(photo.file), None, judges)
        left_out = NOT_OF_PROFILES if photo.kind is Kind.PROFILE else ()
        for level in levels:
            case = degraded_case(photos, photo, level, seed)
            judged = judge_alone(model, case, known, judges)
            kept = {m: judged.none[m] for m in MEASURES if m in judged.none and m not in left_out}
            if "second" in kept:
                kept["second_input"] = judged.input["second"]
            scored[level, photo.file] = kept
            said = f"{photo.file}   {photo.kind}, PSNR {kept['gain']:+.2f}"
            worst[level].add(kept["gain"], said, [case.low_quality, judged.picture, case.truth])
    for rows in worst.values():
        rows.close()
    return {
        level: {
            name: {"cases": len(members), **mean_scores([scored[level, p.file] for p in members])}
            for name, members in groups.items()
        }
        for level in levels
    }


def form_groups(photos: PhotoSet, judges: Judges, count: int) -> Iterator[tuple[str, list[Photo]]]:
    """Name and members of every group that has any: at most ``count`` each, evenly spread.

    A photograph may be in several. Ages and tones are those of faces in color that look at us or partly so; tones need
    the mesh.
    """
    val = photos.split("val")
    for kind in REAL_KINDS:
        yield from _group(kind.value, val.of_kinds(kind).photos, count)
    facing = val.of_kinds(Kind.FRONT, Kind.TURNED).photos
    for low, high in AGES:
        of_age = [p for p in facing if p.age is not None and low <= p.age <= high]
        yield from _group(f"age {low} to {high}", of_age, count)
    yield from _by_tone("tone", photos, facing, judges, count)
    drawn = spread(photos.of_kinds(Kind.SYNTHETIC).photos, SYNTHETIC_SEEN * count)
    for low, high in AGES:
        of_age = [p for p in drawn if p.age is not None and low <= p.age <= high]
        yield from _group(f"synthetic, age {low} to {high}", of_age, count)
    yield from _by_tone("synthetic, tone", photos, drawn, judges, count)


def _by_tone(
    name: str, photos: PhotoSet, members: tuple[Photo, ...] | list[Photo], judges: Judges, count: int
) -> Iterator[tuple[str, list[Photo]]]:
    if judges.mesh is None:
        return
    by_tone: dict[SkinTone, list[Photo]] = {tone: [] for tone in SkinTone}
    for photo in members:
        picture = photos.read(photo.file, 256)
        by_tone[classify_tone(measure_ita(picture, judges.mesh.points(picture)))].append(photo)
    for tone, of_tone in by_tone.items():
        yield from _group(f"{name} {tone}", of_tone, count)


def _group(
    name: str, members: tuple[Photo, ...] | list[Photo], count: int
) -> Iterator[tuple[str, list[Photo]]]:
    if members:
        yield name, spread(members, count)
