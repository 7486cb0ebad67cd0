"""Who looks like whom among the portraits: which pairs are of one sitting, and who does not belong to their folder."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
import torch
from numpy.typing import NDArray

from refstar_model.judges.recognition import Recognizer
from refstar_model.preparing.album import Entry

#: What a pair has without a recognizer: not known to be of two sittings.
UNMEASURED = 1.0
#: Less than this to all others of the folder: somebody else. Pairs of front views of one person have at least 0.60;
#: three-quarter views are sometimes left out too.
LEAST_LIKENESS = 0.25
MOST_PAIRS = 20  # of a person, the least alike first
BATCH = 16


@dataclass(frozen=True)
class Likeness:
    """Two portraits of one person, by file; ``similarity``: cosine of their embeddings."""

    person: str
    first: str
    second: str
    similarity: float


def embed_entries(entries: Sequence[Entry], recognizer: Recognizer) -> dict[str, NDArray[np.float32]]:
    """The unit vector of every portrait, by file."""
    vectors: dict[str, NDArray[np.float32]] = {}
    shown = [(entry.file, entry.portrait.crops[256]) for entry in entries if entry.portrait is not None]
    for start in range(0, len(shown), BATCH):
        chunk = shown[start : start + BATCH]
        pictures = torch.from_numpy(np.stack([crop for _, crop in chunk])).permute(0, 3, 1, 2).float() / 255
        with torch.no_grad():
            found = recognizer.embed(pictures).numpy()
        vectors |= {file: vector for (file, _), vector in zip(chunk, found, strict=True)}
    return vectors


def leave_out_strangers(entries: Sequence[Entry], vectors: dict[str, NDArray[np.float32]]) -> list[Entry]:
    """The entries; of a person with three portraits or more, those unlike all the others are left out."""
    folders = defaultdict[str, list[str]](list)
    for entry in entries:
        if entry.portrait is not None:
            folders[entry.person].append(entry.file)
    strangers = {
        file
        for files in folders.values()
        if len(files) > 2
        for file in files
        if max(float(vectors[file] @ vectors[other]) for other in files if other != file) < LEAST_LIKENESS
    }
    reason = "it seems to show somebody else: unlike every other photograph of the folder"
    return [
        replace(one, portrait=None, file="", reason=reason) if one.file in strangers else one
        for one in entries
    ]


def pair_portraits(
    entries: Sequence[Entry], vectors: dict[str, NDArray[np.float32]] | None
) -> list[Likeness]:
    """Pairs of each person, at most `MOST_PAIRS`; ``vectors``: None without a recognizer."""
    folders = defaultdict[str, list[str]](list)
    for entry in entries:
        if entry.portrait is not None:
            folders[entry.person].append(entry.file)
    pairs: list[Likeness] = []
    for person, files in sorted(folders.items()):
        own = [
            Likeness(
                person, a, b, UNMEASURED if vectors is None else round(float(vectors[a] @ vectors[b]), 4)
            )
            for a, b in combinations(sorted(files), 2)
        ]
        pairs += sorted(own, key=lambda one: one.similarity)[:MOST_PAIRS]
    return pairs
