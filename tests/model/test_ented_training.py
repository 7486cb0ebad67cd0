"""Training ENTED on drawn faces: the dictionary, the network, and what a run begins with."""

from copy import deepcopy
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
from refstar_model.ented.dictionary import DictionaryAutoencoder
from refstar_model.ented.dictionary_training import DictionaryTraining, train_dictionary
from refstar_model.ented.losses import LossWeights
from refstar_model.ented.network import Ented
from refstar_model.ented.training import EntedTraining, train, training_step
from refstar_model.ented.weights import begin, load, load_dictionary
from refstar_model.export.card import Publication
from refstar_model.export.restoring import TrainedRestorer
from refstar_model.ganprior.export_view import view_network as view_ganprior
from refstar_model.ganprior.network import GanPrior
from refstar_model.ganprior.system import CARD as GANPRIOR_CARD
from refstar_model.losses.adversary import Adversary
from refstar_model.refstar.export_view import view_network as view_refstar
from refstar_model.refstar.network import RefStar
from refstar_model.refstar.params import Attention, BackboneKind
from refstar_model.refstar.system import CARD as REFSTAR_CARD
from refstar_model.training import LoopParams, Run

GATED = replace(REFSTAR, unshuffle=8, gate=True, gate_widths=ENTED.gate_widths, person=ENTED.person)
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
    first, _ = load(tmp_path / "weights.pt")
    net, steps = load(train(photos, None, how, Run(tmp_path)))
    assert steps == 2
    words = load_dictionary(dictionary, ENTED).words.codes
    assert torch.equal(net.dictionary.words.codes, words)
    before = first.state_dict()
    changed = {
        name.split(".")[0] for name, value in net.state_dict().items() if not torch.equal(value, before[name])
    }
    assert changed >= {"distributions", "dictionary"}
    assert not changed & {"backbone", "gate"}


def test_a_network_that_goes_on_without_its_dictionary_keeps_how_words_are_chosen(
    photos: PhotoSet, dictionary: Path, tmp_path: Path
) -> None:
    start = train(photos, None, replace(HOW, dictionary=dictionary), Run(tmp_path / "first"))
    first, _ = load(start)
    net, _ = load(train(photos, None, HOW.go_on(), Run(tmp_path / "further", start=start)))
    before, after = first.state_dict(), net.state_dict()
    chosen = [name for name in after if name.startswith(("dictionary.to_code.", "dictionary.words."))]
    assert len(chosen) > 2
    assert all(torch.equal(after[name], before[name]) for name in chosen)
    assert not torch.equal(after["dictionary.from_code.weight"], before["dictionary.from_code.weight"])


def test_a_dictionary_is_asked_for_and_must_fit(photos: PhotoSet, dictionary: Path, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="--part dictionary"):
        train(photos, None, HOW, Run(tmp_path))
    with pytest.raises(ValueError, match="another network"):
        load_dictionary(dictionary, replace(ENTED, codes=32))
    weights = tmp_path / "weights.pt"
    torch.save({"params": GANPRIOR.to_dict(), "step": 0, "weights": {}}, weights)
    with pytest.raises(ValueError, match="no dictionary"):
        load_dictionary(weights, ENTED)


def test_a_new_run_is_built_around_a_backbone_and_has_a_gate(tmp_path: Path) -> None:
    backbone, gate = tmp_path / "backbone.pt", tmp_path / "gate.pt"
    theirs, gated = GanPrior(GANPRIOR).state_dict(), RefStar(GATED).state_dict()
    torch.save({"params": GANPRIOR.to_dict(), "step": 0, "weights": theirs}, backbone)
    torch.save({"params": GATED.to_dict(), "step": 0, "weights": gated}, gate)
    weights = begin(Ented(ENTED), None, backbone, gate)
    assert all(torch.equal(weights[f"backbone.{name}"], value) for name, value in theirs.items())
    assert torch.equal(weights["gate.encoder.out.weight"], gated["gate.encoder.out.weight"])
    assert torch.equal(weights["gate.weigh"], gated["gate.weigh"])
    Ented(ENTED).load_state_dict(weights)
    words = DictionaryAutoencoder(ENTED)
    encoder = begin(Ented(ENTED), words, backbone, gate)["references.encoder.stem.weight"]
    assert torch.equal(encoder, words.encoder.stem.weight)
    with pytest.raises(ValueError, match="no person gate that fits"):
        begin(Ented(ENTED), None, None, backbone)
    with pytest.raises(ValueError, match="another network"):
        begin(Ented(ENTED), None, gate, None)


