"""How far one model's arithmetic leads from another's on the golden picture."""

import numpy as np

from refstar_model.export.golden import block_means, golden_picture
from refstar_model.export.restorers import FolderModel


def golden_distance(one: FolderModel, other: FolderModel) -> float:
    """Largest difference of a block's mean, in levels of 255, with a reference (where they take any) and without."""
    face = golden_picture(one.size)
    worst = 0.0
    for references in ([face[:, ::-1]], []) if one.takes_references else ([],):
        a, b = (np.array(block_means(model(face, references).picture)) for model in (one, other))
        worst = max(worst, float(np.abs(a - b).max()))
    return worst
