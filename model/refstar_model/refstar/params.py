"""The values that fix the network: sizes, backbone, attention."""

from dataclasses import asdict, dataclass, replace
from enum import StrEnum

from refstar_model.ganprior import params as ganprior
from refstar_model.ganprior.params import GanPriorParams
from refstar_model.layers.person_gate import GateParams


class BackboneKind(StrEnum):
    NAF = "naf"  # compact U-Net of gated blocks, adds to the input
    VQ = "vq"  # predicts codes of an autoencoder that knows only good faces
    GAN_PRIOR = "gan_prior"  # system 3: a codec that guides a generator of faces


class Attention(StrEnum):
    """How features of the reference reach those of the face; the blend in the picture is there in all three."""

    NONE = "none"
    JOINT = "joint"  # one softmax over the keys of the face and of all references
    DUAL = "dual"  # a softmax for each, a mask decides


@dataclass(frozen=True)
class RefStarParams:
    """Everything that fixes the shapes. ``size`` is the side of the aligned face in pixels.

    The defaults of the fields from ``backbone`` on are those of weights that do not name them.
    """

    size: int = 512
    unshuffle: int = 8
    widths: tuple[int, int, int] = (64, 128, 256)
    encoder_blocks: tuple[int, int] = (1, 2)
    middle_blocks: int = 4
    decoder_blocks: tuple[int, int] = (3, 2)
    reference_blocks: tuple[int, int, int] = (1, 1, 1)
    selection_hidden: int = 64
    backbone: BackboneKind = BackboneKind.NAF
    attention: Attention = Attention.DUAL
    reach: float = 0.0  # furthest that the alignment moves a reference, in picture widths; 0: no alignment
    refinement: int = 0  # channels of the refinement at half size, best multiples of 16; 0: none
    reconstruction: int = 0  # channels of the reconstruction at half size, best multiples of 16; 0: none
    gate: bool = False  # whether references are judged as persons first
    codes: int = 512  # vq only: entries of the dictionary
    code_channels: int = 64  # vq only
    gate_widths: tuple[int, int, int, int] = (32, 64, 96, 160)  # channels of the person encoder
    person: int = 256  # numbers that say who somebody is: those of the recognizer that is learned from
    prior: GanPriorParams = ganprior.SMALL  # gan_prior only; its first fields are those of the whole

    def __post_init__(self) -> None:
        if self.backbone is not BackboneKind.GAN_PRIOR:
            return
        for name in ("size", "unshuffle", "widths"):
            own, inner = getattr(self, name), getattr(self.prior, name)
            if own != inner:
                raise ValueError(f"{name} is {own} and that of the prior {inner}; both must be the same")

    @property
    def grid(self) -> int:
        """Side of the widest feature grid; masks live on it."""
        return self.size // self.unshuffle

    @property
    def of_gate(self) -> GateParams:
        return GateParams(self.size, self.gate_widths, self.person)

    @property
    def bands(self) -> int:
        """Laplacian bands down to a low-pass of 8x8."""
        return self.size.bit_length() - 4

    def to_dict(self) -> dict[str, object]:
        """Plain values only, so that ``torch.load(weights_only=True)`` reads them."""
        plain = {k: v.value if isinstance(v, StrEnum) else v for k, v in asdict(self).items()}
        return {**plain, "prior": self.prior.to_dict()}

    @classmethod
    def from_dict(cls, values: dict[str, object]) -> "RefStarParams":
        read = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        read["backbone"] = BackboneKind(str(read.get("backbone", BackboneKind.NAF)))
        read["attention"] = Attention(str(read.get("attention", Attention.DUAL)))
        if isinstance(prior := read.get("prior"), dict):
            read["prior"] = GanPriorParams.from_dict(prior)
        return cls(**read)  # type: ignore[arg-type]


#: 31 pixels at 512: 99.9 % of the mesh points of two photographs of one person are nearer than that, in x and in y.
REACH = 0.06
#: For a CPU: 6.5 million parameters, 1.8 of them to know strangers.
SMALL = RefStarParams(reach=REACH, refinement=16, reconstruction=16, gate=True)
#: For a GPU: twice as many.
BASE = RefStarParams(
    widths=(96, 192, 320),
    middle_blocks=6,
    selection_hidden=96,
    reach=REACH,
    refinement=32,
    reconstruction=32,
    gate=True,
    codes=1024,
    prior=ganprior.BASE,
)
#: A net for tests: same code, 64 px, some thousand parameters.
TINY = RefStarParams(
    64,
    4,
    (8, 8, 16),
    (1, 1),
    1,
    (1, 1),
    (1, 1, 1),
    8,
    reach=REACH,
    refinement=4,
    reconstruction=4,
    gate=True,
    codes=16,
    code_channels=8,
    gate_widths=(8, 8, 8, 8),
    person=16,
    prior=ganprior.TINY,
)


def rest_on_prior(params: RefStarParams, attention: Attention = Attention.NONE) -> RefStarParams:
    """The same around system 3 as the backbone: it looks at fine detail and at the whole face by itself."""
    return replace(params, backbone=BackboneKind.GAN_PRIOR, refinement=0, attention=attention)
