"""A part of the face that is drawn by itself in training, where the fine grids take more time than all the rest.

Encoder, attention and the generator up to the codec's fine grid always see the whole face. What is drawn above that
sees a few pixels around itself only, so most steps draw a quarter of the picture's area and see more faces instead.
"""

from dataclasses import dataclass

from torch import Tensor

#: Cells around a window that are drawn with it and not judged: convolutions see zeros beyond them.
MARGIN = 2


@dataclass(frozen=True)
class Window:
    """A square of a picture whose fine grid has ``grid`` cells a side; ``top``, ``left``, ``side`` in these cells."""

    top: int
    left: int
    side: int
    grid: int

    def __post_init__(self) -> None:
        if min(self.top, self.left) < 0 or max(self.top, self.left) + self.side > self.grid:
            raise ValueError(f"{self} is not within its grid of {self.grid} cells")

    def cut(self, x: Tensor, cell: int = 1) -> Tensor:
        """The window with its margin, as far as there is one, of x [B, C, grid * cell, grid * cell]."""
        rows, columns = (slice(*(cell * edge for edge in self._reach(at))) for at in (self.top, self.left))
        return x[..., rows, columns]

    def trim(self, x: Tensor, cell: int = 1) -> Tensor:
        """The window of an x that was cut: without the margin, [B, C, side * cell, side * cell]."""
        rows, columns = (cell * (at - self._reach(at)[0]) for at in (self.top, self.left))
        return x[..., rows : rows + self.side * cell, columns : columns + self.side * cell]

    def select(self, x: Tensor) -> Tensor:
        """The window without its margin of a whole picture [B, C, T, T], T a multiple of the grid."""
        cell = x.shape[-1] // self.grid
        top, left, side = self.top * cell, self.left * cell, self.side * cell
        return x[..., top : top + side, left : left + side]

    def _reach(self, at: int) -> tuple[int, int]:
        return max(0, at - MARGIN), min(self.grid, at + self.side + MARGIN)
