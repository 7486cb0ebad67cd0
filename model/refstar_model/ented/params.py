"""The values that fix ENTED: sizes, and what an ablation leaves out."""

from dataclasses import asdict, dataclass, field

from refstar_model.ganprior import params as ganprior
from refstar_model.ganprior.params import GanPriorParams
from refstar_model.layers.person_gate import GateParams


@dataclass(frozen=True)
class EntedParams:
    """Everything that fixes the shapes. ``base`` is system 3, which restores and renders; ``base.size`` is the side of
    the aligned face; three values over grids stand in the order of ``Grids``: fine, middle, coarse.

    The four parts of the paper can be left out one by one.
    """

    base: GanPriorParams = field(default_factory=lambda: ganprior.SMALL)
    reference_widths: tuple[int, int, int] = (48, 96, 192)
    reference_blocks: tuple[int, int, int] = (2, 2, 2)  # as many as the dictionary's encoder has
    cells: tuple[int, int, int] = (2, 1, 1)  # sides of what one texture holds, in places of its grid
    densities: tuple[int, int, int] = (4, 2, 2)  # sides of a place, in its colors
    texture_widths: tuple[int, int, int] = (320, 96, 96)  # colors and what the encoder says
    hidden: tuple[int, int, int] = (64, 64, 64)  # channels between what is taken and what is added
    draw_blocks: tuple[int, int, int] = (3, 2, 2)  # that draw it
    detail: tuple[int, ...] = (
        32,
        24,
    )  # channels of what draws detail, one for each doubling to half of the side
    reach: float = 31 / 512  # furthest that the alignment moves textures, in picture widths
    codes: int = 1024  # of the dictionary
    code_channels: int = 64
    heads: int = 4  # of the refinement
    gate_widths: tuple[int, int, int, int] = (32, 64, 96, 160)
    person: int = 256
    dictionary: bool = True  # code words stand for corrupted features
    refinement: bool = True  # style codes look at the reference
    distribution: bool = True  # textures are extracted and distributed
    residual: bool = True  # the input's own features and pixels reach the picture

    def __post_init__(self) -> None:
        if self.base.style % self.heads:
            raise ValueError(f"{self.heads} heads do not share a style of {self.base.style}")
        if 2 * self.densities[0] != self.base.unshuffle:
            raise ValueError(
                f"densities {self.densities}: colors at half of the picture's side need half of unshuffle "
                f"{self.base.unshuffle} first"
            )
        if 1 << len(self.detail) != self.densities[0]:
            raise ValueError(
                f"detail {self.detail} has {len(self.detail)} widths; it doubles the side to {self.densities[0]} times "
                "the fine grid's"
            )

    @property
    def grids(self) -> tuple[int, int, int]:
        """Sides of the three grids that textures live on."""
        return self.base.grid, self.base.grid // 2, self.base.grid // 4

    @property
    def drawn(self) -> tuple[int, int, int]:
        """Channels of the features that textures are distributed to: the codec's on the fine grid, the generator's."""
        prior = dict(zip(self.base.prior_grids, self.base.prior_widths, strict=True))
        fine, middle, coarse = self.grids
        return self.base.widths[0] if self.residual else prior[fine], prior[middle], prior[coarse]

    @property
    def styles(self) -> int:
        """Style codes of one face: of the generator's modulated convolutions, and of two for each distribution."""
        return self.base.codes + 2 * len(self.grids)

    @property
    def of_gate(self) -> GateParams:
        return GateParams(self.base.size, self.gate_widths, self.person)

    def to_dict(self) -> dict[str, object]:
        """Plain values only, so that ``torch.load(weights_only=True)`` reads them."""
        return {**asdict(self), "base": self.base.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> "EntedParams":
        read = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        base = read.pop("base")
        assert isinstance(base, dict)
        return cls(base=GanPriorParams.from_dict(base), **read)  # type: ignore[arg-type]


#: For a CPU.
SMALL = EntedParams()
#: For a GPU.
BASE = EntedParams(
    base=ganprior.BASE,
    reference_widths=(96, 192, 320),
    hidden=(128, 128, 128),
    draw_blocks=(6, 4, 4),
    heads=8,
)
#: For tests: same code, 64 px, some ten thousand parameters.
TINY = EntedParams(
    base=ganprior.TINY,
    reference_widths=(8, 8, 8),
    densities=(2, 2, 2),
    texture_widths=(56, 20, 20),
    detail=(8,),
    hidden=(8, 8, 8),
    draw_blocks=(1, 1, 1),
    codes=16,
    code_channels=8,
    heads=2,
    gate_widths=(8, 8, 8, 8),
    person=16,
)
