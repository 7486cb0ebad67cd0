"""Parameters with a learning rate of their own, and what a network computes in while it learns."""

from pathlib import Path

import pytest
import torch
from refstar_model.layers.precision import Precision, autocast, compute_in, find_faster
from refstar_model.training import Loop, LoopParams, Loss, Moment
from torch import nn

PARAMS = LoopParams(steps=1, warmup=0, final_rate=1.0, weight_decay=0.0, clip=1e9)


def twins() -> nn.ModuleDict:
    """Two layers that learn the same at the same rate."""
    layers = nn.ModuleDict({"first": nn.Linear(2, 2), "second": nn.Linear(2, 2)})
    layers["second"].load_state_dict(layers["first"].state_dict())
    return layers


def learn(layers: nn.ModuleDict, folder: Path, shares: dict[str, float]) -> dict[str, float]:
    """How far each parameter went in one step."""
    before = {name: value.detach().clone() for name, value in layers.named_parameters()}
    loop = Loop(layers, PARAMS, folder, shares=shares)
    x = torch.tensor([[1.0, 2.0]])
    loop.run(iter([x]), lambda item, _: ((layers["first"](item) + layers["second"](item)).square().sum(), {}))
    return {n: float((p.detach() - before[n]).abs().mean()) for n, p in layers.named_parameters()}


def test_parameters_learn_at_the_share_of_the_longest_name_that_fits(tmp_path: Path) -> None:
    moved = learn(twins(), tmp_path, {"second": 0.1, "second.bias": 0.5})
    assert moved["second.weight"] == pytest.approx(0.1 * moved["first.weight"], rel=1e-3)
    assert moved["second.bias"] == pytest.approx(0.5 * moved["first.bias"], rel=1e-3)


def test_a_share_that_no_parameter_gets_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no parameter's name begins with 'third'"):
        Loop(twins(), PARAMS, tmp_path, shares={"third": 0.1})


def test_a_run_with_shares_goes_on_at_their_rates(tmp_path: Path) -> None:
    layers = twins()
    learn(layers, tmp_path, {"second": 0.25})
    loop = Loop(twins(), LoopParams(steps=2, warmup=0, final_rate=1.0), tmp_path, shares={"second": 0.25})
    assert loop.resume()
    loop.run(iter([torch.ones(1, 2)]), lambda item, _: (sum(m(item).sum() for m in loop.module.values()), {}))
    rates = {group["lr"] for group in loop.optimizer.param_groups}
    assert rates == {1e-3, 0.25e-3}


@pytest.mark.parametrize(
    ("precision", "dtype"), [(Precision.BF16, torch.bfloat16), (Precision.FP32, torch.float32)]
)
def test_a_run_computes_in_the_precision_that_it_is_told(
    tmp_path: Path, precision: Precision, dtype: torch.dtype
) -> None:
    module, seen = nn.Linear(2, 1), []

    def step(item: torch.Tensor, moment: Moment) -> Loss:
        with autocast(item.device):
            out = module(item)
        seen.append(out.dtype)
        return out.float().square().mean(), {}

    Loop(module, LoopParams(steps=1, precision=precision), tmp_path).run(iter([torch.ones(1, 2)]), step)
    assert seen == [dtype]


def test_numbers_too_small_for_a_normal_float_count_as_zero_while_a_run_computes() -> None:
    least, half = torch.full((64,), 1.2e-38), torch.full((64,), 0.5)
    with compute_in(Precision.FP32):
        assert (least * half == 0).all()
    assert (least * half > 0).all()


def test_the_faster_precision_of_a_processor_is_measured_and_that_of_a_gpu_is_bf16(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    taken = {Precision.BF16: 3e-3, Precision.FP32: 2e-3}
    assert find_faster(torch.device("cpu")) in Precision
    monkeypatch.setattr("refstar_model.layers.precision._time_convolution", taken.__getitem__)
    assert find_faster(torch.device("cpu")) is Precision.FP32
    assert find_faster(torch.device("cuda")) is Precision.BF16
    taken[Precision.FP32] = 9e-3
    assert find_faster(torch.device("cpu")) is Precision.BF16
