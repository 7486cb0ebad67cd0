"""People who do not exist, drawn by the prior, and several views of one: ``refstar-model sample``.

A view keeps a person's codes but for two ends: the codes of the coarsest grids carry the pose and the shape of the
head, those of the finest ones light and color (arXiv 1812.04948, section 3.1). There it goes a part of the way to
another person.
"""

import torch
from torch import Tensor, nn

from refstar_model.ganprior.generator import Generator

POSE_CODES = 3  # of the grids 4 and 8
LIGHT_CODES = 2  # of the last grid
FAR = 0.7  # part of the way that a view goes to another person there


@torch.no_grad()
def draw_people(generator: Generator, count: int, seed: int, truncation: float = 0.7) -> Tensor:
    """Codes [count, codes, style] of as many people; the same for the same seed, whatever the count."""
    dice = torch.Generator().manual_seed(seed)
    style = generator.mean_code.shape[0]
    z = torch.stack([torch.randn(style, generator=dice) for _ in range(count)]).to(generator.constant.device)
    w = generator.mean_code + truncation * (generator.map(z) - generator.mean_code)
    return w.unsqueeze(1).expand(-1, generator.codes, -1)


@torch.no_grad()
def draw_views(
    generator: Generator, person: Tensor, views: int, seed: int, truncation: float = 0.7
) -> Tensor:
    """Codes [views, codes, style] of a person's [codes, style], the first as given, the others in other views."""
    others = draw_people(generator, views - 1, seed, truncation) if views > 1 else person[:0, None]
    codes = person.unsqueeze(0).repeat(views, 1, 1)
    for end in (slice(0, POSE_CODES), slice(generator.codes - LIGHT_CODES, generator.codes)):
        codes[1:, end] = torch.lerp(codes[1:, end], others[:, end], FAR)
    return codes


@torch.no_grad()
def draw_faces(generator: Generator, codes: Tensor) -> Tensor:
    """Pictures [N, 3, S, S] in 0..1, one at a time: memory does not grow with their number."""
    return torch.cat([generator.draw(row[None]).float().clamp(0, 1) for row in codes])


def draw_people_sheet(
    generator: nn.Module, count: int, seed: int, truncation: float = 0.7, views: int = 1
) -> Tensor:
    """A sheet [3, h, w] in 0..1: ``count`` people in rows of ``views``, or, where that is 1, in a square."""
    assert isinstance(generator, Generator)
    people = draw_people(generator, count, seed, truncation)
    if views == 1:
        columns = max(1, round(count**0.5))
        return _sheet(draw_faces(generator, people), columns)
    rows = [
        draw_views(generator, person, views, seed + 1 + number, truncation)
        for number, person in enumerate(people)
    ]
    return _sheet(draw_faces(generator, torch.cat(rows)), views)


def _sheet(pictures: Tensor, columns: int) -> Tensor:
    """Pictures side by side in rows, [3, h, w]; the last row may end in white."""
    blank = pictures.new_ones((-len(pictures)) % columns, *pictures.shape[1:])
    rows = torch.cat([pictures, blank]).unflatten(0, (-1, columns))
    return rows.permute(2, 0, 3, 1, 4).flatten(3, 4).flatten(1, 2)
