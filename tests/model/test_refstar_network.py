"""What the RefSTAR network promises whatever its weights are."""

from dataclasses import replace

import pytest
import torch
from drawn_net import draw_net
from refstar_model.layers.color import luminance
from refstar_model.layers.fidelity import apply_fidelity
from refstar_model.layers.pyramid import collapse, down, laplacian, up
from refstar_model.refstar.network import TINY, ReferenceFeatures, RefStar, Restoration
from refstar_model.refstar.params import Attention, BackboneKind
from refstar_model.refstar.reconstruction import Reconstruction
from refstar_model.refstar.transfer import compete

VARIANTS = {
    "naf": TINY,
    "vq": replace(TINY, backbone=BackboneKind.VQ),
    "gan prior": replace(TINY, backbone=BackboneKind.GAN_PRIOR),
    "joint softmax": replace(TINY, attention=Attention.JOINT),
    "no attention": replace(TINY, attention=Attention.NONE),
    "bare": replace(TINY, reach=0.0, refinement=0, reconstruction=0, gate=False),
}


@pytest.fixture(params=VARIANTS)
def net(request: pytest.FixtureRequest) -> RefStar:
    torch.manual_seed(1)
    net = RefStar(VARIANTS[request.param]).eval()
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    return net


def restore(
    net: RefStar, references: torch.Tensor, weight: torch.Tensor, fidelity: float = 0.5
) -> Restoration:
    low_quality = torch.rand(len(references), 3, 64, 64, generator=torch.Generator().manual_seed(2))
    with torch.no_grad():
        features = net.encode(references)
        return net(low_quality, references, features, weight, torch.full((len(references),), fidelity))


def pictures(count: int, batch: int = 2) -> torch.Tensor:
    return torch.rand(batch, count, 3, 64, 64, generator=torch.Generator().manual_seed(3))


def test_without_a_reference_the_result_is_the_self_stream(net: RefStar) -> None:
    result = restore(net, pictures(1), torch.zeros(2, 1))
    assert torch.equal(result.restored, result.self_stream)
    assert not result.masks.any()


def test_the_content_of_an_absent_reference_does_not_matter(net: RefStar) -> None:
    references = pictures(2)
    other = references.clone()
    other[:, 1] = 0
    weight = torch.tensor([[1.0, 0.0]] * 2)
    assert torch.equal(restore(net, references, weight).restored, restore(net, other, weight).restored)


def test_the_order_of_references_does_not_matter(net: RefStar) -> None:
    references = pictures(8)
    weight = torch.tensor([[1.0, 0.5, 0.0, 0.2, 0.9, 0.7, 1.0, 0.1]] * 2)
    forward = restore(net, references, weight)
    backward = restore(net, references.flip(1), weight.flip(1))
    largest = float(forward.restored.abs().max())  # up to 80, with such weights
    rounding = 1e-5 * max(10.0, largest)
    assert torch.allclose(forward.restored, backward.restored, atol=rounding)
    assert torch.allclose(forward.masks, backward.masks.flip(1), atol=1e-5)


def test_the_same_reference_twice_counts_once(net: RefStar) -> None:
    if net.params.attention is Attention.JOINT:
        pytest.skip("with one softmax a reference given twice has twice the keys")
    references = pictures(1)
    once = restore(net, references, torch.ones(2, 1))
    twice = restore(net, references.repeat(1, 2, 1, 1, 1), torch.ones(2, 2))
    assert torch.allclose(once.restored, twice.restored, atol=1e-5)


def test_a_mask_of_one_takes_the_bands_of_the_reference(net: RefStar) -> None:
    with torch.no_grad():
        net.selection.position.fill_(100.0)
        if net.params.gate:
            net.gate.weigh.copy_(torch.tensor([0.0, 0.0, 100.0]))
        if net.params.reconstruction:  # what it adds to the blend is not asked about here
            silence(net.reconstruction)
    references = pictures(1)
    result = restore(net, references, torch.ones(2, 1))
    bands = net.params.bands
    low_pass = result.self_stream - collapse(laplacian(result.self_stream, bands))
    assert result.aligned is not None
    wanted = low_pass + collapse(laplacian(result.aligned[:, 0], bands))
    assert torch.allclose(result.restored, wanted, atol=1e-4)
    if not net.params.reach:
        assert torch.equal(result.aligned, references)


def silence(net: Reconstruction) -> None:
    for conv in (net.luminance, net.color, net.choose_finest, net.choose_fine):
        for value in conv.parameters():
            value.zero_()


