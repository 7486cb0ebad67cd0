"""Pre-training the prior: augmentation that adapts, a run that goes on exactly, people that repeat with their seed."""

import sys
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch
from narrow_nets import GANPRIOR
from refstar_model import cli
from refstar_model.data.photo_stream import PhotoStream
from refstar_model.data.photos import DataError, PhotoSet, PhotoWeights
from refstar_model.ganprior.augmentation import augment
from refstar_model.ganprior.face_adversary import FaceAdversary, FaceAdversaryParams
from refstar_model.ganprior.generator import Generator
from refstar_model.ganprior.generator_weights import load_generator, read_generator
from refstar_model.ganprior.network import GanPrior
from refstar_model.ganprior.params import TINY, TINY_CRITIC, CriticParams
from refstar_model.ganprior.people import draw_faces, draw_people, draw_people_sheet, draw_views
from refstar_model.ganprior.pretraining import LOOP, PriorTraining, draw_codes, train_prior
from refstar_model.ganprior.weights import find_first_weights
from refstar_model.training import Run
from refstar_model.training.parcel import read_parcel
from refstar_model.training.processes import Course
from torch import Tensor

CPU = torch.device("cpu")
ADVERSARY = FaceAdversaryParams(TINY_CRITIC, faces_to_one=200)
HOW = PriorTraining(TINY, ADVERSARY, replace(LOOP, steps=6, warmup=1, final_rate=1.0, sheet_every=0), batch=4)


@pytest.fixture
def faces() -> Tensor:
    torch.manual_seed(3)
    return torch.nn.functional.interpolate(torch.rand(16, 3, 8, 8), size=64, mode="bilinear")


def test_without_a_chance_nothing_is_augmented(faces: Tensor) -> None:
    assert augment(faces, 0.0) is faces


def test_about_as_many_are_augmented_as_the_chance_says_and_gradients_pass(faces: Tensor) -> None:
    torch.manual_seed(0)
    many = faces.repeat(8, 1, 1, 1).requires_grad_(True)
    seen = augment(many, 0.1)
    touched = float(((seen - many).detach().abs().amax((1, 2, 3)) > 1e-4).float().mean())
    # Nine changes, of which a mirror is half a chance, each with 0.1: some 0.59 of the faces.
    assert 0.45 < touched < 0.72
    seen.sum().backward()
    assert many.grad is not None
    assert (many.grad.abs().sum((1, 2, 3)) > 0).float().mean() > 0.9
    wild = augment(faces, 1.0)
    assert wild.shape == faces.shape
    assert torch.isfinite(wild).all()
    gray = (wild - 0.5).abs().amax(1) < 1e-6
    assert 0.1 < gray.float().mean() < 0.3  # boxes of half the side; a part of them lies outside


def test_gray_faces_stay_gray_whatever_their_hue_is_turned_by() -> None:
    torch.manual_seed(1)
    gray = torch.rand(32, 1, 16, 16).expand(-1, 3, -1, -1)
    seen = augment(gray, 1.0)
    assert (seen - seen.mean(1, keepdim=True)).abs().max() < 1e-4


def test_the_chance_follows_how_well_the_critic_knows_true_faces(
    faces: Tensor,
) -> None:
    adversary = FaceAdversary(ADVERSARY)
    module, out = adversary.module, adversary.module.critic.out
    chances = []
    for verdict in (5.0, 5.0, -5.0):
        with torch.no_grad():
            out.weight.zero_()
            out.bias.fill_(verdict)
        for step in range(8):
            adversary.judge(torch.rand(16, 3, 64, 64), faces)
            assert adversary.loss(step) is not None
        chances.append(float(module.chance))
    # Twice four steps of 16 faces, of 200 faces from 0 to 1: 0.64, then the most, then down again.
    assert chances == pytest.approx([0.64, 0.8, 0.16], abs=1e-5)
    assert float(module.judged) == 0


def test_a_critic_that_overfits_a_handful_of_faces_is_augmented(faces: Tensor) -> None:
    torch.manual_seed(0)
    adversary = FaceAdversary(replace(ADVERSARY, faces_to_one=100))
    optimizer = torch.optim.Adam(adversary.module.parameters(), 4e-3, (0.0, 0.99))
    for step in range(17):
        adversary.judge(torch.rand(4, 3, 64, 64), faces[:4])
        answer = adversary.loss(step)
        assert answer is not None
        loss, parts = answer
        assert bool(torch.isfinite(loss))
        assert ("r1" in parts) == (step % 16 == 0)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    assert float(adversary.module.chance) > 0.1


