"""The values that fix ENTED: sizes, and what an ablation leaves out."""

from dataclasses import asdict, dataclass, field, replace

from refstar_model.ganprior import params as ganprior
from refstar_model.ganprior.params import GanPriorParams
from refstar_model.layers.person_gate import GateParams

#: Of the encoder, the attention and the finest convolutions, which may begin with system 3's weights. The renderer's
#: grids are those of ``prior_widths`` from the coarse one on.
_SMALL = replace(
    ganprior.SMALL,
    encoder_blocks=(1, 2, 4),
    attention_layers=2,
    style=160,
    prior_widths=(192, 192, 160, 128, 64, 48, 32),
)


@dataclass(frozen=True)
class EntedParams:
    """Everything that fixes the shapes. ``base`` is of what ENTED has in common with system 3, ``base.size`` the side
    of the aligned face; three values over grids stand in the order of ``Grids``: fine, middle, coarse.

    The four parts of the paper can be left out one by one.
    """

    base: GanPriorParams = field(default_factory=lambda: _SMALL)
    reference_widths: tuple[int, int, int] = (48, 96, 192)
    reference_blocks: tuple[int, int, int] = (1, 1, 1)
    textures: tuple[int, int, int] = (32, 32, 16)  # that are extracted on each grid
    codes: int = 1024  # of the dictionary
    code_channels: int = 64
    heads: int = 4  # of the refinement
    gate_widths: tuple[int, int, int, int] = (32, 64, 96, 160)
    person: int = 256
    dictionary: bool = True  # corrupted features are replaced by code words
    refinement: bool = True  # style codes look at the reference
    distribution: bool = True  # textures are extracted and distributed
    residual: bool = True  # the input's own features and pixels reach the picture

    def __post_init__(self) -> None:
        if self.base.style % self.heads:
            raise ValueError(f"{self.heads} heads do not share a style of {self.base.style}")

    @property
    def grids(self) -> tuple[int, int, int]:
        """Sides of the three grids that textures live on."""
        return self.base.grid, self.base.grid // 2, self.base.grid // 4

    @property
    def rendered(self) -> dict[int, int]:
        """Channels of the renderer by grid, from the coarse one on."""
        widths = zip(self.base.prior_grids, self.base.prior_widths, strict=True)
        return {grid: width for grid, width in widths if grid >= self.grids[2]}

    @property
    def styles(self) -> int:
        """Style codes of one face: one for each modulated convolution."""
        return 2 * len(self.rendered) - 1

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
    reference_blocks=(2, 2, 2),
    textures=(64, 64, 32),
    heads=8,
)
#: For tests: same code, 64 px, some ten thousand parameters.
TINY = EntedParams(
    base=ganprior.TINY,
    reference_widths=(8, 8, 8),
    textures=(4, 4, 3),
    codes=16,
    code_channels=8,
    heads=2,
    gate_widths=(8, 8, 8, 8),
    person=16,
)