def test_what_is_drawn_has_no_finer_color_than_a_quarter_of_the_side() -> None:
    torch.manual_seed(1)
    net, face = Reconstruction(4, 8, 3, 4).eval(), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn_like(value) * 0.1)
        # Of pictures that are all the same there is nothing to choose.
        grids = torch.randn(2, 16, 16, 16), torch.rand(2, 3, 16, 16)
        added = net(face.repeat(1, 4, 1, 1), *grids, torch.rand(2))
    color = added - luminance(added)
    assert color.abs().mean() > 0.01
    assert (color - up(up(down(down(color))))).abs().mean() < 0.25 * color.abs().mean()
    assert (added - up(down(added))).abs().mean() > 0.1 * added.abs().mean()


@pytest.mark.parametrize("of", ["references", "self stream"])
def test_an_open_mask_puts_the_bands_of_what_it_chooses_in_the_place_of_the_blends(of: str) -> None:
    torch.manual_seed(1)
    net, (blend, own, low_quality, references) = (
        Reconstruction(4, 8, 3, 4).eval(),
        torch.rand(4, 2, 3, 64, 64),
    )
    with torch.no_grad():
        silence(net)
        for conv in (net.choose_finest, net.choose_fine):
            assert conv.bias is not None
            conv.bias[0 if of == "references" else 1 :: 2] = 9.0
        pictures = torch.cat([blend, own, low_quality, references], 1)
        added = net(pictures, torch.randn(2, 16, 16, 16), torch.rand(2, 3, 16, 16), torch.rand(2))
    chosen = references if of == "references" else own
    bands = laplacian(chosen - blend, 4)
    gray = [luminance(band).expand_as(band) for band in bands[:2]]  # fine color stays as it is
    assert torch.allclose(added, collapse([*gray, *bands[2:]]), atol=1e-4)


def test_the_nearer_to_the_input_the_less_is_added_once_it_has_been_learned() -> None:
    net = draw_net(TINY).eval()

    def forward(fidelity: float) -> torch.Tensor:
        return restore(net, pictures(1), torch.ones(2, 1), fidelity).restored

    net.reconstruction.forward = lambda *_: torch.full((2, 3, 64, 64), 0.5)  # type: ignore[method-assign]
    added = {fidelity: forward(fidelity) for fidelity in (0.5, 1.0)}
    net.reconstruction.forward = lambda *_: torch.zeros(2, 3, 64, 64)  # type: ignore[method-assign]
    added = {fidelity: picture - forward(fidelity) for fidelity, picture in added.items()}
    assert 0 < added[1.0].mean() < 0.5 * added[0.5].mean()
    assert added[0.5].max() <= 0.5 * 0.6 + 1e-3


def test_the_reconstruction_sees_the_reference_of_which_most_is_taken_and_no_mean_of_several() -> None:
    net = draw_net(replace(TINY, reach=0.0))
    seen: list[torch.Tensor] = []
    net.reconstruction.register_forward_pre_hook(lambda _, given: seen.append(given[0][:, 9:]))
    references = pictures(2)
    result = restore(net, references, torch.tensor([[1.0, 0.5]] * 2))
    assert (result.masks[:, 0].mean((1, 2, 3)) > 3 * result.masks[:, 1].mean((1, 2, 3))).all()
    [given] = seen
    assert (given - references[:, 0]).abs().max() < 0.02
    assert (references.mean(1) - references[:, 0]).abs().mean() > 0.1
    restore(net, references[:, :1], torch.tensor([[0.01]] * 2))
    assert torch.allclose(
        seen[1], references[:, 0], atol=1e-6
    )  # alone it is seen as it is, however little is taken


def test_half_the_strength_takes_half_the_mask() -> None:
    trust = torch.rand(2, 1, 4, 8, 8)
    full, half = compete(trust, torch.ones(2, 1)), compete(trust, torch.full((2, 1), 0.5))
    assert torch.allclose(full, trust, atol=1e-4)
    assert torch.allclose(half, full / 2, atol=1e-4)


def test_competing_masks_never_add_up_to_more_than_the_best() -> None:
    trust, weight = torch.rand(3, 8, 4, 8, 8), torch.rand(3, 8)
    masks = compete(trust, weight)
    best = (trust * weight[..., None, None, None]).amax(1)
    assert (masks.sum(1) <= best + 1e-6).all()
    assert (masks >= 0).all()


