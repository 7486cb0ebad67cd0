"""Whose face it is, where references of people with names are given: theirs of whom the model says so, or else from
whom it takes most.

Of several people, the model is shown some references of each together, as it judges any references. Then the face is
restored with those of that one person, or with none. How much is taken says less: of a reference from another side
it is little.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

#: Mean share of a face that is taken from the references of whom it shows, at least, as `ReadyFace.ask` shows it; of a
#: model that does not say whom references show. The least of the right ones that were found had
#: 0.046 with refstar 0.4.0.
LEAST_SHARE = 0.03
#: The same of a model that says whom a reference shows (`same_person`): more probable than not. Of 38 faces of people
#: whom no training saw, with a reference of theirs and three strangers', 38 and 37 are taken for their own (moderately
#: and severely degraded), none for another; with four strangers' alone, 4 and 5 for one of them (bench/casting.py).
LEAST_PROBABILITY = 0.5


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


def find_person(
    selection: NDArray[np.uint8],
    people: Sequence[int],
    least: float,
    same_person: NDArray[np.float32] | None = None,
) -> int | None:
    """Whose references most was taken from, if that is at least the share ``least``.

    selection [R, g, g], 255 = all taken from this reference; ``people``: whose each of them is. With ``same_person``,
    [R] in 0..1: whom the surest reference shows, if that is more probable than not, or ``least`` is 0.
    """
    found: dict[int, float] = {}
    if same_person is not None:
        least = LEAST_PROBABILITY if least else 0.0
        for probability, person in zip(same_person, people, strict=True):
            found[person] = max(found.get(person, 0.0), float(probability))
    else:
        for mask, person in zip(selection, people, strict=True):
            found[person] = found.get(person, 0.0) + float(mask.mean()) / 255
    if not found:
        return None
    likest = max(found, key=lambda person: found[person])
    return likest if found[likest] >= least else None
