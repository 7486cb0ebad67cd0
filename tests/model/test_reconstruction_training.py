"""The reconstruction is added to a trained RefSTAR, and nothing else of it changes."""

from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from narrow_nets import GANPRIOR, REFSTAR
from refstar_model import cli
from refstar_model.data.batch import Batch
from refstar_model.data.degradation import CHAINS
from refstar_model.data.photos import PhotoSet
from refstar_model.data.plan import SampleMix
from refstar_model.data.samples import Samples
from refstar_model.data.stream import StreamParams
from refstar_model.ganprior.network import GanPrior
from refstar_model.losses.adversary import Adversary
from refstar_model.losses.restoration import RestorationWeights
from refstar_model.refstar.network import RefStar
from refstar_model.refstar.params import rest_on_prior
from refstar_model.refstar.reconstruction_training import (
    PART,
    ReconstructionTraining,
    train_reconstruction,
    training_step,
)
from refstar_model.refstar.weights import find_first_weights, load
from refstar_model.training import LoopParams, Run

OLD = rest_on_prior(
    replace(REFSTAR, unshuffle=8, prior=GANPRIOR, reach=0.06, gate=True, gate_widths=(8, 8, 8, 8))
)
NEW = replace(OLD, reconstruction=4)
MIX = SampleMix(alone=0.0, absent=0.0, wrong=0.0, two_references=0.0, full_size=0.5, degradations=CHAINS)


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A RefSTAR around system 3, and that."""
    torch.manual_seed(0)
    prior = GanPrior(GANPRIOR)
    net = RefStar(OLD)
    with torch.no_grad():
        for value in (*prior.parameters(), *net.parameters()):
            value.add_(torch.randn_like(value) * 0.02)
        net.gate.weigh.copy_(torch.tensor([0.0, 0.0, 9.0]))  # everybody passes
    net.backbone.load_state_dict(prior.state_dict())  # type: ignore[attr-defined]
    paths = tmp_path / "old.pt", tmp_path / "prior.pt"
    for one, path in zip((net, prior), paths, strict=True):
        torch.save({"params": one.params.to_dict(), "step": 3, "weights": one.state_dict()}, path)
    return paths


def draw(photos: PhotoSet, mix: SampleMix = MIX) -> Batch:
    return Samples(photos.split("train"), mix, 4, 0).draw(np.random.default_rng(0))


def begin(files: tuple[Path, Path]) -> RefStar:
    net = RefStar(NEW)
    weights = find_first_weights(NEW, *files)
    assert weights is not None
    net.load_state_dict(weights)
    return net


def test_nothing_but_the_reconstruction_changes(
    photos: PhotoSet, files: tuple[Path, Path], tmp_path: Path
) -> None:
    loop = LoopParams(steps=3, warmup=1, average=0.0, sheet_every=0)
    how = ReconstructionTraining(NEW, files[1], loop, StreamParams(2, 5, MIX, loaders=0), sharpening_from=0.3)
    trained, steps = load(train_reconstruction(photos, None, how, Run(tmp_path / "run", start=files[0])))
    assert steps == 3
    before = begin(files).state_dict()
    changed = {name for name, value in trained.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(PART) for name in changed)


def test_a_new_one_returns_the_blend(photos: PhotoSet, files: tuple[Path, Path]) -> None:
    batch, old, new = draw(photos), load(files[0])[0], begin(files).eval()
    pictures = []
    for net in (old, new):
        references, low_quality = batch.references.float() / 255, batch.low_quality.float() / 255
        with torch.no_grad():
            result = net(
                low_quality, references, net.encode(references), batch.present.float(), batch.fidelity
            )
        pictures.append(result.restored)
        assert (result.restored - result.self_stream).abs().max() > 0.01
    assert torch.equal(*pictures)


@pytest.mark.parametrize("full_size", [0.0, 1.0])
def test_the_loss_falls_on_one_batch(photos: PhotoSet, files: tuple[Path, Path], full_size: float) -> None:
    net, batch = begin(files), draw(photos, replace(MIX, full_size=full_size))
    for name, value in net.named_parameters():
        value.requires_grad_(name.startswith(PART))
    optimizer = torch.optim.Adam(net.reconstruction.parameters(), 1e-4)
    losses = []
    for _ in range(5):
        loss, _ = training_step(net, batch, RestorationWeights())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(float(loss.detach()))
    assert all(after < before for before, after in pairwise(losses)), losses


def test_only_faces_with_a_right_reference_are_asked_for_detail(
    photos: PhotoSet, files: tuple[Path, Path]
) -> None:
    net, adversary = begin(files), Adversary()
    right, wrong = (draw(photos, replace(MIX, wrong=share)) for share in (0.0, 1.0))
    names = {"pixels", "coarse", "pattern", "hatching"}
    assert set(training_step(net, wrong, RestorationWeights(), None, adversary, 1.0)[1]) == names
    assert adversary.loss(1) is None
    terms = training_step(net, right, RestorationWeights(), None, adversary, 1.0)[1]
    assert set(terms) == names | {"sharpness", "adversarial"}
    assert adversary.loss(1) is not None


def test_what_cannot_be_taught_is_refused(photos: PhotoSet, files: tuple[Path, Path], tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="there is nothing to teach"):
        train_reconstruction(
            photos, None, ReconstructionTraining(OLD, files[1]), Run(tmp_path / "run", start=files[0])
        )
    with pytest.raises(ValueError, match="--init"):
        train_reconstruction(photos, None, ReconstructionTraining(NEW, files[1]), Run(tmp_path / "run"))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        ([], "--part reconstruction needs --init"),
        (["--init", "old.pt", "--labels", "l.npz"], "leave out --labels, --vgg and --without"),
        (["--init", "old.pt", "--without", "gate"], "leave out --labels, --vgg and --without"),
    ],
)
def test_options_that_it_lacks_or_cannot_use_are_named(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, given: list[str], named: str
) -> None:
    monkeypatch.chdir(files[0].parent)
    words = ["refstar-model", "train", "refstar", "--part", "reconstruction", "--out", "run"]
    monkeypatch.setattr("sys.argv", [*words, "--self-stream", "prior.pt", *given])
    with pytest.raises(SystemExit, match=named):
        cli.main()
