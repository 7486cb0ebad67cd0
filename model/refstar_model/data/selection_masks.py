"""Labels for the selection: what may be taken from a reference, per band and place, without annotators at work.

Both clean photographs are laid over each other by their dense points and compared (`pair_comparison`); a checked seed
teaches small nets which agreement counts (`mask_propagation`); this module makes the band masks, says how far they
can be believed, and keeps them in one file.

A label is binary, its confidence is in 0..1 and 0 where nobody should learn from it. Whom the reference shows is not
looked at here: a wrong person's label is all zero with full confidence (`stranger`).
"""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from refstar_model.data.checked_masks import CHECKED, CheckedPair, load_checked
from refstar_model.data.face_parts import GRID, Map
from refstar_model.data.mask_propagation import (
    Propagation,
    PropagationParams,
    SeedMask,
    intersection_over_union,
    propagate,
)
from refstar_model.data.pair_comparison import Comparison, compare, compare_known
from refstar_model.data.photos import DataError, PhotoSet
from refstar_model.judges.landmarks import SIDE, FaceMesh, Pixels, Points

Float = NDArray[np.float32]

BANDS = 6  # Laplacian bands of a 512 picture, finest first
VERSION = 1


@dataclass(frozen=True, eq=False)
class SelectionLabel:
    """``take`` [6, 64, 64] is 0 or 1, ``confidence`` [6, 64, 64] in 0..1, ``displacement`` [64, 64] in pixels at 512.

    Agreement is judged after alignment. A net that lays the reference down without moving it shows every place
    ``displacement`` away from where it belongs: see `within`.
    """

    take: Float
    confidence: Float
    displacement: Map

    def within(self, reach: float) -> "SelectionLabel":
        """For a net that can move the reference by ``reach`` pixels at most: what is further off than half the
        wavelength of a band (2^band pixels) is left in this band."""
        limits = reach + 2.0 ** np.arange(1, BANDS + 1, dtype=np.float32)
        near = self.displacement[None] <= limits[:, None, None]
        # Where the label was unsure, being too far off makes it sure.
        confidence = np.where(near, self.confidence, 1.0).astype(np.float32)
        return SelectionLabel((self.take * near).astype(np.float32), confidence, self.displacement)

    def mirror(self) -> "SelectionLabel":
        return SelectionLabel(
            *(np.ascontiguousarray(m[..., ::-1]) for m in (self.take, self.confidence, self.displacement))
        )


def stranger() -> SelectionLabel:
    """The label of a wrong person's reference: nothing is to be taken, surely."""
    shape = (BANDS, GRID, GRID)
    return SelectionLabel(
        np.zeros(shape, np.float32), np.ones(shape, np.float32), np.zeros((GRID, GRID), np.float32)
    )


def band_label(seen: Comparison, region: Map, doubt: Map) -> SelectionLabel:
    """Label from what was seen, the mask over all bands (0..1) and how far that mask is in doubt (0..1).

    In the taken region a band is taken where it agrees: fine bands when the reference has as much detail as the truth
    (pores never coincide), middle bands when their structure correlates, coarse ones when the light agrees too.
    """
    amount, structure = seen.amount, seen.structure
    lit = _step(0.4 - seen.shading, 0.08)
    finest = _step(amount[0] - 0.55, 0.08)
    agreement = np.stack(
        [
            finest,
            finest,
            _step((amount[1] + structure[1]) / 2 - 0.45, 0.08),
            _step(structure[2] - 0.1, 0.12),
            _step(structure[3] - 0.1, 0.12) * lit,
            _step(structure[4] - 0.1, 0.12) * lit,
        ]
    )
    take = region * agreement
    confidence = np.clip((np.abs(2 * take - 1) - 0.3) / 0.5, 0, 1) * (1 - doubt)
    return SelectionLabel((take > 0.5).astype(np.float32), confidence.astype(np.float32), seen.displacement)


def pair_label(seen: Comparison, propagation: Propagation) -> SelectionLabel:
    """Label of a real pair; in doubt where the nets disagree with each other or flatly with the rules."""
    region, spread = propagation(seen.channels())
    against_rules = np.abs(region - seen.take()) > 0.85
    doubt = np.clip(spread / 0.3, 0, 1)
    return band_label(seen, region, np.maximum(doubt, 0.7 * against_rules).astype(np.float32))


def pseudo_label(truth: Pixels, reference: Pixels, field: Float, points: Points) -> SelectionLabel:
    """Label of a pseudo reference: truth and reference [256, 256, 3]; ``field`` [256, 256, 2] says where the reference
    shows each place of the truth (a mirror image counts as a face of its own: left eye for left eye); points of the
    truth.

    All parts agree; what can conflict is texture (a mirrored parting, blur) and light. Beyond the head it is unsure.
    """
    seen = compare_known(truth, reference, field, points)
    return band_label(seen, seen.head, np.asarray(1 - seen.head, np.float32))


