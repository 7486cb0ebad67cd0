"""Of several people who are named, is a face given the references of its own, and a stranger's none?

REFSTAR_DATA=... .venv/bin/python bench/casting.py
REFSTAR_DATA=... .venv/bin/python bench/casting.py --people 8 --model refstar

Every val face of the test cases, degraded: once with a reference of its person and of strangers, once with strangers'
alone. The strangers are drawn with a fixed seed.
"""

import argparse
from collections.abc import Sequence

import numpy as np
from refstar_model.data.degradation import LEVELS
from refstar_model.data.photos import load_photos, roots_from_environment
from refstar_model.evaluation.cases import Case, cases
from refstar_service.engine.manifest import load_manifests
from refstar_service.engine.restorer import FaceTask, ReferencePicture, Restorer
from refstar_service.settings import Settings


def draw_strangers(case: Case, made: Sequence[Case], count: int, rng: np.random.Generator) -> list[Case]:
    """A case of each of so many other people."""
    drawn: dict[str, Case] = {}
    for index in rng.permutation(len(made)):
        if made[index].person != case.person and len(drawn) < count:
            drawn.setdefault(made[index].person, made[index])
    return list(drawn.values())


def find(restorer: Restorer, case: Case, given: Sequence[Case]) -> int | None:
    pictures = [ReferencePicture(one.name, one.right) for one in given]
    references = tuple(restorer.recall(picture.key) or picture for picture in pictures)
    task = FaceTask(case.low_quality, references, 1.0, 0.5, tuple(range(len(given))))
    return restorer.restore([task])[0].person


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])
    parser.add_argument("--model", default="refstar")
    parser.add_argument("--people", type=int, default=4)
    options = parser.parse_args()
    [manifest] = (m for m in load_manifests(*Settings().model_folders) if m.name == options.model)
    restorer = Restorer(manifest)
    photos, rng = load_photos(*roots_from_environment()).split("val"), np.random.default_rng(1)
    print(f"{options.people} people are named; the face is taken for")
    for level in LEVELS:
        made = cases(photos, level)
        own = another = nobody = mistaken = 0
        for case in made:
            strangers = draw_strangers(case, made, options.people, rng)
            found = find(restorer, case, [case, *strangers[1:]])
            own, another, nobody = own + (found == 0), another + bool(found), nobody + (found is None)
            mistaken += find(restorer, case, strangers) is not None
        print(
            f"{level}: of {len(made)} of them {own} their own, {another} another, {nobody} nobody; "
            f"of as many strangers {mistaken} one of them"
        )


if __name__ == "__main__":
    main()
