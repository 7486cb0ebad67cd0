"""System 3 as the one graph of the model folder contract (export.views): no references, no knobs."""

from refstar_model.export.views import Picture, RestoringViews, view_picture_network
from refstar_model.ganprior.network import GanPrior


def view_network(net: GanPrior) -> RestoringViews:
    return view_picture_network(Picture(net), net.params.size)
