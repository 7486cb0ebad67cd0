"""What an Adam knows of its gradients: loaded as the fused step needs it, and made small to travel."""

from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor


def restore_moments(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> None:
    """Load an optimizer's state, each moment laid out in memory as its parameter.

    The fused step on a CPU walks through memory as it lies: moments in another layout would meet other weights'
    gradients, without a word.
    """
    optimizer.load_state_dict(state)
    for parameter, moments in optimizer.state.items():
        for name, value in moments.items():
            if value.shape == parameter.shape:
                moments[name] = torch.empty_like(parameter).copy_(value)


def take_second_moments(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The gradients' mean squares, and after how many steps, as ``INDEX/exp_avg_sq`` and ``INDEX/step``."""
    states = optimizer.state_dict()["state"]
    return {
        f"{index}/{part}": torch.as_tensor(state[part])
        for index, state in states.items()
        for part in ("exp_avg_sq", "step")
    }


def give_second_moments(optimizer: torch.optim.Optimizer, tensors: Mapping[str, Tensor]) -> None:
    """The inverse of `take_second_moments`; first moments begin at zero and are new after some ten steps."""
    states = {
        index: {
            "step": tensors[f"{index}/step"],
            "exp_avg": torch.zeros_like(tensors[f"{index}/exp_avg_sq"]),
            "exp_avg_sq": tensors[f"{index}/exp_avg_sq"],
        }
        for index in sorted({int(name.split("/")[0]) for name in tensors})
    }
    restore_moments(optimizer, {"state": states, "param_groups": optimizer.state_dict()["param_groups"]})
