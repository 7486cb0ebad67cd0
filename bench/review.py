"""How often are restored faces kept out, by kind of photograph and by reason?

REFSTAR_DATA=... .venv/bin/python bench/review.py                     # the shipped default without references
REFSTAR_DATA=... .venv/bin/python bench/review.py --model refstar --cases 40 --sheet kept.png

Val photographs at every test level, as they are, and behind drawn things; the old portraits of `historic` and the small
ones of `reallq`, which are real; pairs with a right and with a wrong reference, if the model takes references. The
sheet has a row of pairs (face, restoration) for every kind: up to four that are kept.
"""

import argparse
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray
from refstar_model.data.degradation import LEVELS, LONE_LEVELS
from refstar_model.data.photos import PhotoSet, load_photos, roots_from_environment
from refstar_model.evaluation.cases import few_cases
from refstar_model.evaluation.lone_cases import degraded_case, historic_cases, spread, spread_over_kinds
from refstar_model.evaluation.occluder import RANGES, Occluder, OccluderKind
from refstar_model.export.restorers import fit
from refstar_service.app.installed import installed_models
from refstar_service.engine.manifest import ModelManifest
from refstar_service.engine.restorer import FaceTask, ReferencePicture, Restorer
from refstar_service.restoration.review import find_objection
from refstar_service.restoration.rules import choose_model
from refstar_service.restoration.warmth import cool, warm
from refstar_service.settings import Settings

Pixels = NDArray[np.uint8]
Case = tuple[str, Pixels, Sequence[Pixels]]  # kind, face, references


def draw_cases(photos: PhotoSet, count: int, references: int) -> Iterator[Case]:
    val = photos.split("val")
    chosen = spread_over_kinds(val, count)
    for level in LONE_LEVELS:
        for photo in chosen:
            yield level, degraded_case(val, photo, level, 7).low_quality, ()
    for photo in chosen:
        yield "clean", fit(val.read_sharpest(photo.file)), ()
    for historic in spread(historic_cases(photos), count):
        yield "historic", historic.low_quality, ()
    for root in photos.roots:
        for path in spread(sorted((root / "reallq").glob("*.jpg")), count):
            yield "reallq", fit(np.ascontiguousarray(cv2.imread(str(path))[..., ::-1])), ()
    rng = np.random.default_rng(3)
    for kind in OccluderKind:
        for photo in spread_over_kinds(val, max(count // 4, 1)):
            occluder = Occluder(kind, *(float(rng.uniform(*ends)) for ends in RANGES[kind]))
            yield f"behind {kind.value}", occluder.draw(fit(val.read_sharpest(photo.file))), ()
    for level in LEVELS if references else ():
        for pair in few_cases(val, level, count):
            yield f"{level}, right reference", pair.low_quality, (pair.right,)
            yield f"{level}, wrong reference", pair.low_quality, (pair.wrong,)


def restore(restorer: Restorer, face: Pixels, references: Sequence[Pixels]) -> Pixels:
    face = np.ascontiguousarray(face)
    shown = tuple(ReferencePicture(str(number), warm(one)) for number, one in enumerate(references))
    restorer.forget("0")  # the key of another face's reference
    (restored,) = restorer.restore([FaceTask(warm(face), shown, 1.0, 0.5)])
    return cool(restored.pixels, face)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--model", help="default: the service's own choice without references")
    parser.add_argument("--cases", type=int, default=60, help="at most so many of each kind (%(default)s)")
    parser.add_argument("--sheet", type=Path, help="a PNG of kept faces beside their restorations")
    wanted = parser.parse_args()
    if not roots_from_environment():
        parser.error("no photographs: REFSTAR_DATA names no folder")
    manifest: ModelManifest = choose_model(installed_models(Settings()), wanted.model, 0)
    restorer = Restorer(manifest)
    reasons: dict[str, Counter[str]] = defaultdict(Counter)
    rows: dict[str, list[Pixels]] = defaultdict(list)
    photos = load_photos(*roots_from_environment())
    for kind, face, references in draw_cases(photos, wanted.cases, manifest.max_references):
        result = restore(restorer, face, references)
        reason = find_objection(face, result) or "restored"
        reasons[kind][reason] += 1
        if reason != "restored" and len(rows[kind]) < 4:
            rows[kind].append(np.hstack([face, result]))
    print(f"{manifest.name}, {wanted.cases} of each kind at most, in percent")
    print("| Faces | count | restored | `already-sharp` | `not-plausible` |\n|---|---|---|---|---|")
    for kind, counted in reasons.items():
        total = counted.total()
        shares = (100 * counted[name] / total for name in ("restored", "already-sharp", "not-plausible"))
        print(f"| {kind} | {total} | " + " | ".join(f"{share:.0f}" for share in shares) + " |")
    if wanted.sheet:
        blank = np.zeros((512, 1024, 3), np.uint8)
        sheet = np.vstack([np.hstack([*row, *[blank] * (4 - len(row))]) for row in rows.values() if row])
        cv2.imwrite(str(wanted.sheet), sheet[..., ::-1])


if __name__ == "__main__":
    main()
