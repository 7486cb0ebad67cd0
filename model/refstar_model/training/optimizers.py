"""The optimizers of a run: parameter groups, and the rates that each of them gets."""

from collections.abc import Mapping

import torch
from torch import nn

from refstar_model.training.params import LoopParams


class GroupedAdamW:
    """AdamW over a module's parameters; matrices decay, biases and gains do not.

    ``shares``: by the beginning of their names, what share of the learning rate parameters get instead of all of it.
    Raises ValueError for one that no parameter has. Without any, groups are those of checkpoints from before there
    were shares.
    """

    def __init__(self, module: nn.Module, params: LoopParams, shares: Mapping[str, float]) -> None:
        named = dict(module.named_parameters())
        for prefix in shares:
            if not any(name.startswith(prefix) for name in named):
                raise ValueError(
                    f"no parameter's name begins with {prefix!r}, which has a learning rate of its own"
                )
        of = {name: _find_share(name, shares) for name in named}
        self._shares: list[float] = []
        groups = []
        for share in dict.fromkeys([1.0, *shares.values()]):
            mine = [p for name, p in named.items() if of[name] == share]
            for decayed in (True, False):
                chosen = [p for p in mine if (p.dim() > 1) is decayed]
                if chosen or share == 1.0:
                    groups.append({"params": chosen, "weight_decay": params.weight_decay * decayed})
                    self._shares.append(share)
        betas = (params.momentum, 0.99)
        self.adam = torch.optim.AdamW(groups, lr=params.learning_rate, betas=betas, fused=True)

    def set_rate(self, rate: float) -> None:
        for group, share in zip(self.adam.param_groups, self._shares, strict=True):
            group["lr"] = rate * share


def _find_share(name: str, shares: Mapping[str, float]) -> float:
    """That of the longest beginning."""
    found = [prefix for prefix in shares if name.startswith(prefix)]
    return shares[max(found, key=len)] if found else 1.0