def test_the_penalty_of_augmented_faces_is_finite_and_has_gradients(faces: Tensor) -> None:
    adversary = FaceAdversary(replace(ADVERSARY, gamma=100.0))
    adversary.module.chance.fill_(0.8)
    adversary.judge(faces, faces)
    answer = adversary.loss(0)
    assert answer is not None
    loss, parts = answer
    assert np.isfinite(parts["r1"])
    loss.backward()
    gradients = [p.grad for p in adversary.module.parameters()]
    assert all(g is not None and bool(torch.isfinite(g).all()) for g in gradients)


def test_only_the_generator_learns_from_the_verdict_on_what_it_drew(faces: Tensor) -> None:
    adversary = FaceAdversary(ADVERSARY)
    fake = faces.clone().requires_grad_(True)
    adversary.judge(fake, faces).backward()
    assert fake.grad is not None
    assert all(p.grad is None for p in adversary.module.parameters())
    assert all(p.requires_grad for p in adversary.module.parameters())


def test_finer_grids_take_another_faces_code_as_often_as_asked() -> None:
    torch.manual_seed(0)
    generator = Generator(TINY)
    whole, mixed = draw_codes(generator, 64), draw_codes(generator, 256, 0.5)
    assert torch.equal(whole, whole[:, :1].expand_as(whole))
    changed = (mixed != mixed[:, :1]).any(2)
    assert 0.4 < changed.any(1).float().mean() < 0.6
    assert bool((changed[:, 1:] >= changed[:, :-1]).all())  # once, and to the end
    assert changed.float().sum(1).unique().numel() > 3


def test_only_photographs_that_are_sharp_at_the_size_are_drawn(photos: PhotoSet) -> None:
    def stream(size: int, course: Course = Course(0, 1, 1), held: bool = False) -> PhotoStream:  # noqa: B008
        return PhotoStream(photos, PhotoWeights(), size, 4, 5, course, CPU, held)

    assert {p.person for p in stream(512).chosen} == {"p1", "p3", "p5"}
    assert len(stream(256).chosen) == len(photos.photos)
    small = stream(64)
    assert small.draw(3).shape == (4, 3, 64, 64)
    assert torch.equal(small.draw(3), stream(64, held=True).draw(3))
    assert torch.equal(next(iter(stream(64, Course(3, 2, 9)))), small.draw(3))
    assert not torch.equal(small.draw(3), small.draw(4))
    with pytest.raises(DataError, match="none of 12 photographs is sharp at 1024"):
        stream(1024)


def test_a_run_that_was_stopped_ends_as_one_that_was_not(photos: PhotoSet, tmp_path: Path) -> None:
    assert LOOP.momentum == 0
    through = torch.load(train_prior(photos, HOW, Run(tmp_path / "through")), weights_only=True)
    train_prior(photos, replace(HOW, loop=replace(HOW.loop, steps=3)), Run(tmp_path / "stopped"))
    stopped = torch.load(train_prior(photos, HOW, Run(tmp_path / "stopped")), weights_only=True)
    assert through["step"] == stopped["step"] == 6
    assert through["weights"].keys() == stopped["weights"].keys()
    checkpoint = torch.load(tmp_path / "stopped/checkpoint.pt", weights_only=True)
    assert float(checkpoint["rival"]["chance"]) >= 0
    assert float(checkpoint["rival"]["judged"]) == 8  # of steps 5 and 6, not yet looked at
    for name, value in through["weights"].items():
        assert torch.equal(value, stopped["weights"][name]), name


