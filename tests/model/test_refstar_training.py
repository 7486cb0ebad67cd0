"""Training end to end on drawn faces: it learns, stops, goes on, and keeps val people out."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
import torch
from narrow_nets import GANPRIOR, REFSTAR
from pictures import aligned_face, psnr
from refstar_model.data.batch import Batch
from refstar_model.data.degradation import CHAINS, LEVELS, degrade
from refstar_model.data.photos import PhotoSet
from refstar_model.data.plan import SampleMix
from refstar_model.data.pseudo import pseudo_reference
from refstar_model.data.samples import Samples
from refstar_model.data.stream import StreamParams
from refstar_model.ganprior.network import GanPrior
from refstar_model.refstar.losses import LossWeights, restoration_loss
from refstar_model.refstar.network import RefStar, RefStarParams
from refstar_model.refstar.params import rest_on_prior
from refstar_model.refstar.target import Target
from refstar_model.refstar.training import Critics, RefStarTraining, alone_step, load, train, training_step
from refstar_model.training import Loop, LoopParams, Run
from refstar_model.training.clock import Clock

#: The shortest run that shows a fall of the loss.
HOW = RefStarTraining(
    network=REFSTAR, loop=LoopParams(steps=12, warmup=2, save_every=4), stream=StreamParams(2, 5)
)


def batch(photos: PhotoSet, **mix: Any) -> Batch:
    return Samples(photos.split("train"), replace(SampleMix(alone=0.0), **mix), 4, 0).draw(
        np.random.default_rng(0)
    )


def test_the_loss_falls_on_one_batch(photos: PhotoSet) -> None:
    torch.manual_seed(0)
    net = RefStar(REFSTAR)
    sample = batch(photos, full_size=0, two_references=0, wrong=0.2, degradations=CHAINS)
    optimizer = torch.optim.Adam(net.parameters(), 5e-5)
    losses = []
    for _ in range(5):
        loss, _ = training_step(net, sample, LossWeights(sharpness=0.0), None, 0.0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert all(after < before for before, after in pairwise(losses))


def test_a_batch_without_references_teaches_the_same_the_short_way(photos: PhotoSet) -> None:
    torch.manual_seed(0)
    net, sample = RefStar(REFSTAR).train(), batch(photos, alone=1.0, full_size=0)
    assert sample.alone
    assert not batch(photos, absent=0.0).alone
    slopes = []
    for loss, parts in (
        training_step(net, sample, LossWeights(), None, 0.0),
        alone_step(net.alone, net, sample, LossWeights(), Critics()),
    ):
        net.zero_grad()
        loss.backward()
        slopes.append(torch.cat([p.grad.flatten() for p in net.backbone.parameters() if p.grad is not None]))
        assert parts["self"] > 0
    assert torch.allclose(slopes[0], slopes[1], rtol=0.05, atol=float(slopes[0].abs().max()) / 100)


def test_a_stopped_run_goes_on_where_it_was(photos: PhotoSet, tmp_path: Path) -> None:
    train(photos, None, HOW, Run(tmp_path, Clock(0.0)))
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["done"] == 0
    here = replace(
        HOW, stream=replace(HOW.stream, loaders=0)
    )  # the first call has shown that samples come from another process too
    train(photos, None, replace(here, loop=replace(HOW.loop, steps=4)), Run(tmp_path))
    weights = train(photos, None, here, Run(tmp_path))
    net, steps = load(weights)
    assert steps == 12
    assert net.params == REFSTAR
    assert not (tmp_path / "checkpoint.pt.part").exists()
    assert json.loads((tmp_path / "log.jsonl").read_text().splitlines()[-1])["step"] == 12


def test_pictures_do_not_teach_the_gate_who_somebody_is(photos: PhotoSet, tmp_path: Path) -> None:
    """Nobody's detail is never wrong detail: a gate that learned from the result would shut."""
    gated = replace(HOW, network=replace(REFSTAR, gate=True), loop=LoopParams(steps=2, warmup=1))
    gated = replace(gated, stream=replace(HOW.stream, loaders=0, mix=SampleMix(alone=0.0, absent=0.0)))
    begun = train(photos, None, replace(gated, loop=LoopParams(steps=0)), Run(tmp_path / "begun"))
    trained = train(photos, None, gated, Run(tmp_path / "trained", start=begun))
    before, after = (load(path)[0].state_dict() for path in (begun, trained))
    changed = {name for name, value in after.items() if not torch.equal(value, before[name])}
    assert any(name.startswith("selection.") for name in changed)
    assert not any(name.startswith("gate.") for name in changed)


