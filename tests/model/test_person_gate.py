"""The person gate, the evidence that the selection sees, and what both learn from."""

import pytest
import torch
from refstar_model.refstar.losses import Target
from refstar_model.refstar.mask_labels import gate_loss, mask_loss
from refstar_model.refstar.network import Restoration
from refstar_model.refstar.person_gate import PersonGate, gated
from refstar_model.refstar.selection import SelectionHead, evidence


def faces(count: int, seed: int = 0) -> torch.Tensor:
    return torch.randn(count, 6, 8, 8, generator=torch.Generator().manual_seed(seed))


@pytest.fixture
def gate() -> PersonGate:
    torch.manual_seed(0)
    return PersonGate(6, 6, 8, hidden=8, size=16).eval()


def test_a_new_gate_lets_everybody_pass(gate: PersonGate) -> None:
    logits = gate(faces(2), faces(6).unflatten(0, (2, 3)))
    assert logits.shape == (2, 3)
    assert gated(torch.ones(2, 3), logits).min() > 0.99


def test_the_gate_learns_who_is_who(gate: PersonGate) -> None:
    people, noise = faces(4), torch.Generator().manual_seed(1)
    right = torch.tensor([[True, False]] * 4)
    present = torch.ones(4, 2, dtype=torch.bool)
    for _ in range(25):
        own = people + 0.1 * torch.randn(4, 6, 8, 8, generator=noise)
        loss = gate_loss(gate(own, torch.stack([people, people.roll(1, 0)], 1)), present, right)
        # By hand: the optimizers' import costs more than all the rest of this module.
        for value, slope in zip(
            gate.parameters(), torch.autograd.grad(loss, list(gate.parameters())), strict=True
        ):
            value.data -= 0.02 * slope.sign()
    trust = gated(torch.ones(4, 2), gate(people, torch.stack([people, people.roll(1, 0)], 1)))
    assert trust[:, 0].min() > 0.8
    assert trust[:, 1].max() < 0.2


def test_every_reference_is_judged_alone_whatever_the_company(gate: PersonGate) -> None:
    with torch.no_grad():
        gate.weigh.weight.normal_()
    own, references = faces(2), faces(6, 1).unflatten(0, (2, 3))
    together = gate(own, references)
    assert torch.allclose(gate(own, references.flip(1)), together.flip(1), atol=1e-5)
    assert torch.allclose(gate(own[:1], references[:1, 1:2]), together[:1, 1:2], atol=1e-5)


def test_the_gate_loss_weighs_right_and_wrong_people_alike() -> None:
    gate, present = torch.full((4, 1), 6.0), torch.ones(4, 1, dtype=torch.bool)
    one_wrong = torch.tensor([[True], [True], [True], [False]])
    assert gate_loss(gate, present, one_wrong) == pytest.approx(3.0, abs=0.01)
    assert gate_loss(gate, present & one_wrong, one_wrong) < 0.01
    assert gate_loss(gate, torch.zeros_like(present), one_wrong) == 0


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
