"""The generator's colors, fitted to weights that lack them: those of a model folder, whose graphs do not draw a sketch.

The sketch's loss acts from the first step on. With colors that begin at random it is ten times the loss of the picture:
its gradient, through features that are right already, ruined in 24 steps what had been trained for hours (moderately
degraded faces lost 0.7 dB, good ones 3.7). The features hold the picture, so a regression finds the colors in seconds.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from refstar_model.data.degradation import LEVELS, degrade
from refstar_model.data.photos import PhotoSet
from refstar_model.ganprior.modulation import ToPicture
from refstar_model.ganprior.network import GanPrior
from refstar_model.layers.pyramid import double_to, halve_to, resize_grid

_FACES = 24  # photographs, degraded as training degrades them
_RIDGE = 0.001  # of the mean variance of the features
_SEED = 7


def fit_colors(weights: Mapping[str, Tensor], module: GanPrior, photos: PhotoSet) -> dict[str, Tensor]:
    """``weights`` of a network like ``module``, with the colors that explain faces of ``photos`` best.

    The ridge regression of the picture (-1..1) on the features: of all grids up to the codec's fine one together, at
    that size; then, on each grid above, of what those below leave. Deterministic. What the module holds is lost. Raises
    PictureError for a photograph that cannot be read.
    """
    module.load_state_dict(dict(weights))
    heads = [head for head in module.generator.colors if isinstance(head, ToPicture)]
    seen: list[list[Tensor]] = [[] for _ in heads]
    truths = []
    with torch.no_grad():
        with _recording(heads, seen):
            for low_quality, truth in _degrade_some(photos, module.params.size):
                module(low_quality)
                truths.append(truth * 2 - 1)
        together = sum(grid <= module.params.grid for grid in module.generator.grids[: len(heads)])
        drawn = [torch.zeros(1, 3, 2, 2) for _ in truths]
        for group in (range(together), *((level,) for level in range(together, len(heads)))):
            side = seen[group[-1]][0].shape[-1]
            faces = zip(*(seen[level] for level in group), strict=True)
            features = [torch.cat([double_to(x, side) for x in grids], 1) for grids in faces]
            below = [double_to(one, side) for one in drawn]
            wanted = [halve_to(t, side) - b for t, b in zip(truths, below, strict=True)]
            weight, bias = _regress(wanted, features)
            drawn = [
                b + torch.einsum("oc,nchw->nohw", weight, x) + bias[:, None, None]
                for b, x in zip(below, features, strict=True)
            ]
            of_heads = weight.split([heads[level].weight.shape[1] for level in group], 1)
            for level, own in zip(group, of_heads, strict=True):
                _set_constant(heads[level], own, bias if level == group[-1] else torch.zeros_like(bias))
    return module.state_dict()


@contextmanager
def _recording(heads: list[ToPicture], seen: list[list[Tensor]]) -> Iterator[None]:
    """Meanwhile ``seen`` gets the features that each head is given."""
    handles = [
        head.register_forward_pre_hook(partial(_record, of_head))
        for head, of_head in zip(heads, seen, strict=True)
    ]
    try:
        yield
    finally:
        for handle in handles:
            handle.remove()


def _record(seen: list[Tensor], head: nn.Module, given: tuple[Tensor, ...]) -> None:
    seen.append(given[0].float())


def _degrade_some(photos: PhotoSet, size: int) -> Iterator[tuple[Tensor, Tensor]]:
    """Faces spread over the photographs, degraded and as they are, [1, 3, size, size] in 0..1."""
    files = sorted(photo.file for photo in photos.photos)
    levels = list(LEVELS.values())
    for turn, index in enumerate(np.linspace(0, len(files) - 1, min(_FACES, len(files))).astype(int)):
        rng = np.random.default_rng([_SEED, turn])
        source = photos.read_sharpest(files[index])
        given = degrade(source, levels[turn % len(levels)](rng), rng)
        yield _to_tensor(given, size), _to_tensor(source, size)


def _to_tensor(picture: NDArray[np.uint8], size: int) -> Tensor:
    return resize_grid(torch.from_numpy(picture.copy()).permute(2, 0, 1)[None].float() / 255, size)


def _regress(wanted: Sequence[Tensor], features: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
    """Weights [O, C] and biases [O] of wanted [1, O, h, w] on features [1, C, h, w], over all pictures."""
    count, sums, products = 0, torch.zeros(()), torch.zeros(())
    for y, x in zip(wanted, features, strict=True):
        both = torch.cat([x, y], 1)[0].flatten(1).double()
        count, sums, products = count + both.shape[1], sums + both.sum(1), products + both @ both.T
    mean, channels = sums / count, features[0].shape[1]
    covariance = products / count - mean[:, None] * mean
    gram, cross = covariance[:channels, :channels], covariance[:channels, channels:]
    ridge = _RIDGE * gram.diagonal().mean() + 1e-9
    weight = torch.linalg.solve(gram + ridge * torch.eye(channels, dtype=gram.dtype), cross).T
    return weight.float(), (mean[channels:] - weight @ mean[:channels]).float()


def _set_constant(head: ToPicture, weight: Tensor, bias: Tensor) -> None:
    """Colors that no code changes."""
    head.affine.weight.zero_()
    assert head.affine.bias is not None
    head.affine.bias.fill_(1.0)
    head.weight.copy_(weight / head.scale)
    head.bias.copy_(bias[:, None])