def test_a_fixed_self_stream_is_not_missed_where_all_references_are_absent(
    photos: PhotoSet, tmp_path: Path
) -> None:
    network = rest_on_prior(replace(REFSTAR, unshuffle=8, prior=GANPRIOR))
    torch.manual_seed(0)
    prior = GanPrior(GANPRIOR)
    torch.save(
        {"params": GANPRIOR.to_dict(), "step": 0, "weights": prior.state_dict()}, tmp_path / "prior.pt"
    )
    absent = StreamParams(2, loaders=0, mix=SampleMix(alone=0.0, absent=1.0, wrong=0.0, full_size=0.0))
    loop = LoopParams(steps=1, warmup=1)
    how = replace(HOW, network=network, stream=absent, loop=loop, self_stream=tmp_path / "prior.pt")
    weights = train(photos, None, how, Run(tmp_path / "run"))
    assert torch.load(weights, weights_only=True)["step"] == 1


def test_a_loss_that_is_not_finite_leaves_the_weights_alone(tmp_path: Path) -> None:
    module = torch.nn.Linear(2, 2)
    before = module.weight.detach().clone()
    loop = Loop(module, LoopParams(steps=1), tmp_path)
    loop.run(iter([None]), lambda item, progress: (module.weight.sum() * float("nan"), {}))
    assert torch.equal(module.weight, before)


def test_batches_repeat_with_the_seed_and_keep_to_the_mix(photos: PhotoSet) -> None:
    one, two = batch(photos), batch(photos)
    assert torch.equal(one.low_quality, two.low_quality)
    assert torch.equal(one.references, two.references)
    strangers = batch(photos, absent=0.0, wrong=1.0)
    assert strangers.present.all()
    assert not strangers.right.any()
    nobody = batch(photos, absent=1.0, wrong=0.0)
    assert not nobody.present.any()
    assert not nobody.references.any()


def test_full_size_batches_come_from_sharp_pictures_only(photos: PhotoSet) -> None:
    samples = Samples(photos.split("train"), SampleMix(full_size=1.0, alone=0.0), 2, 0)
    drawn = samples.draw(np.random.default_rng(1))
    assert drawn.truth.shape[-1] == 512
    assert set(samples.full) == {"p1_0.png", "p1_1.png", "p3_0.png", "p3_1.png"}


def test_training_never_sees_a_val_person(photos: PhotoSet) -> None:
    samples = Samples(photos.split("train"), SampleMix(alone=0.0), 2, 0)
    assert {name[:2] for name in samples.half} == {"p0", "p1", "p2", "p3"}
    assert {name[:2] for name in samples.full} == {"p1", "p3"}
    assert samples.planner.half.others.keys() <= samples.half.keys()


def test_a_wrong_reference_is_labelled_untrustworthy(photos: PhotoSet) -> None:
    net = RefStar(REFSTAR)
    sample = batch(photos, absent=0.0, wrong=1.0, full_size=0, two_references=0)
    _, trusted = training_step(net, sample, LossWeights(mask=1.0), None, 0.0)
    with torch.no_grad():
        net.selection.position.fill_(-8.0)
    _, closed = training_step(net, sample, LossWeights(mask=1.0), None, 0.0)
    assert closed["mask"] < 0.01 < trusted["mask"]


def test_with_a_right_reference_closeness_weighs_more_at_high_fidelity() -> None:
    truth = torch.rand(2, 3, 64, 64)
    net = RefStar(RefStarParams(64, 4, (8, 8, 16), (1, 1), 1, (1, 1), (1, 1, 1), 8))
    references = torch.rand(2, 1, 3, 64, 64)
    with torch.no_grad():
        result = net(truth, references, net.encode(references), torch.ones(2, 1), torch.full((2,), 0.5))
    yes = torch.ones(2, 1, dtype=torch.bool)
    finals = []
    for fidelity in (0.0, 1.0):
        target = Target(truth, yes, yes, torch.full((2,), fidelity))
        finals.append(restoration_loss(result, target, references, LossWeights(), None, 0.0)[1]["final"])
    assert finals[1] > finals[0]


def test_a_degradation_repeats_with_its_seed_and_severe_is_worse_than_moderate() -> None:
    picture = aligned_face()
    worse = {}
    for level, draw in LEVELS.items():
        one, two = (degrade(picture, draw(rng), rng) for rng in (np.random.default_rng(4) for _ in range(2)))
        assert np.array_equal(one, two)
        worse[level] = psnr(one, picture)
    assert worse["severe"] < worse["moderate"] - 2 < 30


def test_a_pseudo_reference_is_another_picture_of_the_same_size(photos: PhotoSet) -> None:
    picture = photos.read("p1_0.png", 256)
    other = pseudo_reference(picture, np.random.default_rng(0))
    assert other.shape == picture.shape
    assert np.abs(other.astype(int) - picture).mean() > 2