def test_a_face_alone_is_drawn_as_one_whose_references_are_absent(net: RefStar) -> None:
    references, low_quality = pictures(2), torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        features = net.encode(references)
        absent = net(low_quality, references, features, torch.zeros(2, 2), torch.full((2,), 0.5))
        alone = net.alone(low_quality)
    assert torch.allclose(alone.picture, absent.self_stream, atol=1e-5)


def test_the_best_reference_gives_nearly_all_and_the_others_what_it_cannot() -> None:
    trust = torch.full((1, 2, 1, 4, 4), 0.8)
    trust[:, 1] = 0.7
    trust[:, 0, :, 0, 0] = 0.01
    masks = compete(trust, torch.ones(1, 2))
    assert masks[0, 0, 0, 1:].min() > 0.79
    assert masks[0, 1, 0, 1:].max() < 0.01
    assert masks[0, 1, 0, 0, 0] > 0.69
    assert compete(trust, torch.tensor([[0.5, 1.0]]))[0, 1].min() > 0.69
    assert not compete(trust, torch.zeros(1, 2)).any()


def test_skipping_the_finest_band_is_the_half_size_picture(net: RefStar) -> None:
    references = pictures(1)
    low_quality = torch.rand(2, 3, 64, 64)
    with torch.no_grad():
        features: ReferenceFeatures = net.encode(references)
        knobs = torch.ones(2, 1), torch.full((2,), 0.5)
        whole = net(low_quality, references, features, *knobs)
        half = net(low_quality, references, features, *knobs, skip=1)
    assert torch.allclose(down(whole.self_stream), half.self_stream, atol=1e-6)
    assert half.restored.shape[-1] == 32


def test_a_picture_is_its_bands_and_its_low_pass() -> None:
    picture = torch.rand(2, 3, 64, 64)
    low = picture
    for _ in range(3):
        low = down(low)
    for _ in range(3):
        low = up(low)
    assert torch.allclose(collapse(laplacian(picture, 3)) + low, picture, atol=1e-5)


def test_fidelity_half_changes_nothing_and_one_goes_to_the_input() -> None:
    restored, low_quality = torch.rand(1, 3, 64, 64), torch.rand(1, 3, 64, 64)
    assert torch.equal(apply_fidelity(restored, low_quality, torch.tensor([0.5])), restored)
    nearer = apply_fidelity(restored, low_quality, torch.tensor([1.0]))
    assert (nearer - low_quality).abs().mean() < (restored - low_quality).abs().mean()


def test_the_reference_gets_gradients_through_the_mask_but_not_the_self_stream(net: RefStar) -> None:
    net.train()
    references = pictures(1)
    features = net.encode(references)
    result = net(torch.rand(2, 3, 64, 64), references, features, torch.ones(2, 1), torch.full((2,), 0.5))
    result.restored.square().mean().backward()
    assert net.selection.out.weight.grad is not None
    assert net.selection.out.weight.grad.abs().sum() > 0
    # The blend must not train S, nor may the picture train the field.
    trained = {name.rpartition(".")[0] for name, value in net.named_parameters() if value.grad is not None}
    assert "backbone.decoder.to_picture" not in trained
    assert not any(name.startswith(("alignment", "refinement")) for name in trained)


def test_the_code_backbone_learns_its_dictionary_and_to_predict_it() -> None:
    torch.manual_seed(2)
    net = RefStar(VARIANTS["vq"]).train()
    truth = torch.nn.functional.interpolate(torch.rand(4, 3, 8, 8), size=64, mode="bilinear")
    low_quality, nobody = down(down(truth)), torch.zeros(4, 1)
    low_quality = up(up(low_quality))
    references = torch.zeros(4, 1, 3, 64, 64)
    optimizer = torch.optim.Adam(net.parameters(), 3e-3)
    before, after = dict[str, float](), dict[str, float]()
    for _ in range(15):
        result = net(low_quality, references, net.encode(references), nobody, torch.full((4,), 0.5))
        parts = net.backbone.losses(result.codes, truth)
        parts["self"] = (result.self_stream - truth).abs().mean()
        optimizer.zero_grad()
        torch.stack(list(parts.values())).sum().backward()
        optimizer.step()
        after = {name: float(value.detach()) for name, value in parts.items()}
        before = before or after
    assert set(after) == {"autoencoder", "codes", "self"}
    assert all(after[name] < 0.95 * before[name] for name in after), (before, after)


def test_the_code_backbone_takes_truths_of_half_size() -> None:
    net = RefStar(VARIANTS["vq"])
    logits = torch.randn(1, 16, 4, 4)
    assert all(loss.isfinite() for loss in net.backbone.losses(logits, torch.rand(1, 3, 32, 32)).values())
