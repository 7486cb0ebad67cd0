"""Heads are carried over to another self stream: they answer around it as they did around their own."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from narrow_nets import GANPRIOR, REFSTAR
from refstar_model import cli
from refstar_model.data.batch import Batch
from refstar_model.data.photos import PhotoSet
from refstar_model.data.plan import SampleMix
from refstar_model.data.samples import Samples
from refstar_model.data.stream import StreamParams
from refstar_model.ganprior.network import GanPrior
from refstar_model.refstar.head_training import HeadTraining, Lesson, draw_lessons, teach, train_heads
from refstar_model.refstar.network import RefStar
from refstar_model.refstar.params import rest_on_prior
from refstar_model.refstar.weights import find_first_weights, load
from refstar_model.training import LoopParams, Run

OLD = replace(REFSTAR, unshuffle=8, prior=GANPRIOR, reach=0.06)
NEW = rest_on_prior(OLD)
MIX = SampleMix(alone=0.0, absent=0.0, two_references=0.0, full_size=0.0)


def save(net: RefStar | GanPrior, path: Path) -> Path:
    torch.manual_seed(0)
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn_like(value) * 0.05)
    torch.save({"params": net.params.to_dict(), "step": 3, "weights": net.state_dict()}, path)
    return path


@pytest.fixture
def files(tmp_path: Path) -> tuple[Path, Path]:
    """A RefSTAR around its own backbone, and a system 3."""
    return save(RefStar(OLD), tmp_path / "old.pt"), save(GanPrior(GANPRIOR), tmp_path / "prior.pt")


def draw(photos: PhotoSet, absent: float = 0.0) -> Batch:
    return Samples(photos.split("train"), replace(MIX, absent=absent, wrong=0.3), 4, 0).draw(
        np.random.default_rng(0)
    )


def test_heads_learn_what_they_answered_around_their_own_backbone(
    photos: PhotoSet, files: tuple[Path, Path], tmp_path: Path
) -> None:
    old, prior = files
    loop = LoopParams(steps=24, warmup=1, learning_rate=3e-3, average=0.0, sheet_every=0)
    how = HeadTraining(NEW, prior, loop, StreamParams(2, 5, MIX, loaders=0), replayed=4)
    trained, _ = load(train_heads(photos, None, how, Run(tmp_path / "run", start=old)))
    begun = find_first_weights(NEW, old, prior)
    assert begun is not None
    changed = {name for name, value in trained.state_dict().items() if not torch.equal(value, begun[name])}
    assert {name.partition(".")[0] for name in changed} == {"selection", "alignment"}

    untaught = RefStar(NEW).eval()
    untaught.load_state_dict(begun)
    lessons = draw_lessons(untaught, load(old)[0], draw(photos))
    assert len(lessons) == 4
    before, after = (teach(net, lessons)[1] for net in (untaught, trained))
    assert after["mask"] < 0.8 * before["mask"]
    assert after["alignment"] < before["alignment"]


def test_who_answers_like_the_old_heads_has_nothing_to_learn(
    photos: PhotoSet, files: tuple[Path, Path]
) -> None:
    old, batch = load(files[0])[0], draw(photos)
    nothing = teach(old, draw_lessons(old, old, batch))[1]
    assert set(nothing) == {"mask", "alignment"}
    assert abs(sum(nothing.values())) < 1e-4
    with torch.no_grad():
        old.selection.out.bias.add_(1.0)  # type: ignore[union-attr]
    first = load(files[0])[0]
    assert teach(old, draw_lessons(first, first, batch))[1]["mask"] > 0.01


def test_absent_references_teach_nothing(photos: PhotoSet, files: tuple[Path, Path]) -> None:
    old, batch = load(files[0])[0], draw(photos, absent=0.5)
    there = int(batch.present.sum())
    assert 0 < there < 4
    assert len(draw_lessons(old, old, batch)) == there


def test_a_network_without_alignment_learns_masks_alone(photos: PhotoSet, files: tuple[Path, Path]) -> None:
    still = RefStar(replace(OLD, reach=0.0)).eval()
    lessons: list[Lesson] = draw_lessons(still, load(files[0])[0], draw(photos))
    assert set(teach(still, lessons)[1]) == {"mask"}


def test_heads_of_another_size_are_refused(
    photos: PhotoSet, files: tuple[Path, Path], tmp_path: Path
) -> None:
    network = replace(NEW, selection_hidden=16)
    with pytest.raises(ValueError, match="selection_hidden is 8, and 16 in the network"):
        train_heads(photos, None, HeadTraining(network, files[1]), Run(tmp_path / "run", start=files[0]))
    with pytest.raises(ValueError, match="--init"):
        train_heads(photos, None, HeadTraining(network, files[1]), Run(tmp_path / "run"))


@pytest.mark.parametrize(
    ("given", "named"),
    [
        (["--init", "old.pt"], "--part heads needs --self-stream"),
        (
            ["--init", "old.pt", "--self-stream", "prior.pt", "--labels", "l.npz"],
            "leave out --labels, --vgg and --without",
        ),
        (
            ["--init", "old.pt", "--self-stream", "prior.pt", "--without", "gate"],
            "leave out --labels, --vgg and --without",
        ),
    ],
)
def test_options_that_heads_lack_or_cannot_use_are_named(
    files: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, given: list[str], named: str
) -> None:
    monkeypatch.chdir(files[0].parent)
    words = ["refstar-model", "train", "refstar", "--part", "heads", "--out", "run", *given]
    monkeypatch.setattr("sys.argv", words)
    with pytest.raises(SystemExit, match=named):
        cli.main()
