"""Training system 3: what its losses see, and that a run learns, is judged and goes on."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from narrow_nets import GANPRIOR
from refstar_model.data.photos import PhotoSet
from refstar_model.data.plan import SampleMix
from refstar_model.data.samples import Samples
from refstar_model.data.stream import StreamParams
from refstar_model.ganprior.network import GanPrior
from refstar_model.ganprior.training import (
    GanPriorTraining,
    LossWeights,
    load,
    read_weights,
    train,
    training_step,
)
from refstar_model.losses.adversary import Adversary
from refstar_model.losses.pattern import pattern_loss
from refstar_model.training import LoopParams
from torch import Tensor, nn

HALF_SIZE = StreamParams(batch=2, mix=SampleMix(alone=1.0, full_size=0.0), loaders=0)
HOW = GanPriorTraining(GANPRIOR, LoopParams(steps=3, warmup=1, average=0.5), HALF_SIZE)


def test_a_lattice_is_seen_and_other_errors_are_not() -> None:
    torch.manual_seed(0)
    truth = torch.rand(2, 3, 256, 256)
    for period in (4, 8, 16):
        lattice = torch.zeros(256, 256)
        lattice[::period, ::period] = 0.1
        assert (pattern_loss(truth + lattice, truth) > 0.1 / period**2).all()
    noise = truth + 0.02 * torch.randn_like(truth)
    ramp = truth + torch.linspace(0, 0.1, 256)
    for other in (noise, ramp, truth + 0.1):
        assert (pattern_loss(other, truth) < 0.005).all()


def test_a_run_learns_is_watched_and_goes_on(photos: PhotoSet, tmp_path: Path) -> None:
    judged: list[bool] = []

    def judge(net: nn.Module) -> dict[str, float]:
        judged.append(net.training)
        return {"score": 1.0}

    def show(net: nn.Module) -> Tensor:
        return torch.zeros(3, 8, 8)

    first = replace(HOW, loop=replace(HOW.loop, steps=1))
    train(photos, None, first, tmp_path, judge=judge, show=show)
    weights = train(photos, None, HOW, tmp_path, judge=judge, show=show)
    net, steps = load(weights)
    assert steps == 3
    assert judged == [False, False]
    fresh = GanPrior(GANPRIOR).state_dict()
    assert any(not torch.equal(value, fresh[name]) for name, value in net.state_dict().items())
    begun = replace(HOW, start=weights, loop=replace(HOW.loop, steps=0))
    again, steps = load(train(photos, None, begun, tmp_path / "again"))
    assert steps == 0
    assert all(torch.equal(value, net.state_dict()[name]) for name, value in again.state_dict().items())


def test_weights_of_another_network_are_refused(photos: PhotoSet, tmp_path: Path) -> None:
    weights = train(photos, None, replace(HOW, loop=replace(HOW.loop, steps=0)), tmp_path)
    with pytest.raises(ValueError, match="holds another network"):
        read_weights(weights, replace(GANPRIOR, attention_layers=0))


def test_what_sharpens_is_faded_in_and_asks_the_discriminator(photos: PhotoSet) -> None:
    torch.manual_seed(0)
    batch = next(iter(Samples(photos.split("train"), HALF_SIZE.mix, 2, 0)))
    net, adversary = GanPrior(GANPRIOR), Adversary()
    _, before = training_step(net, net, batch, LossWeights(), adversary, None, 0.0)
    assert set(before) == {"pixels", "pattern", "sketch"}
    assert adversary.loss(0) is None
    total, after = training_step(net, net, batch, LossWeights(), adversary, None, 1.0)
    assert set(after) == {"pixels", "pattern", "sketch", "sharpness", "adversarial"}
    assert adversary.loss(0) is not None
    total.backward()
    assert net.finest.out.weight.grad is not None


def test_nothing_is_learned_of_a_gray_photographs_color(photos: PhotoSet) -> None:
    torch.manual_seed(0)
    batch = next(iter(Samples(photos.split("train"), HALF_SIZE.mix, 2, 0)))
    net = GanPrior(GANPRIOR)
    gray = replace(batch, truth=batch.truth[:, 1:2].expand(-1, 3, -1, -1), colorless=torch.ones(2).bool())
    shifted = gray.truth.float() + torch.tensor([30.0, 0.0, -30 * 0.299 / 0.114])[:, None, None]
    colored = replace(gray, truth=shifted)
    same, _ = training_step(net, net, gray, LossWeights())
    also, _ = training_step(net, net, colored, LossWeights())
    other, _ = training_step(net, net, replace(colored, colorless=torch.zeros(2).bool()), LossWeights())
    assert torch.allclose(same, also, rtol=1e-3)
    assert other > 1.2 * same
