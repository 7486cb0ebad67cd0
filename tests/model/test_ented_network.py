"""ENTED's parts: what is taken of a reference, what replaces features, what is left out in an ablation."""

import math
from dataclasses import replace

import pytest
import torch
from refstar_model.ented.agreement import measure_disagreement
from refstar_model.ented.detail import Detail
from refstar_model.ented.dictionary import Dictionary, DictionaryAutoencoder, measure_perplexity
from refstar_model.ented.dictionary_training import Usage
from refstar_model.ented.losses import attention_loss
from refstar_model.ented.network import Ented
from refstar_model.ented.params import TINY, EntedParams
from refstar_model.ented.references import ReferenceTextures
from refstar_model.ented.refinement import Asked, Refinement
from refstar_model.ented.textures import (
    Distributed,
    Preference,
    Sizes,
    TextureDistribution,
    TextureExtraction,
    Textures,
    mix_textures,
    move_textures,
    read_colors,
    share_selection,
)
from refstar_model.layers.reference_weights import share_references
from torch import Tensor
from torch.nn import functional as F

PARTS = ("dictionary", "refinement", "distribution", "residual")


def shaken(params: EntedParams = TINY) -> Ented:
    """In which nothing is at zero any more."""
    torch.manual_seed(0)
    net = Ented(params)
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn_like(value) * 0.05)
        net.gate.weigh.copy_(torch.tensor([0.0, 0.0, 9.0]))  # everybody passes
    return net.eval()


def encode(net: Ented, pictures: Tensor) -> ReferenceTextures:
    """pictures [B, R, 3, S, S]"""
    with torch.no_grad():
        encoded = net.encode(pictures.flatten(0, 1))
    return ReferenceTextures(*(x.unflatten(0, pictures.shape[:2]) for x in encoded))


def faces(*shape: int) -> Tensor:
    return torch.rand(*shape, 3, 64, 64, generator=torch.Generator().manual_seed(1))


def sizes(grid: int, cell: int = 1, density: int = 2) -> Sizes:
    width = 4 * cell**2 + 3 * (density * cell) ** 2
    return Sizes(
        grid,
        cell,
        density,
        reference_width=3,
        drawn_width=8,
        width=width,
        hidden=8,
        blocks=1,
        style=4,
    )


def test_a_texture_is_a_mean_of_its_reference_weighted_by_attention() -> None:
    torch.manual_seed(0)
    extraction, x = TextureExtraction(sizes(4)).eval(), torch.randn(2, 3, 4, 4)
    with torch.no_grad():
        extraction.home.rows[5], extraction.home.columns[5] = -60.0, -60.0
        extraction.home.rows[5, 2], extraction.home.columns[5, 1:3] = (
            0.0,
            0.0,
        )  # half of one place, half of the next
    pictures = torch.rand(2, 3, 32, 32)
    textures = extraction(x, pictures)
    assert textures.shape == (2, 16, 4 + 12)
    both = torch.cat([extraction.value(x), read_colors(pictures, 4, 2)], 1)
    assert torch.allclose(textures[:, 5], both[:, :, 2, 1:3].mean(2), atol=1e-6)


def test_the_colors_of_a_place_are_denser_than_the_grid() -> None:
    small = torch.rand(1, 3, 8, 8)
    colors = read_colors(F.interpolate(small, scale_factor=4.0), 4, 2)
    assert colors.shape == (1, 12, 4, 4)
    assert torch.allclose(F.pixel_shuffle(colors, 2) + 0.5, small, atol=1e-6)


