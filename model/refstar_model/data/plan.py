"""What a training sample is made of, drawn before anything is made: which photograph, which references, what ruins it.

A plan is plain values. `pairs.Samples` makes it with OpenCV in loader processes, `device_samples.DeviceSamples` on a
device for whole batches, so both see samples of the same kind.
"""

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from enum import Enum, auto
from math import inf

import numpy as np
from numpy.typing import NDArray

from refstar_model.data.degradation import CHAINS, TABLE, Recipe, Table, Tone, draw_recipe, draw_tone
from refstar_model.data.photos import DataError, Photo, PhotoSet, PhotoWeights
from refstar_model.data.pseudo import MIRRORED
from refstar_model.data.turning import Turn, draw_turn

NO_TONE = Tone()
#: So many batches in a row are of one kind: processes that share a step wait for the slowest.
TOGETHER = 4
FULL, HALF = 512, 256  # the working size of the nets, and that of photographs that are sharp only there


@dataclass(frozen=True)
class SampleMix:
    """How often what is drawn; shares of 1."""

    real_pair: float = 0.5  # else a pseudo reference
    absent: float = 0.15
    wrong: float = 0.25
    two_references: float = 0.15  # batches in which every face gets two
    full_size: float = 0.25  # batches at full size, from pictures that are sharp there
    default_fidelity: float = 0.5  # else uniform in 0..1
    lookalike: float = 0.5  # of the wrong ones: a person whom the recognizer finds alike
    expression: float = 0.0  # of the pseudo references: with another expression
    mirrored: float = MIRRORED  # of the pseudo references
    #: How far a pseudo reference is turned, moved and bent, as a share of what `pseudo.draw_move` does.
    moved: float = 1.0
    alone: float = 0.75  # batches without any reference: cheap steps for the self stream
    turned: float = (
        0.0  # faces whose head is turned a little further (turning.py), of those that have a relief
    )
    twins: float = 0.0  # batches in which each photograph comes twice, ruined in two ways
    same_tone: float = 0.5  # of the references: in the tone that the photograph was given
    weights: PhotoWeights = field(default_factory=PhotoWeights)
    degradations: Table = TABLE  # what may happen to a photograph


@dataclass(frozen=True)
class Curriculum:
    """What comes first in a run.

    Half size, then full size: pictures that are sharp at full size are few, and are learned by heart. ``start`` is the
    share of the run before which every batch is at half size; ``full_batch`` the faces of a batch at full size (0: as
    many as at half size), whose losses are four times as large in memory.

    Only what is plainly ruined, then everything: ``ruined`` is the share of the run before which degradations are
    `CHAINS`. A new network that also sees good pictures first learns to change nothing, since every change of those is
    an error: after 1,200 faces its gain was +0.0 dB, without them +0.2 dB (severe, system 3).

    References that show all that is missing, then others: ``itself`` is the share of the run before which a right
    reference is the photograph itself, relit. Of one that shows something else in every place a new network learns to
    take nothing: after 1,600 faces the truth itself as reference changed its picture as any other did, and so begun
    after 330 faces by +1.2 dB (severe, ENTED).
    """

    start: float = 0.0
    full_batch: int = 0
    ruined: float = 0.0
    itself: float = 0.0


class Source(Enum):
    """Where a reference comes from."""

    ABSENT = auto()
    PAIR = auto()  # another photograph of the person
    PSEUDO = auto()  # made of the truth (pseudo.py)
    ITSELF = auto()  # the truth, relit
    STRANGER = auto()


@dataclass(frozen=True)
class ReferencePlan:
    source: Source
    file: str  # the truth's own for itself and a pseudo reference, and where it is absent
    tone: Tone = NO_TONE

    @property
    def present(self) -> bool:
        return self.source is not Source.ABSENT

    @property
    def right(self) -> bool:
        return self.source in (Source.PAIR, Source.PSEUDO, Source.ITSELF)


@dataclass(frozen=True)
class FacePlan:
    file: str
    tone: Tone  # of input and truth alike
    recipe: Recipe
    mirrored: bool  # input, truth and references alike
    fidelity: float
    references: tuple[ReferencePlan, ...]
    colorless: bool  # a gray photograph: of its color nothing is to be learned
    seed: int  # of what the makers still draw: noise, warps, light
    turn: Turn | None = None  # of the truth, before it is ruined


