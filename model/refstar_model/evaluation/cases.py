"""What is restored: degraded photographs of people that training never sees, and real small portraits.

Every pair is used in both directions: one photograph is degraded with a fixed seed, the other one is the right
reference. A wrong reference is a photograph of the next person in the list, a look-alike the photograph of another
person that a recognizer finds nearest to the truth.
"""

import csv
from collections.abc import Mapping
from dataclasses import dataclass

import cv2
import numpy as np
import torch
from numpy.typing import NDArray

from refstar_model.data.degradation import LEVELS, degrade
from refstar_model.data.photos import DataError, Kind, PhotoSet, PictureError
from refstar_model.export.restorers import fit
from refstar_model.judges.recognition import Recognizer

Pixels = NDArray[np.uint8]
DISTINCT = 0.85  # truth and reference less alike than this are truly different pictures, not one sitting


@dataclass(frozen=True, eq=False)
class Case:
    """One degraded face and its references, [512, 512, 3]; the truth at the size where it is sharp, 512 or 256."""

    name: str
    person: str
    low_quality: Pixels
    right: Pixels
    wrong: Pixels
    truth: Pixels
    similarity: float  # of truth and right reference, by the list's recognizer
    lookalike: Pixels | None = None

    @property
    def distinct(self) -> bool:
        return self.similarity < DISTINCT


@dataclass(frozen=True, eq=False)
class RealCase:
    """A real small portrait, shown at 512."""

    name: str
    person: str
    seen_in_training: bool  # the person's sharp photographs were trained on
    low_quality: Pixels
    right: Pixels | None  # another photograph of the person
    wrong: Pixels
    same_photo: Pixels | None  # this very photograph in high resolution


def cases(
    photos: PhotoSet, level: str, seed: int = 7, lookalikes: Mapping[str, str] | None = None
) -> list[Case]:
    """All test cases of a level (``moderate`` or ``severe``) over the photos' pairs, both directions.

    Only pairs of two frontal photographs in color, so that the cases stay the same whatever else there is.
    Raises DataError where fewer than two people have such a pair.
    """
    photos = _check_pairs(photos)
    return [
        _case(photos, index, direction, level, seed, lookalikes)
        for index in range(len(photos.pairs))
        for direction in range(2)
    ]


def few_cases(
    photos: PhotoSet, level: str, count: int, seed: int = 7, lookalikes: Mapping[str, str] | None = None
) -> list[Case]:
    """At most ``count`` of the cases, spread evenly over the pairs, directions taken in turns; raises as `cases`."""
    photos = _check_pairs(photos)
    pairs = len(photos.pairs)
    chosen = sorted({int(i) for i in np.linspace(0, pairs - 1, min(count, pairs))})
    return [_case(photos, index, turn % 2, level, seed, lookalikes) for turn, index in enumerate(chosen)]


def has_cases(photos: PhotoSet) -> bool:
    """Whether two people have a pair of frontal photographs in color: a case takes one's, and the other's as a
    stranger's."""
    return len({pair.person for pair in photos.of_kinds(Kind.FRONT).pairs}) > 1


def _check_pairs(photos: PhotoSet) -> PhotoSet:
    if not has_cases(photos):
        raise DataError(
            "a test case takes two people with two frontal color photographs each, of people that training does not "
            "see, and there are fewer: prepare an album of more people (--val says how many are put aside), or name "
            "sections that need no pairs (evaluate --only harm,old,kinds)"
        )
    return photos.of_kinds(Kind.FRONT)


def _case(
    photos: PhotoSet,
    index: int,
    direction: int,
    level: str,
    seed: int,
    lookalikes: Mapping[str, str] | None,
) -> Case:
    pairs = photos.pairs
    pair = pairs[index]
    stranger = next(p for p in pairs[index + 1 :] + pairs[:index] if p.person != pair.person)
    truth, right = (pair.first, pair.second) if direction == 0 else (pair.second, pair.first)
    rng = np.random.default_rng([seed, index, direction, sorted(LEVELS).index(level)])
    source = photos.read_sharpest(truth)
    return Case(
        name=truth,
        person=pair.person,
        low_quality=degrade(source, LEVELS[level](rng), rng),
        right=picture(photos, right),
        wrong=picture(photos, stranger.first if direction == 0 else stranger.second),
        truth=source,
        similarity=pair.similarity,
        lookalike=picture(photos, lookalikes[truth]) if lookalikes else None,
    )


