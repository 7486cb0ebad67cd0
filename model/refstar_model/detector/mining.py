"""What the finder takes for faces where there are none: the refiner's hardest lessons."""

import numpy as np
import torch
from numpy.typing import NDArray

from refstar_model.detector.geometry import CROP_TEMPLATE, cut_crop, similarity
from refstar_model.detector.network import CROP, STRIDE, UNIT, Finder, Refiner
from refstar_model.detector.samples import Cast
from refstar_model.detector.scenes import spoil
from refstar_model.layers.precision import autocast

Pixels = NDArray[np.uint8]
LOOK_AGAIN = 0.12  # the finder's score from which the service looks again
AT_ONCE = 16  # views
MOST_PER_VIEW = 6
STUBBORN = 0.1  # the refiner's score from which a crop still is one of its mistakes


def mine_mistakes(
    finder: Finder,
    cast: Cast,
    count: int,
    seed: int,
    patience: int,
    refiner: Refiner | None = None,
    side: int = 192,
) -> Pixels:
    """At most ``count`` crops [n, 64, 64, 3] of face-free pictures, cut where ``finder`` saw a face.

    With a ``refiner`` only those that it takes for a face too. Gives up after ``patience`` batches of views
    that bring none.
    """
    rng = np.random.default_rng(seed)
    finder.eval()
    crops: list[Pixels] = []
    barren = 0
    while len(crops) < count and barren < patience:
        before = len(crops)
        views = [_draw_view(cast, side, rng) for _ in range(AT_ONCE)]
        shown = torch.from_numpy(np.stack(views)).permute(0, 3, 1, 2).float()
        with torch.no_grad(), autocast(shown.device):
            answer = finder(shown.contiguous(memory_format=torch.channels_last)).float()
        scores = answer[:, 0].sigmoid()
        # One crop per hill of the scores.
        best = torch.nn.functional.max_pool2d(scores[:, None], 3, 1, 1)[:, 0]
        found = (scores >= LOOK_AGAIN) & (scores == best)
        fresh: list[Pixels] = []
        for index, view in enumerate(views):
            rows, columns = torch.nonzero(found[index], as_tuple=True)
            order = scores[index, rows, columns].argsort(descending=True)[:MOST_PER_VIEW]
            for row, column in zip(rows[order].tolist(), columns[order].tolist(), strict=True):
                at = np.array([column, row]) * STRIDE + (STRIDE - 1) / 2
                points = at + UNIT * answer[index, 5:, row, column].numpy().reshape(5, 2)
                fresh.append(cut_crop(view, similarity(points, CROP_TEMPLATE)))
        crops += fresh if refiner is None else _keep_believed(fresh, refiner)
        barren = 0 if len(crops) > before else barren + 1
    return np.stack(crops[:count]) if crops else np.zeros((0, CROP, CROP, 3), np.uint8)


def _keep_believed(crops: list[Pixels], refiner: Refiner) -> list[Pixels]:
    if not crops:
        return []
    refiner.eval()
    with torch.no_grad():
        scores = refiner(torch.from_numpy(np.stack(crops)).permute(0, 3, 1, 2).float())[:, 0].sigmoid()
    return [crop for crop, score in zip(crops, scores.tolist(), strict=True) if score >= STUBBORN]


def _draw_view(cast: Cast, side: int, rng: np.random.Generator) -> Pixels:
    """A face-free view; half of the time seen from far, with details as small as a picture of a camera has them."""
    scale = int(rng.choice([1, 2, 3]))
    picture = cast.background(side * scale, side * scale, rng)
    view = (
        picture.reshape(side, scale, side, scale, 3).mean((1, 3)).astype(np.uint8) if scale > 1 else picture
    )
    return spoil(view, rng, float(np.exp(rng.uniform(np.log(10), np.log(80)))))
