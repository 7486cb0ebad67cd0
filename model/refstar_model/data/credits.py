"""Whose photographs a model was trained on: recorded with its weights, and told by its ``model.json``.

The record is made of the rows of ``faces.csv`` that training may draw. Weights that begin at others inherit theirs.
"""

import json
import pickle
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from refstar_model.data.photos import Kind, Photo, PhotoSet, PhotoWeights

#: The key of the record in a file of weights.
RECORD = "data"
_WORDS = {
    Kind.FRONT: "from the front",
    Kind.TURNED: "turned",
    Kind.PROFILE: "in profile",
    Kind.GRAY: "gray",
    Kind.SYNTHETIC: "synthetic",
}
#: What `Credit.sentence` makes: source, license, photographs, and of how many people.
_SENTENCE = re.compile(r"(.+), (.+?): ([\d,]+) photographs?(?: of ([\d,]+) (?:person|people))?")


@dataclass(frozen=True)
class Credit:
    """What one source gave under one license. ``kinds``: photographs by `Kind`. Without photographs: a source of which
    no more is known."""

    source: str
    license: str
    photographs: int = 0
    people: int = 0
    kinds: Mapping[str, int] = field(default_factory=dict)

    @property
    def sentence(self) -> str:
        """As ``training_data`` in ``model.json`` has it."""
        named = ", ".join(filter(None, (self.source, self.license)))
        if not self.photographs:
            return named
        whose = f" of {_count(self.people, 'person', 'people')}" if self.people else ""
        return f"{named}: {_count(self.photographs, 'photograph')}{whose}"


def credit_photos(photos: PhotoSet, weights: PhotoWeights | None = None) -> tuple[Credit, ...]:
    """Of the photographs that may be drawn, the largest source first. ``weights``: None draws all of them."""
    drawn = [photo for photo in photos.photos if weights is None or getattr(weights, photo.kind.value) > 0]
    groups: dict[tuple[str, str], list[Photo]] = {}
    for photo in drawn:
        groups.setdefault((photo.source, photo.license), []).append(photo)
    found = (
        Credit(
            source,
            license_,
            len(group),
            len({photo.person for photo in group}),
            dict(Counter(photo.kind.value for photo in group)),
        )
        for (source, license_), group in groups.items()
    )
    return tuple(sorted(found, key=lambda one: (-one.photographs, one.source, one.license)))


def record_training(own: Sequence[Credit], earlier: Iterable[Path | None]) -> list[dict[str, Any]]:
    """Plain values for a file of weights: ``own`` credits, and those of the weights that the training began at.

    Where both have a source, the larger numbers stay: whether the photographs are the same, nobody knows.
    """
    merged = {(one.source, one.license): one for one in own}
    for path in filter(None, earlier):
        for one in read_record(path) or (_unknown(path),):
            mine = merged.get((one.source, one.license))
            if mine is None or mine.photographs < one.photographs:
                merged[one.source, one.license] = one
    return [asdict(one) for one in merged.values()]


def read_record(weights: Path) -> tuple[Credit, ...]:
    """The record of a file of weights, or of a model folder; empty where it has none: it was made before there were
    any."""
    import torch

    if weights.is_dir():
        said = json.loads((weights / "model.json").read_text())["training_data"]
        return tuple(map(_read_sentence, said))
    try:
        state = torch.load(weights, weights_only=True, map_location="cpu", mmap=True)
    except (RuntimeError, pickle.UnpicklingError):
        return ()  # whoever loads the weights themselves says what is wrong
    return tuple(Credit(**one) for one in state.get(RECORD, ()))


def is_complete(record: Sequence[Credit]) -> bool:
    """Whether every part of the training is on record."""
    return bool(record) and all(one.photographs for one in record)


def describe_credits(record: Sequence[Credit]) -> str:
    """A sentence of how many photographs of whom there were; people of several sources count in each.

    Nothing of the kinds where a credit lacks them, as one that was read from a model folder does.
    """
    kinds = Counter[str]()
    for one in record:
        kinds.update(one.kinds)
    photographs, people = sum(one.photographs for one in record), sum(one.people for one in record)
    counted = f"Trained on {_count(photographs, 'photograph')} of {_count(people, 'person', 'people')}"
    if kinds.total() < photographs:
        return f"{counted}."
    shown = [f"{kinds[kind]} {_WORDS[kind]}" for kind in Kind if kinds[kind]]
    lacking = [
        word for kind, word in ((Kind.PROFILE, "profiles"), (Kind.GRAY, "gray ones")) if not kinds[kind]
    ]
    none = f"; no {' and no '.join(lacking)}" if lacking else ""
    return f"{counted}: {', '.join(shown)}{none}."


def _read_sentence(sentence: str) -> Credit:
    """The inverse of `Credit.sentence`, but for the kinds."""
    if not (found := _SENTENCE.fullmatch(sentence)):
        return Credit(sentence, "")
    photographs, people = (int((number or "0").replace(",", "")) for number in found.groups()[2:])
    return Credit(found[1], found[2], photographs, people)


def _unknown(path: Path) -> Credit:
    return Credit(f"what {path.name}, where the training began, was trained on: not on record", "")


def _count(number: int, one: str, many: str = "") -> str:
    return f"{number:,} {one if number == 1 else many or one + 's'}"