def test_a_new_codec_begins_with_the_pre_trained_generator(photos: PhotoSet, tmp_path: Path) -> None:
    weights = train_prior(photos, replace(HOW, loop=replace(HOW.loop, steps=1)), Run(tmp_path))
    generator, steps = load_generator(weights)
    assert steps == 1
    codec = replace(TINY, attention_layers=0)  # what is not of the generator may differ
    begun = find_first_weights(GanPrior(codec), None, weights)
    assert begun is not None
    net = GanPrior(codec)
    net.load_state_dict(begun)
    for name, value in generator.state_dict().items():
        assert torch.equal(value, net.generator.state_dict()[name]), name
    whole = tmp_path / "whole.pt"
    torch.save({"params": codec.to_dict(), "step": 7, "weights": net.state_dict()}, whole)
    again, steps = load_generator(whole)
    assert steps == 7
    assert torch.equal(again.constant, generator.constant)
    with pytest.raises(ValueError, match="holds another generator"):
        read_generator(weights, replace(TINY, style=8))
    with pytest.raises(ValueError, match="not from both"):
        find_first_weights(net, whole, weights)


def test_people_repeat_with_their_seed_and_views_keep_their_middle_codes() -> None:
    torch.manual_seed(0)
    generator = Generator(TINY).eval()
    generator.mean_code.normal_()
    few, more = (draw_people(generator, count, 4) for count in (2, 3))
    assert torch.equal(few, more[:2])
    assert not torch.equal(few, draw_people(generator, 2, 5))
    mean = draw_people(generator, 2, 4, truncation=0.0)
    assert torch.allclose(mean, generator.mean_code.expand_as(mean), atol=1e-5)
    views = draw_views(generator, few[0], 3, 9)
    assert torch.equal(views[0], few[0])
    assert torch.equal(views[1:, 3:-2], few[0, 3:-2].expand(2, -1, -1))
    for view in views[1:]:
        assert not torch.equal(view[:3], few[0, :3])
        assert not torch.equal(view[-2:], few[0, -2:])
    pictures = draw_faces(generator, views)
    assert pictures.shape == (3, 3, 64, 64)
    assert not torch.equal(pictures[1], pictures[2])
    sheet = draw_people_sheet(generator, 2, 4, views=3)
    assert sheet.shape == (3, 2 * 64, 3 * 64)
    assert torch.allclose(sheet[:, :64, :64], draw_faces(generator, few[:1])[0], atol=1e-6)
    assert draw_people_sheet(generator, 5, 4).shape == (3, 3 * 64, 2 * 64)


def run(monkeypatch: pytest.MonkeyPatch, *arguments: object) -> None:
    monkeypatch.delenv("REFSTAR_DATA", raising=False)
    monkeypatch.setattr(sys, "argv", ["refstar-model", *map(str, arguments)])
    cli.main()


def test_the_commands_train_a_prior_and_draw_people(
    photos: PhotoSet, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("refstar_model.ganprior.params.SMALL", GANPRIOR)
    narrow = FaceAdversaryParams(CriticParams(512, 8, (8, 8, 8, 8, 8)))
    monkeypatch.setattr("refstar_model.ganprior.face_adversary.CriticParams", lambda: narrow.critic)
    out, sheet = tmp_path / "prior", tmp_path / "sheets/people.png"
    train = (
        "train",
        "ganprior",
        "--part",
        "prior",
        "--data",
        photos.roots[0],
        "--device",
        "cpu",
        "--batch",
        2,
    )
    back = tmp_path / "back"
    run(monkeypatch, *train, "--out", out, "--steps", 1, "--on-device", "--travel", back)
    tensors, about = read_parcel(back)
    assert about["done"] == 1
    assert {"rival/chance", "average/constant"} <= tensors.keys()
    run(monkeypatch, *train, "--out", back, "--steps", 2)
    assert "resuming at step 1 of 2" in capsys.readouterr().out
    run(monkeypatch, "sample", "ganprior", out / "weights.pt", "--out", sheet, "--count", 2, "--views", 2)
    assert "2 people, 2 views each, after 1 steps" in capsys.readouterr().out
    assert cv2.imread(str(sheet)).shape == (1024, 1024, 3)
    with pytest.raises(SystemExit, match="refstar has no prior that draws people"):
        run(monkeypatch, "sample", "refstar", out / "weights.pt", "--out", sheet)
    with pytest.raises(SystemExit, match="is missing"):
        run(monkeypatch, "sample", "ganprior", tmp_path / "none.pt", "--out", sheet)
    with pytest.raises(SystemExit, match=r"--truncation 2\.0 is not within 0 and 1"):
        run(monkeypatch, "sample", "ganprior", out / "weights.pt", "--out", sheet, "--truncation", 2)
