"""The person gate, the evidence that the selection sees, and what they learn from."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from refstar_model.data.mixed_faces import FaceMix, MixedFaces
from refstar_model.data.photos import FolderStore, Kind, Photo, PhotoSet
from refstar_model.judges.recognition import Recognizer
from refstar_model.layers.person_gate import (
    Judgment,
    PersonGate,
    apply_gate,
    compare_sides,
    gate_loss,
    judge_references,
)
from refstar_model.refstar.mask_labels import mask_loss
from refstar_model.refstar.network import TINY, RefStar, RefStarParams, Restoration
from refstar_model.refstar.person_training import (
    PersonTraining,
    fit_gate,
    hold_out_people,
    measure_outputs,
    train_person,
)
from refstar_model.refstar.selection import SelectionHead, evidence
from refstar_model.refstar.target import Target
from refstar_model.refstar.weights import load
from refstar_model.training import LoopParams, Run


def faces(count: int, seed: int = 0) -> torch.Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def gate() -> PersonGate:
    torch.manual_seed(0)
    gate = PersonGate(TINY.of_gate).eval()
    for value in gate.encoder.parameters():
        torch.nn.init.normal_(value, std=0.2)
    return gate


def trained(gate: PersonGate) -> PersonGate:
    with torch.no_grad():
        gate.weigh.copy_(torch.tensor([3.0, -0.5, -1.0]))
    return gate


def people(gate: PersonGate, references: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        return gate.encoder(references.flatten(0, 1)).unflatten(0, references.shape[:2])


def test_a_new_gate_lets_everybody_pass(gate: PersonGate) -> None:
    judgment = gate(faces(2), people(gate, faces(6).unflatten(0, (2, 3))))
    assert judgment.same.shape == (2, 3)
    assert torch.equal(judgment.side, torch.ones(2, 3))
    assert apply_gate(torch.ones(2, 3), judgment).min() > 0.99


def test_the_strength_leads_from_the_full_weight_to_the_gates_own_bit_for_bit() -> None:
    weight, same, side = (
        torch.tensor([row]).repeat(3, 1) for row in ([1.0, 0.7, 0.0], [-3.1, 0.4, 6.0], [1.0, 0.25, 0.5])
    )
    judgment = Judgment(same, side)
    none, half, all_of_it = apply_gate(weight, judgment, torch.tensor([0.0, 0.5, 1.0]))
    assert torch.equal(none, weight[0])
    assert torch.equal(all_of_it, apply_gate(weight, judgment)[0])
    assert all_of_it[1] == pytest.approx(0.7 * 0.25 * torch.sigmoid(torch.tensor(0.4)).item())
    assert torch.allclose(half, (none + all_of_it) / 2)


def test_references_are_judged_by_the_degraded_face_and_by_the_restored_one(gate: PersonGate) -> None:
    with torch.no_grad():
        gate.weigh.copy_(torch.tensor([0.02, 0.0, 0.1]))
    own, references = faces(1), people(gate, faces(3, 1)[None])
    pixels = (faces(1, 2) * 255).round().to(torch.uint8).permute(0, 2, 3, 1)
    weight = torch.tensor([[1.0, 0.2, 0.0]])
    same, like = judge_references(gate, gate(own, references).same, pixels, references, weight)
    seen = pixels.permute(0, 3, 1, 2).float() / 255
    for judged, face in ((same, own), (like, seen)):
        assert torch.equal(judged[:, :2], torch.sigmoid(gate(face, references).same)[:, :2])
        assert judged[0, 2] == 0, "there is no reference"
    assert not torch.equal(same, like)


def test_the_gate_weighs_direction_by_how_much_is_seen(gate: PersonGate) -> None:
    trained(gate)
    own = torch.nn.functional.normalize(torch.randn(1, 16, generator=torch.Generator().manual_seed(0)))
    other = own.roll(1, 1)
    references = torch.stack([own[0], 5 * own[0], other[0], 0 * own[0]])[None]
    seen, hidden = (gate.compare(share * own, references)[0].detach() for share in (1.0, 0.1))
    assert seen[0] == pytest.approx(3.0 - 0.5 - 1.0, abs=1e-4)
    assert seen[1] == pytest.approx(
        float(seen[0]), abs=1e-4
    )  # how long a reference's vector is does not matter
    assert seen[0] > seen[2]
    assert 0 < hidden[0] - hidden[2] < 0.2 * (seen[0] - seen[2])
    assert seen.isfinite().all()


def test_every_reference_is_judged_alone_whatever_the_company(gate: PersonGate) -> None:
    trained(gate)
    own, references = faces(2), people(gate, faces(6, 1).unflatten(0, (2, 3)))
    with torch.no_grad():
        gate.turn[:, 0] = 1.2 / (references[0, 0] - gate.encoder(own)[0]).square().sum().sqrt() / 4
    together = gate(own, references)
    flipped, alone = gate(own, references.flip(1)), gate(own[:1], references[:1, 1:2])
    for every, other, one in zip(together, flipped, alone, strict=True):
        assert torch.allclose(other, every.flip(1), atol=1e-5)
        assert torch.allclose(one, every[:1, 1:2], atol=1e-5)
    assert together.side.min() < 0.99


def test_a_reference_from_another_side_counts_a_quarter(gate: PersonGate) -> None:
    with torch.no_grad():
        gate.turn[3, 0] = gate.turn[4, 1] = 1.0
    front = torch.randn(1, 16, generator=torch.Generator().manual_seed(0))
    left, right, little = front.clone(), front.clone(), front.clone()
    left[0, 3:5] += torch.tensor([1.7, 1.7])
    right[0, 3:5] += torch.tensor([1.7, -1.7])
    little[0, 3:5] += 0.3
    references = torch.stack([front[0], 2 * front[0] - little[0], left[0], right[0]])[None]
    for own, sides in (
        (front, (1, 1, 0.25, 0.25)),
        (left, (0.25, 0.25, 1, 0.25)),
        (right, (0.25, 0.25, 0.25, 1)),
    ):
        assert compare_sides(own, references, gate.turn)[0].tolist() == pytest.approx(sides, abs=0.03)


def test_the_encoder_sees_the_same_at_any_size(gate: PersonGate) -> None:
    small = faces(2)
    large = small.repeat_interleave(2, 2).repeat_interleave(2, 3)
    assert torch.allclose(gate.encoder(small), gate.encoder(large), atol=1e-5)


def test_the_gate_loss_weighs_right_and_wrong_people_alike() -> None:
    gate = torch.full((4, 1), 6.0)
    one_wrong = torch.tensor([[True], [True], [True], [False]])
    assert gate_loss(gate, one_wrong) == pytest.approx(3.0, abs=0.01)
    assert gate_loss(gate[:3], one_wrong[:3]) < 0.01
    assert gate_loss(-gate, ~one_wrong) == pytest.approx(3.0, abs=0.01)


def test_evidence_tells_agreement_conflict_and_missing_detail() -> None:
    picture = torch.rand(1, 1, 64, 64, generator=torch.Generator().manual_seed(0))
    same = evidence(picture, picture, 3, 16)
    assert same.shape == (1, 6, 16, 16)
    assert same[:, :3].min() > 0.99
    assert same[:, 3:].abs().max() < 0.01
    opposite = evidence(picture, 1 - picture, 3, 16)
    assert opposite[:, :3].max() < 0
    smooth = evidence(torch.full_like(picture, 0.5), picture, 3, 16)
    assert smooth[:, 3:].min() > 0.5


def test_untrained_evidence_changes_nothing_and_trained_evidence_does() -> None:
    torch.manual_seed(0)
    head = SelectionHead(8, 8, 3, 4, 16)
    torch.nn.init.normal_(head.out.weight)
    y, reference = torch.rand(1, 8, 16, 16), torch.rand(1, 2, 8, 16, 16)
    difference, own, knob = torch.rand(1, 2, 3, 64, 64) - 0.5, torch.rand(1, 3, 64, 64), torch.full((1,), 0.5)
    blind = head(y, reference, difference, knob)
    assert torch.equal(head(y, reference, difference, knob, own), blind)
    torch.nn.init.normal_(head.evidence.weight)
    assert not torch.allclose(head(y, reference, difference, knob, own), blind, atol=1e-3)


def result(trust: torch.Tensor) -> Restoration:
    picture = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    return Restoration(picture, picture, trust, torch.sigmoid(trust))


def target(right: bool, label: torch.Tensor | None = None, confidence: torch.Tensor | None = None) -> Target:
    yes = torch.ones(1, 1, dtype=torch.bool)
    truth = torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(1))
    return Target(truth, yes, yes & right, torch.full((1,), 0.5), label, confidence)


def test_labels_teach_the_mask_where_they_are_sure() -> None:
    label, confidence = torch.zeros(1, 1, 3, 16, 16), torch.zeros(1, 1, 3, 16, 16)
    label[..., :8], confidence[..., :12] = 1, 1
    trust = (label * 20 - 10).requires_grad_()
    references = torch.rand(1, 1, 3, 64, 64)
    loss = mask_loss(result(trust), target(True, label, confidence), references)
    assert loss < 1e-3
    opposite = (-trust).detach().requires_grad_()
    loss = mask_loss(result(opposite), target(True, label, confidence), references)
    loss.backward()
    assert loss > 5
    assert opposite.grad is not None
    assert not opposite.grad[..., 12:].any()


def test_a_wrong_person_is_not_taken_whatever_the_label_says() -> None:
    ones = torch.ones(1, 1, 3, 16, 16)
    references = torch.rand(1, 1, 3, 64, 64)
    trusting, refusing = result(ones * 10), result(ones * -10)
    for given in (target(False, ones, ones), target(False, ones, ones * 0), target(False)):
        assert mask_loss(refusing, given, references) < 1e-3
        assert mask_loss(trusting, given, references) > 5


def test_without_confidence_the_correlation_stands_in() -> None:
    references = torch.rand(1, 1, 3, 64, 64)
    trust = torch.zeros(1, 1, 3, 16, 16)
    weak = mask_loss(result(trust), target(True), references)
    ones = torch.ones_like(trust)
    assert mask_loss(result(trust), target(True, ones, ones * 0), references) == weak


class Colors(torch.nn.Module):
    """An encoder that knows people by the color of their skin and of their hair."""

    def forward(self, pictures: torch.Tensor) -> torch.Tensor:
        middle, top = (0.5 - pictures[..., r, 96:160].mean((2, 3)) for r in (slice(130, 150), slice(45, 60)))
        return torch.cat([middle, top], 1)


def test_the_gate_is_fitted_to_people_that_the_encoder_does_not_know(
    gate: PersonGate, photos: PhotoSet
) -> None:
    how = PersonTraining(held_out=3, views=3)
    people = photos.split("train")
    held = hold_out_people(people, 3)
    assert held < {p.person for p in people.photos}
    gate.encoder = Colors()  # type: ignore[assignment]
    fit_gate(gate, people, held, how)
    shown = [p for p in people.photos if p.person in held]
    pictures = torch.stack(
        [torch.from_numpy(photos.read(p.file, 256)).permute(2, 0, 1) for p in shown]
    ).float()
    with torch.no_grad():
        logits = gate.compare(own := gate.encoder(pictures / 255), own.expand(len(shown), -1, -1))
    same = torch.tensor([[a.person == b.person for b in shown] for a in shown])
    assert logits[same].min() > 0 > logits[~same].max()


def test_pairs_that_weigh_nothing_say_nothing() -> None:
    logits, right = torch.tensor([4.0, -4.0, 4.0, -4.0]), torch.tensor([True, True, False, False])
    kind = gate_loss(logits, right, torch.tensor([1.0, 0.0, 0.0, 1.0]))
    assert kind < 0.1 < 1 < gate_loss(logits, right)
    assert gate_loss(logits, right, torch.full((4,), 0.01)) == pytest.approx(float(gate_loss(logits, right)))


def new_weights(path: Path, params: RefStarParams) -> dict[str, torch.Tensor]:
    """Those of a new net of 7 steps, written to ``path``."""
    weights = RefStar(params).state_dict()
    torch.save({"params": params.to_dict(), "step": 7, "weights": weights}, path)
    return weights


def test_only_the_gate_is_trained_and_the_rest_is_kept(
    photos: PhotoSet, recognizer: Recognizer, tmp_path: Path
) -> None:
    params = replace(TINY, person=8)
    before = new_weights(start := tmp_path / "weights.pt", params)
    loop = LoopParams(steps=2, learning_rate=1e-2, warmup=1, average=0.5)
    how = PersonTraining(loop, batch=2, held_out=2, views=1)
    net, steps = load(train_person(photos, recognizer, how, Run(tmp_path / "out", start=start)))
    assert steps == 7
    changed = {name for name, value in net.state_dict().items() if not torch.equal(value, before[name])}
    assert {"gate.weigh", "gate.encoder.out.weight"} <= changed
    assert all(name.startswith("gate.") for name in changed)
    new_weights(start, replace(params, gate=False))
    with pytest.raises(ValueError, match="no person gate"):
        train_person(photos, recognizer, how, Run(tmp_path / "out", start=start))


def test_training_begins_at_the_gate_that_the_net_has(
    photos: PhotoSet, recognizer: Recognizer, tmp_path: Path
) -> None:
    before = new_weights(start := tmp_path / "weights.pt", replace(TINY, person=8))
    how = PersonTraining(
        LoopParams(steps=1, learning_rate=0.0, warmup=1), batch=2, held_out=2, views=1, seed=3
    )
    net, _ = load(train_person(photos, recognizer, how, Run(tmp_path / "out", start=start)))
    encoder = {n: v for n, v in net.state_dict().items() if n.startswith("gate.encoder.")}
    encoder = {n: v for n, v in encoder.items() if ".out." not in n}  # brought to where people are told apart
    assert encoder
    assert all(torch.equal(value, before[name]) for name, value in encoder.items())
    people = photos.split("train")
    held = hold_out_people(people, how.held_out)
    taught = replace(people, photos=tuple(p for p in people.photos if p.person not in held))
    assert (
        measure_outputs(net.gate.encoder, taught).mean.abs().max() < 1e-4
    )  # in the space of its own vectors


def test_mixed_faces_repeat_with_the_seed_and_are_seen_badly(photos: PhotoSet) -> None:
    drawn, again = (next(iter(MixedFaces(photos, 6, seed=1, side=64))) for _ in range(2))
    sharp, seen = drawn.sharp, drawn.seen
    assert torch.equal(sharp, again.sharp)
    assert torch.equal(seen, again.seen)
    assert sharp.shape == (6, 3, 256, 256)
    assert seen.shape == (6, 3, 64, 64)
    originals = torch.stack([torch.from_numpy(photos.read(p.file, 256)) for p in photos.photos])
    apart = (sharp.permute(0, 2, 3, 1)[:, None].float() - originals[None].float()).abs().mean((2, 3, 4))
    assert apart.amin(1).max() > 10  # at least one of them is nobody's


def test_only_heads_seen_from_the_same_side_are_mixed() -> None:
    class Colored(FolderStore):
        """Who is seen from the front is red, who has turned is blue."""

        def read(self, photo: Photo, size: int) -> NDArray[np.uint8]:
            picture = np.zeros((size, size, 3), np.uint8)
            picture[..., 0 if photo.kind is Kind.FRONT else 2] = 255
            return picture

    sides = {"front": 0.0, "turned": 0.5}
    several = tuple(
        Photo(f"{side}{i}", f"{side}{i}", "train", True, "CC0", yaw=yaw)
        for i in range(2)
        for side, yaw in sides.items()
    )
    mix = FaceMix(mixed=1.0, ghost=1.0, grey=0.0)
    batch = next(iter(MixedFaces(PhotoSet(several, (), Colored({})), 24, seed=1, side=64, mix=mix)))
    red, _, blue = batch.sharp.float().mean((2, 3)).T
    assert (torch.minimum(red, blue) < 30).all()
    assert (red > 100).any()
    assert (blue > 100).any()