def test_backbone_and_gate_may_be_model_folders(tmp_path: Path) -> None:
    torch.manual_seed(0)
    net = RefStar(
        replace(GATED, backbone=BackboneKind.GAN_PRIOR, attention=Attention.NONE, prior=GANPRIOR)
    ).eval()
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn_like(value) * 0.05)
    about = Publication("refstar", "1")
    first, second = deepcopy(net), deepcopy(net)  # an export folds the networks that it is given
    TrainedRestorer(view_refstar(first), REFSTAR_CARD, 1).export(tmp_path / "refstar", about)
    TrainedRestorer(view_ganprior(second.backbone), GANPRIOR_CARD, 1).export(tmp_path / "ganprior", about)
    weights = begin(Ented(ENTED), None, tmp_path / "ganprior", tmp_path / "refstar")
    for name, value in net.gate.state_dict().items():
        assert torch.allclose(weights[f"gate.{name}"], value, atol=1e-2), name
    assert torch.allclose(
        weights["backbone.encoder.stem.weight"], net.backbone.encoder.stem.weight, atol=1e-2
    )
    with pytest.raises(ValueError, match="no person gate that fits"):
        begin(Ented(ENTED), None, None, tmp_path / "ganprior")


@pytest.mark.parametrize("alone", [0.0, 1.0])
def test_the_loss_falls_on_one_batch(photos: PhotoSet, dictionary: Path, alone: float) -> None:
    torch.manual_seed(0)
    net = Ented(ENTED).train()
    net.fix()
    words = load_dictionary(dictionary, ENTED)
    mix = SampleMix(alone=alone, full_size=0.0, absent=0.0)
    batch = Samples(photos.split("train"), mix, 4, 0).draw(np.random.default_rng(0))
    assert batch.alone == bool(alone)
    optimizer = torch.optim.Adam([p for p in net.parameters() if p.requires_grad], 1e-3)
    losses, names = [], set()
    for _ in range(5):
        loss, parts = training_step(net, batch, LossWeights(), words)
        names |= set(parts)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert all(after < before for before, after in pairwise(losses))
    assert names >= {"pixels", "pattern", "hatching", "code"}
    assert ("attention" in names) == (not alone)


def test_corresponding_points_teach_where_textures_go(photos: PhotoSet, dictionary: Path) -> None:
    torch.manual_seed(0)
    net = Ented(ENTED).train()
    net.fix()
    mix = SampleMix(alone=0.0, full_size=0.0, absent=0.0)
    batch = Samples(photos.split("train"), mix, 4, 0).draw(np.random.default_rng(0))
    count = batch.references.shape[1]
    points = torch.rand(4, 9, 2) * 0.6 + 0.2
    known = torch.tensor([True, True, False, False])[:, None].expand(4, count)
    aside = points[:, None].expand(4, count, 9, 2) + torch.tensor([0.02, 0.0])
    batch = replace(batch, truth_points=points, reference_points=aside, points_known=known)
    loss, parts = training_step(net, batch, LossWeights(), load_dictionary(dictionary, ENTED))
    loss.backward()
    assert parts["alignment"] > 0
    assert net.alignment.out.bias.grad is not None
    assert net.alignment.out.bias.grad[0] < 0  # further to the right
    _, unknown = training_step(net, replace(batch, points_known=known & False), LossWeights())
    assert unknown["alignment"] == 0


def test_what_sharpens_is_faded_in(photos: PhotoSet, dictionary: Path) -> None:
    before, after = (_train_step(photos, dictionary, 0.0, sharpening).keys() for sharpening in (0.0, 0.5))
    assert after - before == {"sharpness", "adversarial"}


def test_a_face_without_a_right_reference_is_asked_only_for_its_pixels(
    photos: PhotoSet, dictionary: Path
) -> None:
    assert "sharpness" not in _train_step(photos, dictionary, 1.0, 0.5)


def _train_step(photos: PhotoSet, dictionary: Path, alone: float, sharpening: float) -> dict[str, float]:
    torch.manual_seed(0)
    net, words = Ented(ENTED).train(), load_dictionary(dictionary, ENTED)
    mix = SampleMix(alone=alone, full_size=0.0, absent=0.0)
    batch = Samples(photos.split("train"), mix, 4, 0).draw(np.random.default_rng(0))
    return training_step(net, batch, LossWeights(), words, None, Adversary(), sharpening)[1]
