"""Training ENTED on drawn faces: the dictionary, the network, and what a run begins with."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from narrow_nets import ENTED, GANPRIOR, REFSTAR
from refstar_model.data.photos import PhotoSet
from refstar_model.data.plan import SampleMix
from refstar_model.data.samples import Samples
from refstar_model.data.stream import StreamParams
from refstar_model.ented.dictionary_training import DictionaryTraining, train_dictionary
from refstar_model.ented.losses import LossWeights
from refstar_model.ented.network import Ented
from refstar_model.ented.training import EntedTraining, train, training_step
from refstar_model.ented.weights import begin, load, load_dictionary
from refstar_model.ganprior.network import GanPrior
from refstar_model.losses.adversary import Adversary
from refstar_model.refstar.network import RefStar
from refstar_model.training import LoopParams, Run

STREAM = StreamParams(batch=2, mix=SampleMix(full_size=0.0), loaders=0)
HOW = EntedTraining(ENTED, LoopParams(steps=2, warmup=1, average=0.5), STREAM)


@pytest.fixture(scope="module")
def dictionary(photos: PhotoSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    how = DictionaryTraining(ENTED, LoopParams(steps=2, warmup=1), batch=2)
    return train_dictionary(photos, how, Run(tmp_path_factory.mktemp("dictionary")))


def test_a_run_has_the_dictionarys_words_and_goes_on(
    photos: PhotoSet, dictionary: Path, tmp_path: Path
) -> None:
    how = replace(HOW, dictionary=dictionary)
    train(photos, None, replace(how, loop=replace(HOW.loop, steps=1)), Run(tmp_path))
    net, steps = load(train(photos, None, how, Run(tmp_path)))
    assert steps == 2
    words = load_dictionary(dictionary, ENTED).words.codes
    assert torch.equal(net.dictionary.words.codes, words)
    fresh = Ented(ENTED).state_dict()
    assert any(not torch.equal(value, fresh[name]) for name, value in net.state_dict().items())


def test_a_dictionary_is_asked_for_and_must_fit(photos: PhotoSet, dictionary: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--part dictionary"):
        train(photos, None, HOW, Run(tmp_path))
    with pytest.raises(ValueError, match="another network"):
        load_dictionary(dictionary, replace(ENTED, codes=32))
    weights = tmp_path / "weights.pt"
    torch.save({"params": GANPRIOR.to_dict(), "step": 0, "weights": {}}, weights)
    with pytest.raises(ValueError, match="no dictionary"):
        load_dictionary(weights, ENTED)


def test_a_new_run_begins_with_the_backbones_encoder_and_the_gate(tmp_path: Path) -> None:
    backbone, gate = tmp_path / "backbone.pt", tmp_path / "gate.pt"
    gating = replace(REFSTAR, gate=True, gate_widths=ENTED.gate_widths, person=ENTED.person)
    theirs, gated = GanPrior(GANPRIOR).state_dict(), RefStar(gating).state_dict()
    torch.save({"params": GANPRIOR.to_dict(), "step": 0, "weights": theirs}, backbone)
    torch.save({"params": gating.to_dict(), "step": 0, "weights": gated}, gate)
    weights = begin(Ented(ENTED), None, backbone, gate)
    assert torch.equal(weights["encoder.stem.weight"], theirs["encoder.stem.weight"])
    assert torch.equal(
        weights["attention.layers.0.read.weight"], theirs["decoder.attention.layers.0.read.weight"]
    )
    assert torch.equal(weights["renderer.fine_bends.look.weight"], theirs["fine_bends.look.weight"])
    assert torch.equal(weights["gate.encoder.out.weight"], gated["gate.encoder.out.weight"])
    Ented(ENTED).load_state_dict(weights)
    with pytest.raises(ValueError, match="nothing that fits"):
        begin(Ented(ENTED), None, None, backbone)


@pytest.mark.parametrize("alone", [0.0, 1.0])
def test_the_loss_falls_on_one_batch(photos: PhotoSet, dictionary: Path, alone: float) -> None:
    torch.manual_seed(0)
    net = Ented(ENTED).train()
    words = load_dictionary(dictionary, ENTED)
    mix = SampleMix(alone=alone, full_size=0.0, absent=0.0)
    batch = Samples(photos.split("train"), mix, 4, 0).draw(np.random.default_rng(0))
    assert batch.alone == bool(alone)
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], 1e-4)
    losses, names = [], set()
    for _ in range(5):
        loss, parts = training_step(net, batch, LossWeights(), words)
        names |= set(parts)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert all(after < before for before, after in pairwise(losses))
    assert names >= {"pixels", "sketch", "pattern", "code"}
    assert ("attention" in names, "gate" in names) == (not alone, not alone)


def test_what_sharpens_is_faded_in(photos: PhotoSet, dictionary: Path) -> None:
    torch.manual_seed(0)
    net, words = Ented(ENTED).train(), load_dictionary(dictionary, ENTED)
    batch = Samples(photos.split("train"), SampleMix(alone=1.0, full_size=0.0), 2, 0).draw(
        np.random.default_rng(0)
    )
    _, before = training_step(net, batch, LossWeights(), words, None, Adversary(), 0.0)
    _, after = training_step(net, batch, LossWeights(), words, None, Adversary(), 0.5)
    assert after.keys() - before.keys() == {"sharpness", "adversarial"}