@pytest.mark.parametrize(("cell", "density"), [(1, 2), (2, 2), (2, 4)])
def test_textures_are_moved_as_the_picture_that_they_are_of(cell: int, density: int) -> None:
    torch.manual_seed(0)
    of = sizes(16, cell, density)
    extraction = TextureExtraction(of).eval()
    # Each at home, exactly.
    with torch.no_grad():
        extraction.home.rows *= 9
        extraction.home.columns *= 9
    picture, features = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 16, 16)
    textures = extraction(features, picture).unsqueeze(1)
    assert torch.allclose(move_textures(textures, torch.zeros(1, 1, 2, 4, 4), of), textures, atol=1e-5)
    aside = torch.zeros(1, 1, 2, 4, 4)
    aside[:, :, 0] = 1 / 4  # each place sees what is a quarter of the width to its right
    moved = move_textures(textures, aside, of)
    wanted = extraction(features.roll(-4, 3), picture.roll(-16, 3)).unsqueeze(1)
    inside = torch.arange(of.places**2).unflatten(0, (of.places, of.places))[:, : of.places // 2].flatten()
    assert torch.allclose(moved[0, 0, inside], wanted[0, 0, inside], atol=1e-4)


def test_textures_begin_at_home() -> None:
    home = Preference(4)()
    assert home.shape == (16, 4, 4)
    assert home.flatten(1).argmax(1).tolist() == list(range(16))
    assert (Preference(4, nothing=True)()[16] == 0).all()


@pytest.mark.parametrize("cell", [1, 2])
def test_a_new_operator_brings_back_what_is_at_that_place(cell: int) -> None:
    torch.manual_seed(0)
    extraction, distribution = (
        make(sizes(16, cell)).eval() for make in (TextureExtraction, TextureDistribution)
    )
    picture = torch.rand(1, 3, 32, 32)
    textures = extraction(torch.rand(1, 3, 16, 16), picture)
    given = distribution(
        torch.zeros(1, 8, 16, 16),
        torch.zeros(1, 12, 16, 16),
        Textures(textures, torch.ones(1, 1, 1, 1)),
        torch.zeros(1, 2, 4),
    )
    assert given.share.shape == (1, 1, 16 // cell, 16 // cell)
    assert given.share.min() > 0.8
    taken = given.colors / given.share.mean() + 0.5
    assert (taken - picture).abs().max() < 0.06


def test_a_place_takes_of_textures_or_of_nothing_and_a_new_operator_changes_nothing() -> None:
    torch.manual_seed(0)
    distribution, x = TextureDistribution(sizes(4)), torch.randn(2, 8, 4, 4)
    textures = Textures(torch.randn(2, 16, 4 + 12), torch.ones(2, 1, 1, 1))
    shown, styles = torch.zeros(2, 12, 4, 4), torch.zeros(2, 2, 4)
    given = distribution(x, shown, textures, styles)
    assert torch.equal(given.features, x)
    assert given.share.shape == (2, 1, 4, 4)
    assert ((given.share > 0) & (given.share < 1)).all()
    with torch.no_grad():
        distribution.bring.weight.normal_()
        assert (distribution(x, shown, textures, styles).features - x).abs().max() > 1e-2
        distribution.choose.bias[-1] = 60.0
    assert torch.allclose(distribution(x, shown, textures, styles).features, x, atol=1e-6)


def test_new_detail_is_none_and_where_nothing_is_taken_there_is_none() -> None:
    torch.manual_seed(0)
    detail, low_quality = Detail(8, (4,)), torch.rand(2, 3, 64, 64)
    amount = torch.ones(2, 1, 16, 16)
    amount[:, :, :, 8:] = 0
    taken = Distributed(
        torch.randn(2, 8, 16, 16),
        torch.rand(2, 1, 4, 4),
        torch.randn(2, 3, 32, 32),
        torch.randn(2, 8, 16, 16),
        amount,
    )
    assert (detail(taken, low_quality) == 0).all()
    with torch.no_grad():
        detail.out.weight.normal_()
        added = detail(taken, low_quality)
    assert added.shape == (2, 1, 64, 64)  # no color
    assert added[..., :28].abs().mean() > 0.1
    assert (added[..., 40:] == 0).all()


def test_textures_of_several_references_are_mixed_by_their_shares_in_any_order() -> None:
    textures = torch.randn(1, 3, 4, 5)
    weight = torch.tensor([[1.0, 0.5, 0.0]])
    mixed = mix_textures(textures, share_references(weight), weight)
    assert torch.allclose(mixed.entries, (16 * textures[:, 0] + textures[:, 1]) / 17, atol=1e-6)
    assert mixed.weight.item() == 1
    order = [2, 0, 1]
    turned = weight[:, order]
    again = mix_textures(textures[:, order], share_references(turned), turned)
    assert torch.allclose(again.entries, mixed.entries, atol=1e-6)
    weight = torch.tensor([[0.5, 0.0, 0.0]])
    half = mix_textures(textures, share_references(weight), weight)
    assert torch.allclose(half.entries, textures[:, 0], atol=1e-6)
    assert half.weight.item() == 0.5


def test_what_speaks_against_a_reference_takes_from_its_share_and_never_all_from_all() -> None:
    weight = torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    against = torch.tensor([[300.0, 302.0, 1.0]]).repeat(3, 1)
    shares = share_references(weight, against)
    there = 1 / (1 + math.exp(-2))
    wanted = torch.tensor([[there, 1 - there, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 0.0]])
    assert torch.allclose(shares, wanted, atol=1e-6)


def test_of_several_references_the_one_that_looks_like_the_face_counts_most() -> None:
    torch.manual_seed(0)
    of = sizes(16, 2, 4)
    extraction = TextureExtraction(of).eval()
    with torch.no_grad():  # each at home, exactly
        extraction.home.rows *= 9
        extraction.home.columns *= 9
    truth, another = F.interpolate(torch.rand(2, 3, 8, 8), 64).split(1)
    # The same in another light, somebody between the two, and the other one.
    pictures = torch.cat([truth + 0.2, (3 * truth + another) / 4, another])
    textures = extraction(torch.rand(3, 3, 16, 16), pictures).unsqueeze(0)
    same, near, other = measure_disagreement(textures, truth, of)[0]
    assert same < 0.01
    assert 1 < near < other / 10
    assert share_references(torch.ones(1, 3), torch.stack([same, near, other])[None])[0, 0] > 0.7


def test_the_selection_says_who_gave_how_much() -> None:
    share = torch.full((1, 1, 2, 2), 0.8)
    weight = torch.tensor([[1.0, 1.0, 0.0]])
    taken = share_selection(share, share_references(weight), weight)
    assert torch.allclose(taken[0].mean((1, 2)), torch.tensor([0.4, 0.4, 0.0]))
    weight = torch.tensor([[0.5, 0.0, 0.0]])
    half = share_selection(share, share_references(weight), weight)
    assert torch.allclose(half[0].mean((1, 2)), torch.tensor([0.4, 0.0, 0.0]))


def test_without_weight_a_reference_says_nothing_at_all() -> None:
    net, low_quality = shaken(), faces(2)
    references = encode(net, faces(2, 3))
    with torch.no_grad():
        alone = net(low_quality)
        absent = net(low_quality, references, torch.zeros(2, 3))
        there = net(low_quality, references, torch.tensor([[1.0, 0.0, 0.0], [0.0, 0.0, 0.0]]))
    assert torch.equal(absent.picture, alone.picture)
    assert (there.picture[0] - alone.picture[0]).abs().max() > 1e-3
    assert torch.equal(there.picture[1], alone.picture[1])
    assert there.selection.shape == (2, 3, 16, 16)
    assert (there.selection[:, 1:] == 0).all()


def test_a_closed_gate_keeps_a_reference_out() -> None:
    net, low_quality = shaken(), faces(1)
    references = encode(net, faces(1, 1))
    with torch.no_grad():
        net.gate.weigh.copy_(torch.tensor([0.0, 0.0, -60.0]))
        kept_out = net(low_quality, references, torch.ones(1, 1))
        assert torch.allclose(kept_out.picture, net(low_quality).picture, atol=1e-5)


def test_style_codes_ask_only_who_is_there() -> None:
    torch.manual_seed(0)
    refinement = Refinement(TINY)
    with torch.no_grad():
        refinement.answer.weight.normal_()
    width, places = TINY.drawn[2], TINY.grids[2] ** 2
    latent = torch.randn(1, width, TINY.grids[2], TINY.grids[2])
    keys, values = torch.randn(2, 1, 2, TINY.base.style, places)
    codes = refinement(latent, None)
    assert codes.shape == (1, TINY.styles, TINY.base.style)
    assert torch.equal(refinement(latent, Asked(keys, values, torch.zeros(1, 2))), codes)
    first = refinement(latent, Asked(keys, values, torch.tensor([[1.0, 0.0]])))
    assert (first - codes).abs().max() > 1e-3
    other = torch.cat([keys[:, :1], torch.randn_like(keys[:, 1:])], 1)
    assert torch.allclose(
        refinement(latent, Asked(other, values, torch.tensor([[1.0, 0.0]]))), first, atol=1e-5
    )


def test_every_place_gets_a_word_of_the_dictionary() -> None:
    torch.manual_seed(0)
    dictionary = Dictionary(TINY).eval()
    features = torch.randn(2, TINY.base.widths[2], 4, 4)
    words = dictionary.words.codes
    replaced = dictionary(features)
    indices = dictionary.words.nearest(replaced.codes)
    assert torch.allclose(replaced.latent, dictionary.from_code(words[indices].permute(0, 3, 1, 2)))
    assert not words.requires_grad


def test_the_code_loss_is_least_at_the_wanted_word() -> None:
    torch.manual_seed(0)
    dictionary = Dictionary(TINY)
    wanted = torch.randint(TINY.codes, (1, 4, 4))
    at_word = dictionary.words.look_up(wanted).detach()
    near = dictionary.code_loss(at_word, wanted)
    assert near < dictionary.code_loss(at_word + 0.3, wanted) < dictionary.code_loss(-at_word, wanted)


def test_words_that_nobody_uses_begin_again_among_the_features() -> None:
    torch.manual_seed(0)
    module = DictionaryAutoencoder(TINY)
    usage = Usage(module)
    with torch.no_grad():
        module.words.codes[3:] += 100.0  # out of reach
        features = module.look(faces(4))
        code = module.words(features)
    usage.count(code.indices, features)
    assert measure_perplexity(usage.counts) <= 3
    assert usage.revive() >= TINY.codes - 3
    assert (module.words.codes.abs() < 20).all()
    assert usage.counts.sum() == 0


def test_perplexity_counts_words_in_use() -> None:
    assert measure_perplexity(torch.tensor([5, 5, 5, 0])) == pytest.approx(3)
    assert measure_perplexity(torch.tensor([9, 0, 0, 0])) == pytest.approx(1)


def test_the_attention_loss_asks_for_like_places() -> None:
    torch.manual_seed(0)
    net, truth = Ented(TINY), faces(2)
    references = ReferenceTextures(*(x.unsqueeze(1) for x in net.encode(truth)))
    taken = net(truth, references, torch.ones(2, 1)).distributed.values()
    helped = torch.tensor([True, False])
    assert float(attention_loss(taken, truth, helped).detach()) < 0.01
    other = torch.stack([truth[0] + 0.2, truth[1]])
    assert float(attention_loss(taken, other, helped).detach()) > 0.15
    assert attention_loss(taken, other, ~helped) < 0.01
    assert attention_loss(taken, other, helped & False) == 0


@pytest.mark.parametrize("part", PARTS)
def test_every_part_can_be_left_out(part: str) -> None:
    params = replace(TINY, **{part: False})
    net, low_quality = shaken(params), faces(1)
    references = encode(net, faces(1, 1))
    with torch.no_grad():
        result = net(low_quality, references, torch.ones(1, 1))
    assert result.picture.shape == low_quality.shape
    assert (result.codes is None) == (part == "dictionary")
    assert (not result.distributed) == (part == "distribution")
    assert EntedParams.from_dict(params.to_dict()) == params


def test_a_new_network_draws_what_its_backbone_does_whatever_the_reference() -> None:
    torch.manual_seed(0)
    net, low_quality = Ented(TINY).eval(), faces(1)
    with torch.no_grad():
        for value in net.backbone.parameters():
            value.add_(torch.randn_like(value) * 0.05)
        own = net.backbone(low_quality).picture
        assert (own - low_quality).abs().max() > 1e-3
        assert torch.equal(net(low_quality).picture, own)
        given = net(low_quality, encode(net, faces(1, 1)), torch.ones(1, 1))
        assert torch.allclose(given.picture, own, atol=1e-6)
        assert given.selection.mean() > 0.5  # it looks at textures already, and says nothing of them yet


def test_only_what_is_new_is_trained() -> None:
    for params, is_fixed in ((TINY, True), (replace(TINY, residual=False), False)):
        net = Ented(params)
        net.fix()
        trained = {name.split(".")[0] for name, value in net.named_parameters() if value.requires_grad}
        assert "gate" not in trained
        assert ("backbone" not in trained) == is_fixed
        assert {"references", "refinement", "distributions", "dictionary"} <= trained
        assert not net.dictionary.words.codes.requires_grad
