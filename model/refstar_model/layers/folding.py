"""Networks as they are exported: what evaluation computes from weights alone is a weight of its own there.

`fold_modules` does that before an export, so graphs have fewer operations, and their constants have names; from those
`unfold_weights` makes the weights for training again.
"""

from collections.abc import Mapping
from typing import Protocol, runtime_checkable

from torch import Tensor, nn
from torch.nn import functional as F

Weights = Mapping[str, Tensor]


@runtime_checkable
class Foldable(Protocol):
    """A module that has another form for export."""

    def fold(self) -> nn.Module:
        """That form: it computes what the module does in evaluation, and cannot be trained."""

    def unfold(self, folded: Weights) -> dict[str, Tensor]:
        """Weights of the module, by name, with which it would have been folded to these."""


class FoldedConv(nn.Module):
    """A convolution whose kernel [D, C, k, k] and bias [D] were computed from other weights."""

    def __init__(self, kernel: Tensor, bias: Tensor | None, stride: int = 1, padding: int = 0) -> None:
        super().__init__()
        self.stride, self.padding = stride, padding
        self.weight = fix(kernel)
        self.bias = None if bias is None else fix(bias)

    def forward(self, x: Tensor) -> Tensor:
        return F.conv2d(x, self.weight, self.bias, self.stride, self.padding)


class UnshuffledConv(nn.Conv2d):
    """``conv(pixel_unshuffle(x, factor))``; [N, C, h, w] to [N, D, h / factor, w / factor].

    In evaluation it is one convolution with a wide kernel and stride ``factor``: the same products, without the
    transposition of a whole picture.
    """

    def __init__(self, factor: int, out_channels: int, size: int, channels: int = 3) -> None:
        super().__init__(channels * factor**2, out_channels, size, padding=size // 2)
        self.factor = factor

    def forward(self, x: Tensor) -> Tensor:
        if self.training:
            return super().forward(F.pixel_unshuffle(x, self.factor))
        pad = self.kernel_size[0] // 2 * self.factor
        return F.conv2d(x, self._widen(), self.bias, stride=self.factor, padding=pad)

    def fold(self) -> FoldedConv:
        return FoldedConv(self._widen(), self.bias, self.factor, self.kernel_size[0] // 2 * self.factor)

    def unfold(self, folded: Weights) -> dict[str, Tensor]:
        size, factor = self.kernel_size[0], self.factor
        wide = [*folded["weight"].shape[2:]]
        if wide != [size * factor] * 2:
            raise ValueError(f"a kernel is {wide}, and {[size * factor] * 2} in this network")
        parts = folded["weight"].unflatten(3, (size, factor)).unflatten(2, (size, factor))
        kernel = parts.permute(0, 1, 3, 5, 2, 4).flatten(1, 3)
        return {**folded, "weight": kernel}

    def _widen(self) -> Tensor:
        factor, size = self.factor, self.kernel_size[0]
        kernel = self.weight.unflatten(1, (-1, factor, factor)).permute(0, 1, 4, 2, 5, 3)
        return kernel.reshape(kernel.shape[0], kernel.shape[1], size * factor, size * factor)


def fix(value: Tensor) -> nn.Parameter:
    """A weight that is not trained."""
    return nn.Parameter(value.detach().clone(), requires_grad=False)


def fold_modules(module: nn.Module) -> None:
    """Put the folded form in the place of every foldable module below ``module``, which cannot be trained then."""
    for name, child in module.named_children():
        if isinstance(child, Foldable):
            setattr(module, name, child.fold())
        else:
            fold_modules(child)


def unfold_weights(module: nn.Module, folded: Weights) -> dict[str, Tensor]:
    """Weights of ``module`` by name, of those of the same network after `fold_modules`.

    What is missing in ``folded`` is left out. Raises ValueError where a weight has another shape.
    """
    found = {name: value for name, value in folded.items() if "." not in name}
    for name, child in module.named_children():
        inside = {k.removeprefix(f"{name}."): v for k, v in folded.items() if k.startswith(f"{name}.")}
        if not inside:
            continue
        own = child.unfold(inside) if isinstance(child, Foldable) else unfold_weights(child, inside)
        found |= {f"{name}.{k}": v for k, v in own.items()}
    shapes = {name: value.shape for name, value in module.state_dict().items()}
    found = {name: value for name, value in found.items() if name in shapes}
    for name, value in found.items():
        ours, theirs = ([side for side in shape if side > 1] for shape in (shapes[name], value.shape))
        if ours != theirs:  # sides of 1 are the exporter's
            raise ValueError(f"{name} is {list(value.shape)}, and {list(shapes[name])} in this network")
    return {name: value.reshape(shapes[name]) for name, value in found.items()}
