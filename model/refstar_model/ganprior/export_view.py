"""System 3 as the one graph of the model folder contract (export.views): no references, no knobs."""

from torch import Tensor, nn

from refstar_model.export.views import RestoringViews, view_picture_network
from refstar_model.ganprior.network import GanPrior


def view_network(net: GanPrior) -> RestoringViews:
    return view_picture_network(Picture(net), net.params.size)


class Picture(nn.Module):
    """Of what the network draws, the picture."""

    def __init__(self, net: GanPrior) -> None:
        super().__init__()
        self.net = net

    def forward(self, low_quality: Tensor) -> Tensor:
        return self.net(low_quality).picture
