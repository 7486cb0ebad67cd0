"""Pictures to features on three grids: what looks at references, and at what the dictionary is learned from."""

from torch import Tensor, nn

from refstar_model.backbone import Grids
from refstar_model.ganprior.mmrb import activate, start
from refstar_model.layers.blocks import naf_blocks
from refstar_model.layers.folding import UnshuffledConv


class PictureEncoder(nn.Module):
    """Pictures [N, 3, S, S] in 0..1; ``widths`` and ``blocks`` by grid, fine (S / ``unshuffle``) to coarse."""

    def __init__(self, widths: tuple[int, int, int], blocks: tuple[int, int, int], unshuffle: int) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.stem = start(UnshuffledConv(unshuffle, fine, 3))
        self.to_middle = start(nn.Conv2d(fine, middle, 2, stride=2))
        self.to_coarse = start(nn.Conv2d(middle, coarse, 2, stride=2))
        self.fine, self.middle, self.coarse = (
            naf_blocks(width, count) for width, count in zip(widths, blocks, strict=True)
        )

    def forward(self, pictures: Tensor) -> Grids:
        fine = self.fine(activate(self.stem(pictures * 2 - 1)))
        middle = self.middle(activate(self.to_middle(fine)))
        return Grids(fine, middle, self.coarse(activate(self.to_coarse(middle))))
