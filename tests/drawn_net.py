"""A net with drawn weights as a model folder."""

from pathlib import Path

import torch
from refstar_model.export.card import Publication
from refstar_model.export.restoring import TrainedRestorer
from refstar_model.refstar.export_view import view_network
from refstar_model.refstar.network import RefStar
from refstar_model.refstar.params import RefStarParams
from refstar_model.refstar.system import CARD


def published(params: RefStarParams, target: Path) -> Path:
    """The folder of a net with drawn weights; an export takes most of a minute."""
    net = draw_net(params)
    TrainedRestorer(view_network(net), CARD, 0).export(target, Publication("refstar"))
    return target


def write_drawn_weights(params: RefStarParams, target: Path) -> None:
    """A ``weights.pt`` of such a net."""
    torch.save({"params": params.to_dict(), "step": 0, "weights": draw_net(params).state_dict()}, target)


def draw_net(params: RefStarParams) -> RefStar:
    torch.manual_seed(0)
    net = RefStar(params)
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn_like(value) * 0.02)
    return net
