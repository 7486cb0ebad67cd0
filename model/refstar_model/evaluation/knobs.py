"""The knobs of the service, turned one at a time."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from refstar_model.evaluation.cases import Case
from refstar_model.evaluation.pair_level import add_answer
from refstar_model.evaluation.records import Record, means
from refstar_model.evaluation.scores import Judges, judge, know
from refstar_model.export.restorers import Restorer
from refstar_model.progress import follow

Pixels = NDArray[np.uint8]

FIDELITIES, STRENGTHS = (0.0, 0.25, 0.75, 1.0), (0.25, 0.5, 0.75)  # besides 0.5, and besides 0 and 1


def turn_knobs(
    model: Restorer, made: Sequence[Case], judges: Judges, fidelity: bool = True
) -> dict[str, Any]:
    """Means with one knob turned, ``fidelity`` among them where the model has it.

    ``change`` is the mean distance from the default's picture in levels of 255.
    """
    records: list[Record] = []
    for case in follow(made, "knobs"):
        known = know(case.truth, case.right, judges)
        default = model(case.low_quality, [case.right])
        answers = {"default": default, "reference_strength 0": model(case.low_quality, [])}
        answers |= {
            f"fidelity {value:g}": model(case.low_quality, [case.right], fidelity=value)
            for value in (FIDELITIES if fidelity else ())
        }
        answers |= {
            f"reference_strength {value:g}": model(case.low_quality, [case.right], strength=value)
            for value in STRENGTHS
        }
        pictures = [answer.picture for answer in answers.values()]
        scored = judge(pictures, known, judges)
        for (name, answer), scores in zip(answers.items(), scored, strict=True):
            add_answer(scores, answer, has_mask=name != "reference_strength 0")
            scores["change"] = _distance(answer.picture, default.picture)
            scores["distance_to_input"] = _distance(answer.picture, case.low_quality)
            records.append(Record(case.name, case.person, case.distinct, name, scores))
    return {"cases": len(made)} | means(records)


def _distance(one: Pixels, two: Pixels) -> float:
    return float(np.abs(one.astype(np.int16) - two).mean())
