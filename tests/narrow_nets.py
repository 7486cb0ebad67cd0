"""Networks that work at 512 pixels and have some ten thousand parameters."""

from refstar_model.ented.params import EntedParams
from refstar_model.ganprior.params import GanPriorParams
from refstar_model.refstar.params import RefStarParams

REFSTAR = RefStarParams(512, 16, (8, 8, 16), (1, 1), 1, (1, 1), (1, 1, 1), 8)
GANPRIOR = GanPriorParams(
    widths=(8, 8, 16),
    looks=(4, 8),
    encoder_blocks=(1, 1, 0),
    bottom_blocks=1,
    decoder_blocks=(1, 1),
    attention_layers=1,
    heads=2,
    style=16,
    mapping_layers=1,
    prior_widths=(16, 16, 16, 8, 8, 8, 8),
    finest=8,
)
ENTED = EntedParams(
    base=GANPRIOR,
    reference_widths=(8, 8, 8),
    texture_widths=(200, 20, 20),
    detail=(8, 8),
    hidden=(8, 8, 8),
    draw_blocks=(1, 1, 1),
    codes=16,
    code_channels=8,
    heads=2,
    gate_widths=(8, 8, 8, 8),
    person=16,
)
