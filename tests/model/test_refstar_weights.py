"""Weights outlive changes of the network."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import refstar_service
import torch
from refstar_model.evaluation import FolderModel
from refstar_model.export.golden import golden_picture
from refstar_model.ganprior import params as ganprior
from refstar_model.ganprior.network import GanPrior
from refstar_model.refstar.export_view import view_network
from refstar_model.refstar.network import TINY, RefStar, Restoration
from refstar_model.refstar.params import BASE, SMALL, Attention, BackboneKind, RefStarParams, rest_on_prior
from refstar_model.refstar.weights import RENAMED, find_first_weights, load, migrate, upgrade

SHIPPED = Path(refstar_service.__file__).parent / "zoo/refstar"
BARE = replace(TINY, reach=0.0, refinement=0, reconstruction=0, gate=False)


def trained(params: RefStarParams) -> RefStar:
    torch.manual_seed(4)
    net = RefStar(params).eval()
    with torch.no_grad():
        for value in net.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    return net


def answer_face() -> torch.Tensor:
    return torch.rand(1, 3, 64, 64, generator=torch.Generator().manual_seed(5))


def answer(net: RefStar) -> Restoration:
    """With gray references: an alignment moves their colors at half size, so those of noise change without a move."""
    generator = torch.Generator().manual_seed(5)
    face = torch.rand(1, 3, 64, 64, generator=generator)
    references = torch.rand(1, 2, 1, 64, 64, generator=generator).expand(-1, -1, 3, -1, -1)
    with torch.no_grad():
        return net(face, references, net.encode(references), torch.tensor([[1.0, 0.5]]), torch.tensor([0.3]))


def saved(net: RefStar) -> dict[str, object]:
    return {"params": net.params.to_dict(), "step": 7, "weights": net.state_dict()}


def test_params_survive_a_file() -> None:
    for params in (SMALL, BASE, replace(TINY, backbone=BackboneKind.VQ, attention=Attention.JOINT)):
        assert RefStarParams.from_dict(params.to_dict()) == params


def test_a_file_of_the_first_version_loads_and_computes_the_same(tmp_path: Path) -> None:
    net = trained(BARE)
    with torch.no_grad():
        net.selection.evidence.weight.zero_()
    old_names = {new: old for old, new in RENAMED.items()}
    weights = {}
    for name, value in net.state_dict().items():
        part = next((p for p in old_names if name.startswith(p + ".")), None)
        weights[name if part is None else old_names[part] + name[len(part) :]] = value
    del weights["selection.evidence.weight"]
    assert "stem.weight" in weights
    assert not any(name.startswith(("backbone", "transfer.")) for name in weights)
    params = {k: v for k, v in BARE.to_dict().items() if k in list(BARE.to_dict())[:8]}
    torch.save({"params": params, "step": 7, "weights": weights}, tmp_path / "weights.pt")
    loaded, steps = load(tmp_path / "weights.pt")
    assert steps == 7
    assert torch.equal(answer(loaded).restored, answer(net).restored)


def test_new_parts_change_nothing_until_they_are_trained() -> None:
    net = trained(BARE)
    params = replace(TINY, gate=False)
    state = upgrade(saved(net), params)
    larger = RefStar(params).eval()
    larger.load_state_dict(state["weights"])
    assert torch.allclose(answer(larger).restored, answer(net).restored, atol=1e-4)
    displacement = answer(larger).displacement
    assert displacement is not None
    assert not displacement.any()


def test_a_new_gate_is_all_but_open() -> None:
    net = trained(BARE)
    gated = RefStar(TINY).eval()
    gated.load_state_dict(upgrade(saved(net), TINY)["weights"])
    assert torch.allclose(answer(gated).masks, answer(net).masks, atol=0.003)


def test_weights_that_would_be_lost_are_refused() -> None:
    state = saved(trained(TINY))
    with pytest.raises(ValueError, match=r"no place in the new network: .*trust"):
        upgrade(state, replace(TINY, attention=Attention.JOINT))
    with pytest.raises(ValueError, match="no place"):
        upgrade(state, replace(TINY, widths=(16, 16, 16)))


def test_weights_of_today_are_left_as_they_are() -> None:
    weights = trained(TINY).state_dict()
    assert migrate(weights) is weights


def test_base_is_wider_than_small() -> None:
    with torch.device("meta"):
        small, base = (sum(p.numel() for p in RefStar(params).parameters()) for params in (SMALL, BASE))
    assert 5e6 < small < 7e6 < 1.3 * small < base < 3 * small


def test_system_3_becomes_the_self_stream_of_a_network_that_was_trained_around_another(
    tmp_path: Path,
) -> None:
    net, prior = trained(TINY), GanPrior(ganprior.TINY).eval()
    with torch.no_grad():
        for value in prior.parameters():
            value.add_(torch.randn_like(value) * 0.1)
    start, stream = tmp_path / "start.pt", tmp_path / "prior.pt"
    torch.save(saved(net), start)
    torch.save({"params": ganprior.TINY.to_dict(), "step": 3, "weights": prior.state_dict()}, stream)
    params = rest_on_prior(TINY)
    joined = RefStar(params).eval()
    weights = find_first_weights(params, start, stream)
    assert weights is not None
    joined.load_state_dict(weights)
    face = torch.rand(1, 3, 64, 64)
    with torch.no_grad():
        assert torch.equal(joined.alone(face).picture, prior(face).picture)
        assert torch.equal(joined.gate.encoder(face), net.gate.encoder(face))
        assert torch.equal(answer(joined).self_stream, joined.alone(answer_face()).picture)
    for part in ("selection", "alignment", "reference_encoder"):
        ours, theirs = (getattr(one, part).state_dict() for one in (joined, net))
        assert all(torch.equal(value, theirs[name]) for name, value in ours.items())
    with pytest.raises(ValueError, match="is system 3, and the backbone is to be naf"):
        find_first_weights(TINY, start, stream)


def test_the_shipped_model_can_be_put_around_another_system_3(tmp_path: Path) -> None:
    params, stream, prior = rest_on_prior(SMALL), tmp_path / "prior.pt", GanPrior(SMALL.prior)
    torch.save({"params": SMALL.prior.to_dict(), "step": 3, "weights": prior.state_dict()}, stream)
    begun, shipped = (find_first_weights(params, SHIPPED, first) for first in (stream, None))
    assert begun is not None
    assert shipped is not None
    of_prior = prior.state_dict()
    for name, value in begun.items():
        part = name.removeprefix("backbone.")
        assert torch.equal(value, of_prior[part] if part != name else shipped[name]), name


def test_who_begins_at_the_shipped_model_is_told_to_name_its_self_stream() -> None:
    with pytest.raises(ValueError, match=r"a RefSTAR around system 3: .* \(--self-stream\)"):
        find_first_weights(SMALL, SHIPPED, None)


def test_training_can_begin_at_the_shipped_model() -> None:
    params = rest_on_prior(SMALL)
    weights = find_first_weights(params, SHIPPED, None)
    assert weights is not None
    net = RefStar(params).eval()
    net.load_state_dict(weights)
    views, graphs = view_network(net), FolderModel(SHIPPED)
    face = golden_picture(512)
    encoded = graphs.encode_reference(np.ascontiguousarray(face[:, ::-1]))
    assert views.encode_references is not None
    ours = views.encode_references.run({"references": torch.from_numpy(face[:, ::-1].copy())[None]})
    for name, value in encoded.items():
        assert np.allclose(ours[name].numpy(), value, rtol=1e-3, atol=1e-3), name
    answer = graphs.restore.run(
        {
            "low_quality": face[None],
            "fidelity": np.full(1, 0.5, np.float32),
            "reference_weight": np.ones((1, 1), np.float32),
            "gate_strength": np.ones(1, np.float32),
            **{name: value[None] for name, value in encoded.items()},
        }
    )
    given = {name: torch.from_numpy(value)[None] for name, value in encoded.items()}
    given |= {"low_quality": torch.from_numpy(face.copy())[None], "fidelity": torch.full((1,), 0.5)}
    said = views.restore.run({**given, "reference_weight": torch.ones(1, 1), "gate_strength": torch.ones(1)})
    assert np.abs(said["selection"].numpy().astype(int) - answer["selection"]).max() <= 1
    assert np.abs(said["restored"].numpy().astype(int) - answer["restored"]).max() <= 1


def test_a_part_can_be_left_out_of_a_trained_network(tmp_path: Path) -> None:
    net = trained(TINY)
    start, stream = tmp_path / "start.pt", tmp_path / "prior.pt"
    torch.save(saved(net), start)
    prior = GanPrior(ganprior.TINY)
    torch.save({"params": ganprior.TINY.to_dict(), "step": 3, "weights": prior.state_dict()}, stream)
    whole = find_first_weights(rest_on_prior(TINY), start, stream)
    left = find_first_weights(replace(rest_on_prior(TINY), reach=0.0, gate=False), start, stream)
    assert whole is not None
    assert left is not None
    gone = whole.keys() - left.keys()
    assert {name.split(".")[0] for name in gone} == {"alignment", "gate"}
    assert all(torch.equal(value, whole[name]) for name, value in left.items())
