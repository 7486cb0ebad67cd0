"""Pictures to features on three grids: how all three systems look at a face, degraded or good."""

from collections.abc import Callable

from torch import Tensor, nn

from refstar_model.backbone import Grids
from refstar_model.layers.blocks import naf_blocks
from refstar_model.layers.folding import UnshuffledConv


class PictureEncoder(nn.Module):
    """``widths`` and numbers of ``blocks`` by grid, fine (side / ``unshuffle``) to coarse.

    ``build`` makes the blocks of one grid. ``start`` sets the first weights of what leads to a grid (else PyTorch's
    stay); ``activate`` is what follows it.
    """

    def __init__(
        self,
        widths: tuple[int, int, int],
        blocks: tuple[int, int, int],
        unshuffle: int,
        build: Callable[[int, int], nn.Sequential] = naf_blocks,
        start: Callable[[nn.Conv2d], nn.Conv2d] | None = None,
        activate: Callable[[Tensor], Tensor] | None = None,
    ) -> None:
        super().__init__()
        fine, middle, coarse = widths
        self.stem = UnshuffledConv(unshuffle, fine, 3)
        self.to_middle = nn.Conv2d(fine, middle, 2, stride=2)
        self.to_coarse = nn.Conv2d(middle, coarse, 2, stride=2)
        if start is not None:
            for conv in (self.stem, self.to_middle, self.to_coarse):
                start(conv)
        self.fine, self.middle, self.coarse = map(build, widths, blocks)
        self._activate = activate or nn.Identity()

    def forward(self, pictures: Tensor) -> Grids:
        """pictures [N, 3, H, W] in 0..1."""
        fine = self.fine(self._activate(self.stem(pictures * 2 - 1)))
        middle = self.middle(self._activate(self.to_middle(fine)))
        return Grids(fine, middle, self.coarse(self._activate(self.to_coarse(middle))))
