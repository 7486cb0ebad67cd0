"""The values that fix system 3: sizes, and what an ablation leaves out."""

from collections.abc import Collection
from dataclasses import asdict, dataclass, replace
from enum import StrEnum


class BlockKind(StrEnum):
    """What the codec is made of."""

    MMRB = "mmrb"  # mixed multi-path residual blocks
    NAF = "naf"  # the gated blocks of RefSTAR's first backbone


#: What an ablation may leave out: self-attention over the coarse grid; the finest convolutions' look at the input; the
#: input's bending of the generator's grids above the fine one; the generator's last grid, size / 2.
PARTS = ("attention", "input", "bends", "finest")


@dataclass(frozen=True)
class GanPriorParams:
    """Everything that fixes the shapes. ``size`` is the side of the aligned face in pixels, grids are sides.

    Three values over grids stand in the order of ``Grids``: fine (``size / unshuffle``), middle, coarse.
    """

    size: int = 512
    unshuffle: int = 8
    widths: tuple[int, int, int] = (64, 128, 256)
    looks: tuple[int, ...] = (
        16,
        32,
    )  # channels of the looks at the input on the grids size / 2 to above the fine one
    block: BlockKind = BlockKind.NAF
    encoder_blocks: tuple[int, int, int] = (1, 2, 0)
    bottom_blocks: int = 4  # on the coarse grid, behind what references bring
    decoder_blocks: tuple[int, int] = (3, 2)  # fine, middle
    attention_layers: int = 4  # on the coarse grid, 0 to 6
    heads: int = 4
    style: int = 256  # entries of a W code
    mapping_layers: int = 4
    prior_widths: tuple[int, ...] = (256, 256, 256, 128, 64, 48, 32)  # of the generator, on grids 4, 8, ...
    climb: tuple[int, ...] = (
        48,
    )  # channels of the decoder's own way from the fine grid to size / 2, between both
    finest: int = 32  # channels of the plain convolutions at size / 2
    bends_fine: bool = True  # whether the input bends the generator's grids above the fine one too
    sees_input: bool = True  # whether these get the input again, unshuffled by 2

    def __post_init__(self) -> None:
        if len(self.looks) != self.unshuffle.bit_length() - 2 or self.unshuffle.bit_count() != 1:
            raise ValueError(
                f"looks {self.looks} has {len(self.looks)} widths; unshuffle {self.unshuffle} needs one for each grid "
                "from size / 2 to above size / unshuffle, and a power of 2"
            )
        if len(self.climb) != len(self.looks) - 1:
            raise ValueError(
                f"climb {self.climb} has {len(self.climb)} widths; from grid {self.grid} to {self.size // 2} there are "
                f"{len(self.looks) - 1} grids between"
            )
        if not 0 <= self.attention_layers <= 6:
            raise ValueError(f"{self.attention_layers} attention layers; choose 0 to 6")
        if self.finest_grid not in (self.size // 2, self.size // 4):
            raise ValueError(
                f"{len(self.prior_widths)} prior widths make the finest grid {self.finest_grid}; "
                f"size {self.size} needs {self.size // 2} or {self.size // 4}"
            )
        if any(width % 4 for width in self.widths):
            raise ValueError(f"widths {self.widths}: a block has four paths, choose multiples of 4")

    @property
    def grid(self) -> int:
        """Side of the fine grid."""
        return self.size // self.unshuffle

    @property
    def prior_grids(self) -> tuple[int, ...]:
        """Sides of the generator's grids, 4 to the finest."""
        return tuple(4 << level for level in range(len(self.prior_widths)))

    @property
    def finest_grid(self) -> int:
        """Side of the last grid that has modulated convolutions."""
        return self.prior_grids[-1]

    @property
    def codes(self) -> int:
        """W codes of one face: one for each modulated convolution."""
        return 2 * len(self.prior_widths) - 1

    def leave_out(self, parts: Collection[str]) -> "GanPriorParams":
        """Without some of `PARTS`, for an ablation."""
        return replace(
            self,
            attention_layers=0 if "attention" in parts else self.attention_layers,
            sees_input=self.sees_input and "input" not in parts,
            bends_fine=self.bends_fine and "bends" not in parts,
            prior_widths=self.prior_widths[:-1] if "finest" in parts else self.prior_widths,
        )

    def to_dict(self) -> dict[str, object]:
        """Plain values only, so that ``torch.load(weights_only=True)`` reads them."""
        return {k: v.value if isinstance(v, StrEnum) else v for k, v in asdict(self).items()}

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> "GanPriorParams":
        read = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        read["block"] = BlockKind(str(read["block"]))
        return cls(**read)  # type: ignore[arg-type]


@dataclass(frozen=True)
class CriticParams:
    """Of the critic for pre-training. Widths are those on grids size / unshuffle, half of it, ..., 4."""

    size: int = 512
    unshuffle: int = 4
    widths: tuple[int, ...] = (32, 64, 96, 128, 192, 192)

    def __post_init__(self) -> None:
        last = self.size // self.unshuffle >> (len(self.widths) - 1)
        if last != 4:
            raise ValueError(
                f"{len(self.widths)} widths bring {self.size} pixels, unshuffled by {self.unshuffle}, to a grid of "
                f"{last}; the last grid must be 4"
            )


#: For a CPU.
SMALL = GanPriorParams()
#: For a GPU.
BASE = GanPriorParams(
    widths=(96, 192, 320),
    looks=(32, 64),
    encoder_blocks=(2, 3, 0),
    bottom_blocks=6,
    decoder_blocks=(3, 3),
    attention_layers=6,
    heads=5,
    style=512,
    mapping_layers=8,
    prior_widths=(512, 512, 512, 256, 128, 96, 64),
    climb=(64,),
    finest=64,
)
#: For tests: same code, 64 px, some ten thousand parameters.
TINY = GanPriorParams(
    size=64,
    unshuffle=4,
    widths=(8, 8, 16),
    looks=(8,),
    encoder_blocks=(1, 1, 0),
    bottom_blocks=2,
    decoder_blocks=(1, 1),
    attention_layers=1,
    heads=2,
    style=16,
    mapping_layers=2,
    prior_widths=(16, 16, 8, 8),
    climb=(),
    finest=8,
)
#: For TINY's faces.
TINY_CRITIC = CriticParams(64, 4, (8, 8, 8))
