"""Who references show, by a model that judges that: what is reported of it, and which faces are not restored with them.

It is a guess about a photograph, and no identification of anybody.
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from refstar_service.restoration.report import REFERENCE_STRANGER, FaceReport, ReferenceReport

Judged = tuple[float | None, ...]


def lay_out(judged: NDArray[np.float32] | None, given: Sequence[int], count: int) -> Judged:
    """What was judged of the ``given`` ones, by their places among so many references; None for all others, and where
    the model said nothing that is a number."""
    places: list[float | None] = [None] * count
    if judged is not None:
        for place, value in zip(given, judged, strict=False):
            places[place] = round(float(value), 4) if np.isfinite(value) else None
    return tuple(places)


def find_stranger(same_person: Judged, below: float) -> int | None:
    """The place of the reference that is least likely to show the person of the face, if it is below ``below``."""
    known = {place: value for place, value in enumerate(same_person) if value is not None}
    least = min(known, key=known.__getitem__, default=None)
    return least if least is not None and known[least] < below else None


def describe_strangers(
    faces: Sequence[FaceReport], references: Sequence[ReferenceReport], below: float
) -> str:
    """Why none of these faces was restored: a sentence that names a reference of each."""
    found = []
    for face in faces:
        place = find_stranger(face.same_person, below) if face.reason == REFERENCE_STRANGER else None
        if place is not None:
            reference = references[place]
            name = f"reference {reference.index}" + (f" ({reference.name})" if reference.name else "")
            found.append((name, face.same_person[place]))
    parts = [f"{name} has a same_person of {value:.2f}" for name, value in dict.fromkeys(found)]
    return f"A reference probably shows somebody else: {', '.join(parts)}; stranger=refuse takes {below:g} or more."
