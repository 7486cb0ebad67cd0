"""Where people are told apart, whichever side they are seen from."""

import torch
from refstar_model.layers.person_gate import PersonEncoder, compare_sides
from refstar_model.refstar.network import TINY
from refstar_model.refstar.person_space import enter_outputs, measure_space, measure_turn, move_outputs


def test_what_differs_between_photographs_of_one_person_counts_less() -> None:
    generator = torch.Generator().manual_seed(3)
    people = [f"person {i // 4}" for i in range(80)]
    who = torch.randn(20, 32, generator=generator).repeat_interleave(4, 0)
    # The last number says how far the head is turned, and nothing of the person.
    vectors = who + 0.1 * torch.randn(80, 32, generator=generator)
    vectors[:, 7] = 12 * torch.randn(80, generator=generator)
    space = measure_space(vectors, people)
    same = torch.tensor([[a == b for b in people] for a in people])
    itself = torch.eye(80, dtype=torch.bool)

    def nearest_is_the_same(of: torch.Tensor) -> float:
        unit = torch.nn.functional.normalize(of, dim=1)
        nearest = (unit @ unit.T).masked_fill(itself, -2).argmax(1)
        return float(same[torch.arange(80), nearest].float().mean())

    assert nearest_is_the_same(vectors) < 0.8
    assert nearest_is_the_same(space.enter(vectors)) > 0.95
    assert torch.allclose(space.enter(vectors).mean(0), torch.zeros(32), atol=1e-5)


def test_where_nobody_has_two_photographs_the_space_is_only_moved() -> None:
    vectors = torch.randn(5, 8, generator=torch.Generator().manual_seed(3))
    space = measure_space(vectors, list("abcde"))
    assert torch.allclose(space.enter(vectors), vectors - vectors.mean(0))
    twice = measure_space(vectors[[0, 0, 1]], list("aab"))  # the same photograph, twice
    assert torch.equal(twice.matrix, torch.eye(8))


def test_an_encoder_of_another_space_begins_in_this_one() -> None:
    torch.manual_seed(4)
    encoder = PersonEncoder(TINY.of_gate).eval()
    pictures = torch.rand(60, 3, 64, 64)
    turn, move = torch.randn(TINY.person, TINY.person), torch.randn(TINY.person)
    with torch.no_grad():
        seen = encoder(pictures)
        wanted = seen @ turn + move
        move_outputs(encoder, seen, wanted)
        got = encoder(pictures)
    assert (got - wanted).square().mean() < 0.01 * (wanted - wanted.mean(0)).square().mean()


def test_an_encoder_gives_its_vectors_in_the_space_that_was_measured_of_them() -> None:
    torch.manual_seed(4)
    encoder = PersonEncoder(TINY.of_gate).eval()
    pictures = torch.rand(12, 3, 64, 64)
    with torch.no_grad():
        seen = encoder(pictures)
        space = measure_space(seen, list("aabbccddeeff"))
        enter_outputs(encoder, space)
        got = encoder(pictures)
    assert (space.matrix - torch.eye(TINY.person)).abs().max() > 0.1
    assert torch.allclose(got, space.enter(seen), atol=1e-5)


def test_vectors_tell_how_far_a_head_is_turned_and_to_which_side() -> None:
    generator = torch.Generator().manual_seed(3)
    yaw = torch.tensor([0.0, 0.05, 0.3, 0.5, 1.2, 1.8]).repeat(40)
    side = torch.randint(0, 2, (240,), generator=generator) * 2.0 - 1
    turned = (yaw / 0.5).clamp(max=1)
    who = torch.randn(240, 16, generator=generator) * 0.05
    seen, mirrored = who.clone(), who.clone()
    seen[:, 2] += turned
    mirrored[:, 2] += turned
    seen[:, 5] += turned * side
    mirrored[:, 5] -= turned * side
    turn = measure_turn(seen, mirrored, yaw)
    apart = compare_sides(seen[:1], seen[None], turn)[0]  # the first head is seen from the front
    assert apart[turned < 0.2].min() > 0.9
    assert apart[turned == 1].max() < 0.3
    left, right = seen[(turned == 1) & (side < 0)], seen[(turned == 1) & (side > 0)]
    assert compare_sides(left[:1], left[None], turn).min() > 0.7
    assert compare_sides(left[:1], right[None], turn).max() < 0.26


def test_where_no_head_is_turned_all_are_seen_from_one_side() -> None:
    vectors = torch.randn(12, 16, generator=torch.Generator().manual_seed(3))
    assert not measure_turn(vectors, vectors.roll(1, 1), torch.full((12,), 0.1)).any()