@dataclass(frozen=True)
class BatchPlan:
    size: int  # of the truths, FULL or HALF
    faces: tuple[FacePlan, ...]
    twins: bool = False  # faces 0 and 1, 2 and 3 ... are one photograph each, ruined in two ways

    @property
    def alone(self) -> bool:
        """Whether no face has a reference."""
        return not any(r.present for face in self.faces for r in face.references)


class Planner:
    """Plans of batches over the photographs that a mix draws at all."""

    def __init__(
        self,
        photos: PhotoSet,
        mix: SampleMix,
        batch: int,
        lookalikes: Mapping[str, Sequence[str]] | None = None,
        curriculum: Curriculum | None = None,
        turnable: Collection[str] = (),
    ) -> None:
        """``lookalikes`` maps a file to files of other people who resemble them; ``turnable`` files have a relief.

        Raises DataError when no photograph has a kind with a weight, or none can be turned though some are to be.
        """
        self.photos, self.mix, self.batch = photos, mix, batch
        self.lookalikes, self.curriculum = lookalikes or {}, curriculum or Curriculum()
        self.turnable = turnable
        if mix.turned and not turnable:
            raise DataError(
                f"{mix.turned:.0%} of the faces are to be turned, but no relief is there: measure them with the face "
                "mesh (--teachers), or turn none (--turned 0)"
            )
        self.half = _Pool(photos.photos, photos, mix.weights)
        if mix.alone < 1 and mix.wrong > 0 and len({p.person for p in photos.photos}) < 2:
            raise DataError("strangers are asked for, but all photographs are of one person")
        sharp = [p for p in photos.photos if p.sharp_at_512 and p.file in self.half.files]
        # A stranger must be found at this size too.
        self.full = _Pool(sharp, photos, mix.weights) if len({p.person for p in sharp}) > 1 else None

    def draw_number(self, seed: int, index: int, progress: float = 1.0) -> BatchPlan:
        """Batch number ``index``, at a ``progress`` of the run in 0..1: it depends on these three alone, its kind on
        index // ``TOGETHER`` in place of the index."""
        kind = np.random.default_rng([seed, index // TOGETHER, TOGETHER])
        return self.draw(np.random.default_rng([seed, index]), progress, kind)

    def draw(
        self, rng: np.random.Generator, progress: float = 1.0, kind: np.random.Generator | None = None
    ) -> BatchPlan:
        """A batch at a ``progress`` of the run in 0..1. Batches at full size take photographs that are sharp there.

        ``kind`` draws what decides how long a step takes, size and number of references; else ``rng`` does.
        """
        kind = kind or rng
        at_full = kind.random() < self.mix.full_size and progress >= self.curriculum.start
        pool, size, batch = self.half, HALF, self.batch
        if at_full and self.full is not None:
            pool, size, batch = self.full, FULL, self.curriculum.full_batch or self.batch
        table = CHAINS if progress < self.curriculum.ruined else self.mix.degradations
        itself = progress < self.curriculum.itself
        count = 2 if kind.random() < self.mix.two_references else 1
        if kind.random() < self.mix.alone:
            count = 0
        if self.mix.twins and batch > 1 and kind.random() < self.mix.twins:
            firsts = [self._draw_face(pool, count, rng, table, itself) for _ in range(batch // 2)]
            pairs = [(face, self._draw_twin(face, rng, table)) for face in firsts]
            return BatchPlan(size, tuple(face for pair in pairs for face in pair), twins=True)
        return BatchPlan(size, tuple(self._draw_face(pool, count, rng, table, itself) for _ in range(batch)))

    def _draw_twin(self, face: FacePlan, rng: np.random.Generator, table: Table) -> FacePlan:
        """The same photograph and references, ruined in another way."""
        recipe = draw_recipe(rng, table, face.tone.colorless)
        return replace(face, recipe=recipe, seed=int(rng.integers(2**62)))

    def _draw_face(
        self, pool: "_Pool", count: int, rng: np.random.Generator, table: Table, itself: bool
    ) -> FacePlan:
        """``count`` references; 0: none is asked for, which is one that is absent. ``itself``: as `Curriculum`."""
        # Photographs with a second one of the person are few: they are drawn more often than their share.
        paired = count > 0 and pool.paired is not None and rng.random() < self.mix.real_pair
        file = pool.draw(rng, paired)
        photo = self.photos.by_file[file]
        tone = draw_tone(rng, photo.gray, self.mix.degradations.tone)
        references = [self._draw_reference(pool, photo, paired, itself, tone, rng) for _ in range(count)]
        turned = self.mix.turned and file in self.turnable and rng.random() < self.mix.turned
        return FacePlan(
            file,
            tone,
            draw_recipe(rng, table, tone.colorless),
            mirrored=bool(rng.random() < 0.5),
            fidelity=0.5 if rng.random() < self.mix.default_fidelity else float(rng.random()),
            references=tuple(references) or (ReferencePlan(Source.ABSENT, file),),
            colorless=photo.gray,
            seed=int(rng.integers(2**62)),
            turn=draw_turn(rng) if turned else None,
        )

    def _draw_reference(
        self, pool: "_Pool", photo: Photo, paired: bool, itself: bool, tone: Tone, rng: np.random.Generator
    ) -> ReferencePlan:
        kind = rng.random()
        if kind < self.mix.absent:
            return ReferencePlan(Source.ABSENT, photo.file)
        if kind < self.mix.absent + self.mix.wrong:
            source, file = Source.STRANGER, self._draw_stranger(pool, photo, rng)
        elif itself:
            source, file = Source.ITSELF, photo.file
        elif paired:
            source, file = Source.PAIR, pool.draw_other(rng, photo.file)
        else:
            source, file = Source.PSEUDO, photo.file
        if rng.random() >= self.mix.same_tone:
            tone = draw_tone(rng, self.photos.by_file[file].gray, self.mix.degradations.tone)
        return ReferencePlan(source, file, tone)

    def _draw_stranger(self, pool: "_Pool", photo: Photo, rng: np.random.Generator) -> str:
        alike = [f for f in self.lookalikes.get(photo.file, ()) if f in pool.files]
        if alike and rng.random() < self.mix.lookalike:
            return str(rng.choice(alike))
        while True:
            other = pool.draw(rng)
            if self.photos.by_file[other].person != photo.person:
                return other


class _Pool:
    """The photographs of one size, with their chances."""

    def __init__(self, photos: Sequence[Photo], whole: PhotoSet, weights: PhotoWeights) -> None:
        chances = weights.draw_chances(photos)
        drawn = [(p.file, c) for p, c in zip(photos, chances, strict=True) if c > 0]
        self.files = {file: float(chance) for file, chance in drawn}
        paired: dict[str, list[str]] = {}
        for pair in whole.pairs:
            if {pair.first, pair.second} <= self.files.keys():
                paired.setdefault(pair.first, []).append(pair.second)
                paired.setdefault(pair.second, []).append(pair.first)
        # By kind, as photographs are: people of a studio have one more frontal photograph and eight from the sides. If
        # these were drawn alike, a face would hardly ever see a reference that it may take something of.
        of_kind = replace(weights, most=inf)
        self.others = {
            file: _edges(
                dict(zip(files, of_kind.draw_chances([whole.by_file[f] for f in files]), strict=True))
            )
            for file, files in paired.items()
        }
        self._all = _edges(self.files)
        self.paired = (
            _edges({f: c for f, c in self.files.items() if f in self.others}) if self.others else None
        )

    def draw(self, rng: np.random.Generator, paired: bool = False) -> str:
        """A file; with ``paired`` one of those that have a second photograph of the person."""
        return _draw(rng, self.paired if paired and self.paired is not None else self._all)

    def draw_other(self, rng: np.random.Generator, file: str) -> str:
        """Another photograph of the person whom ``file``, which must have one, shows."""
        return _draw(rng, self.others[file])


def _draw(rng: np.random.Generator, edges: tuple[list[str], NDArray[np.float64]]) -> str:
    names, ends = edges
    return names[int(np.searchsorted(ends, rng.random() * ends[-1], side="right"))]


def _edges(chances: Mapping[str, float]) -> tuple[list[str], NDArray[np.float64]]:
    """Names, and where each one's share of the line from 0 ends: a draw is a search, not a walk."""
    return list(chances), np.cumsum(list(chances.values()))