class SelectionLabels:
    """Labels of ordered pairs of photographs, by (truth, reference), and the dense points of every photograph."""

    def __init__(
        self, labels: dict[tuple[str, str], SelectionLabel], points: dict[str, Points] | None = None
    ) -> None:
        self.labels = labels
        self.points = points or {}

    def __len__(self) -> int:
        return len(self.labels)

    def get(self, truth: str, reference: str) -> SelectionLabel | None:
        return self.labels.get((truth, reference))

    def save(self, path: Path) -> None:
        """One compressed ``.npz``."""
        keys = sorted(self.labels)
        rows = [self.labels[k] for k in keys]
        files = sorted(self.points)
        path.parent.mkdir(parents=True, exist_ok=True)
        part = path.with_suffix(".part.npz")
        np.savez_compressed(
            part,
            version=np.array(VERSION),
            pairs=np.array(keys).reshape(-1, 2),
            take=np.packbits(np.array([r.take for r in rows], np.uint8).reshape(len(rows), -1), axis=1),
            confidence=np.array([np.rint(r.confidence * 255) for r in rows], np.uint8),
            displacement=np.array([r.displacement for r in rows], np.float16),
            files=np.array(files),
            points=np.array([self.points[f] for f in files], np.float32),
        )
        part.replace(path)

    @classmethod
    def load(cls, path: Path, masks: bool = True) -> "SelectionLabels":
        """Raises ValueError for a file of another version. Without ``masks``, the points alone: masks take 200 kB a
        pair and way."""
        with np.load(path) as stored:
            if int(stored["version"]) != VERSION:
                raise ValueError(f"{path}: version {stored['version']}, wanted {VERSION}; make it again")
            points = {str(f): p for f, p in zip(stored["files"], stored["points"], strict=True)}
            if not masks:
                return cls({}, points)
            count = BANDS * GRID * GRID
            take = np.unpackbits(stored["take"], axis=1, count=count).reshape(-1, BANDS, GRID, GRID)
            confidence, displacement = stored["confidence"], stored["displacement"]
            labels = {
                (str(truth), str(reference)): SelectionLabel(
                    take[i].astype(np.float32),
                    confidence[i].astype(np.float32) / 255,
                    displacement[i].astype(np.float32),
                )
                for i, (truth, reference) in enumerate(stored["pairs"])
            }
        return cls(labels, points)


class PairComparer:
    """Comparisons of a photo set's pairs; every photograph is read and measured once."""

    def __init__(self, photos: PhotoSet, mesh: FaceMesh) -> None:
        self.photos, self.mesh = photos, mesh
        self.points: dict[str, Points] = {}

    def measure(self, file: str) -> Points:
        if file not in self.points:
            self.points[file] = self.mesh.points(self.photos.read(file, SIDE))
        return self.points[file]

    def __call__(self, truth: str, reference: str) -> Comparison:
        ours, theirs = self.photos.read(truth, SIDE), self.photos.read(reference, SIDE)
        return compare(ours, theirs, self.measure(truth), self.measure(reference))


def seed_masks(checked: list[CheckedPair], comparer: PairComparer) -> list[SeedMask]:
    """The checked pairs, both ways where the verdicts allow it."""
    person = {p.file: p.person for p in comparer.photos.photos}
    ways = [way for pair in checked for way in (pair, pair.reverse()) if way is not None]
    seed = []
    for way in ways:
        take, known = way.mask(comparer.measure(way.truth))
        seen = comparer(way.truth, way.reference)
        seed.append(SeedMask(person[way.truth], seen.channels(), take, known))
    return seed


def make_labels(
    photos: PhotoSet,
    mesh: FaceMesh,
    path: Path,
    checked: Path = CHECKED,
    report: Callable[[str], None] = print,
) -> SelectionLabels:
    """Label all train pairs both ways, write them to ``path`` and report how well the checked masks are met.

    Takes about half a second per photograph and direction. Raises DataError where too few of the checked train pairs
    are among the photos.
    """
    train = PairComparer(photos.split("train"), mesh)
    seed = seed_masks(_checked_among(photos, "train", checked), train)
    people = len({mask.person for mask in seed})
    if people < PropagationParams().folds:
        raise DataError(
            f"masks are learned from the pairs in {checked.name}, and the photographs have pairs of {people} of its "
            f"people where {PropagationParams().folds} are needed: without --labels, train refstar uses weaker labels, "
            "which need none"
        )
    propagation = propagate(seed)
    unseen = [intersection_over_union(propagation.unseen(s), s.take, s.known) for s in seed]
    report(f"seed: {len(seed)} checked masks, IoU on people left out {np.mean(unseen):.3f}")

    val = PairComparer(photos.split("val"), mesh)
    judged = seed_masks(_checked_among(photos, "val", checked), val)
    if judged:
        found = [intersection_over_union(propagation(s.seen)[0], s.take, s.known) for s in judged]
        report(f"val: {len(judged)} checked masks, IoU {np.mean(found):.3f}")

    labels = {}
    for pair in train.photos.pairs:
        for truth, reference in ((pair.first, pair.second), (pair.second, pair.first)):
            labels[truth, reference] = pair_label(train(truth, reference), propagation)
    for photo in train.photos.photos:
        train.measure(photo.file)
    made = SelectionLabels(labels, train.points)
    made.save(path)
    sure = np.mean([label.confidence.mean() for label in labels.values()])
    taken = np.mean([label.take.mean() for label in labels.values()])
    report(
        f"{len(made)} labels: {taken:.3f} taken, confidence {sure:.3f}, {path.stat().st_size / 1e6:.1f} MB"
    )
    return made


def _checked_among(photos: PhotoSet, split: str, checked: Path) -> list[CheckedPair]:
    """The checked pairs both of whose photographs are there."""
    files = {photo.file for photo in photos.split(split).photos}
    return [pair for pair in load_checked(split, checked) if {pair.truth, pair.reference} <= files]


def _step(values: Float, width: float) -> Float:
    return np.asarray(1 / (1 + np.exp(-np.clip(values / width, -30, 30))), np.float32)