def pseudo_views(reference: Pixels) -> list[Pixels]:
    """Three more references made of one: mirrored, turned and enlarged, mirrored and relit.

    For want of a third photograph of the same person. Not the pseudo references of training, so that changing those
    does not change the test.
    """
    turned = cv2.warpAffine(
        reference,
        cv2.getRotationMatrix2D((255.5, 255.5), 4, 1.04),
        (512, 512),
        flags=cv2.INTER_CUBIC,
        borderMode=cv2.BORDER_REFLECT_101,
    )
    levels = np.clip(np.rint(255 * (np.arange(256) / 255) ** 1.15 * 0.95), 0, 255).astype(np.uint8)
    mirrored = np.ascontiguousarray(reference[:, ::-1])
    return [mirrored, np.asarray(turned, np.uint8), np.asarray(levels[mirrored], np.uint8)]


def nearest_strangers(photos: PhotoSet, recognizer: Recognizer) -> dict[str, str]:
    """For every file the other person's file whose face the recognizer finds most alike."""
    files, people = [p.file for p in photos.photos], [p.person for p in photos.photos]
    with torch.no_grad():
        seen = [torch.from_numpy(photos.read(f, 256)).permute(2, 0, 1).float() / 255 for f in files]
        vectors = torch.cat(
            [recognizer.embed(torch.stack(seen[i : i + 16])) for i in range(0, len(seen), 16)]
        )
    cosine = vectors @ vectors.T
    cosine[torch.tensor([[a == b for b in people] for a in people])] = -2
    return {file: files[int(i)] for file, i in zip(files, cosine.argmax(1), strict=True)}


def real_cases(photos: PhotoSet) -> list[RealCase]:
    """The real small portraits of ``reallq.csv``: of val people, and those with the same photograph in high resolution.

    ``photos`` is the whole set; an empty list where the data folder has no such portraits. The latter are of people
    whose sharp photographs were trained on, so they are told apart.
    """
    root = next((r for r in photos.roots if (r / "reallq.csv").is_file()), None)
    if root is None:
        return []
    with (root / "reallq.csv").open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    trained = {p.person for p in photos.photos if p.split == "train"}
    known = {p.file for p in photos.photos}
    rows = [
        row | {"reference": row["ref_different_photo"], "same": row["same_photo_hq"]}
        for row in rows
        if row["same_photo_hq"] in known or (row["person"] not in trained and row["ref_different_photo"])
    ]
    rows.sort(key=lambda row: (row["person"] in trained, row["file"]))
    made = []
    for index, row in enumerate(rows):
        strangers = (*rows[index + 1 :], *rows[:index])
        stranger = next(r for r in strangers if r["person"] != row["person"] and r["reference"])
        small = cv2.imread(str(root / "reallq" / row["file"]))
        if small is None:
            raise PictureError(f"{root / 'reallq' / row['file']}: no picture")
        low_quality = fit(small[..., ::-1])
        made.append(
            RealCase(
                name=row["file"],
                person=row["person"],
                seen_in_training=row["person"] in trained,
                low_quality=low_quality,
                right=picture(photos, row["reference"]) if row["reference"] else None,
                wrong=picture(photos, stranger["reference"]),
                same_photo=as_shown(picture(photos, row["same"]), low_quality) if row["same"] else None,
            )
        )
    return made


def picture(photos: PhotoSet, file: str) -> Pixels:
    """A photograph at 512, enlarged where it is sharp only at 256."""
    return fit(photos.read_sharpest(file))


def as_shown(same: Pixels, low_quality: Pixels) -> Pixels:
    """The photograph, mirrored if the small portrait is: publishers turn faces the way that their page wants."""
    seen = fit(low_quality, 64).astype(np.float64).mean(-1)
    ways = (same, np.ascontiguousarray(same[:, ::-1]))
    agreed = [
        np.corrcoef(fit(way, 64).astype(np.float64).mean(-1).ravel(), seen.ravel())[0, 1] for way in ways
    ]
    return ways[int(np.argmax(agreed))]
