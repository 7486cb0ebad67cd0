"""Whose face it is, where references of people with names are given: theirs from whom the model takes most.

Of several people, the model is shown some references of each together, as it judges any references. Then the face is
restored with those of that one person, or with none.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: Mean share of a face that is taken from the references of whom it shows, at least, as `ReadyFace.ask` shows it. Of 38
#: faces of people whom no training saw, with a reference of theirs and three strangers', 38 and 37 get most and so much
#: from their own (moderately and severely degraded); with four strangers' alone, 5 and 19 get it from one of them
#: (bench/casting.py). Of the right ones that were found, the least had 0.046.
LEAST_SHARE = 0.03


def are_several(people: Sequence[int]) -> bool:
    """``people``: for each reference, the number of the person whom it shows."""
    return len(set(people)) > 1


def choose_asked(people: Sequence[int], most: int) -> list[int]:
    """The places of the references that are shown together, at most ``most``: equally many of each person, and the
    first ones of each. Raises ValueError for more people than that."""
    count = len(set(people))
    if count > most:
        raise ValueError(f"references of {count} people, and at most {most} are shown together")
    seen: dict[int, int] = {}
    chosen = []
    for place, person in enumerate(people):
        seen[person] = seen.get(person, 0) + 1
        if seen[person] <= most // count:
            chosen.append(place)
    return chosen


def find_person(selection: NDArray[np.uint8], people: Sequence[int], least: float) -> int | None:
    """Whose references most was taken from, if that is at least ``least``.

    selection [R, g, g], 255 = all taken from this reference; ``people``: whose each of them is.
    """
    shares: dict[int, float] = {}
    for mask, person in zip(selection, people, strict=True):
        shares[person] = shares.get(person, 0.0) + float(mask.mean()) / 255
    if not shares:
        return None
    likest = max(shares, key=lambda person: shares[person])
    return likest if shares[likest] >= least else None
