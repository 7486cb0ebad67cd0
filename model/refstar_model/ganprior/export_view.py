"""System 3 as a graph of the model folder contract, for faces without references.

``low_quality`` u8 [B, S, S, 3] and ``fidelity`` f32 [B] to ``restored`` u8 [B, S, S, 3] and ``finite`` bool [B].
"""

from torch import Tensor, nn

from refstar_model.ganprior.network import GanPrior
from refstar_model.layers.fidelity import apply_fidelity
from refstar_model.layers.pixels import finished, scaled_picture


class RestoreAlone(nn.Module):
    """Also returns the picture before rounding, for the parity check; the exporter takes that output off."""

    def __init__(self, net: GanPrior) -> None:
        super().__init__()
        self.net = net

    def forward(self, low_quality: Tensor, fidelity: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        scaled = scaled_picture(low_quality)
        exact = apply_fidelity(self.net(scaled).picture, scaled, fidelity)
        return *finished(exact), exact
