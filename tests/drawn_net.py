"""A net with drawn weights."""

from pathlib import Path

import torch
from refstar_model.refstar.network import RefStar
from refstar_model.refstar.params import RefStarParams


def write_drawn_weights(params: RefStarParams, target: Path) -> None:
    """A ``weights.pt`` of such a net."""
    torch.save({"params": params.to_dict(), "step": 0, "weights": draw_net(params).state_dict()}, target)


def draw_net(params: RefStarParams) -> RefStar:
    torch.manual_seed(0)
    net = RefStar(params)
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn_like(value) * 0.02)
        if params.reconstruction:  # trained ones add a level or two, these fifty
            part = net.reconstruction
            for conv in (part.luminance, part.color, part.choose_finest, part.choose_fine):
                conv.weight.mul_(0.1)
        if params.gate:
            net.gate.weigh.copy_(
                torch.tensor([20.0, -3.0, -7.3])
            )  # it takes most for the person, and is not sure
    return net
