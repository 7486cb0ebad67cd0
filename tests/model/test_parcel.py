"""Checkpoints that travel: small, whole or refused."""

from pathlib import Path

import pytest
import torch
from refstar_model.training.parcel import ParcelError, halve, read_parcel, write_parcel
from torch import Tensor


def some() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {
        "weight": torch.randn(40, 30, 3, 3),
        "moment": torch.rand(40, 30) * 1e-9,  # fp16 would make nothing of it
        "large": torch.tensor([1e6, 1.0]),
        "steps": torch.tensor(12),
        "empty": torch.zeros(3),
    }


def test_halves_keep_three_digits_whatever_their_size() -> None:
    for name, value in some().items():
        back = halve(value).to(value.dtype)
        assert torch.allclose(back, value, rtol=2**-8, atol=0), name
    assert halve(some()["weight"]).dtype is torch.float16
    assert halve(some()["moment"]).dtype is torch.bfloat16
    assert halve(some()["steps"]).dtype is torch.int64


def test_what_was_sent_arrives(tmp_path: Path) -> None:
    files = write_parcel(some(), {"done": 7, "best": None}, tmp_path, part_bytes=16_000)
    assert len(files) > 2
    assert all(file.stat().st_size < 24_000 for file in files)
    tensors, about = read_parcel(tmp_path)
    assert about == {"done": 7, "best": None}
    assert list(tensors) == list(some())
    for name, value in some().items():
        assert tensors[name].dtype is value.dtype
        assert torch.equal(tensors[name], halve(value).to(value.dtype))


def test_a_new_parcel_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    write_parcel(some(), {"done": 1}, tmp_path)
    write_parcel({"weight": torch.ones(2)}, {"done": 2}, tmp_path)
    tensors, about = read_parcel(tmp_path)
    assert (list(tensors), about) == (["weight"], {"done": 2})
    assert len(list(tmp_path.iterdir())) == 2


def test_a_part_that_is_missing_or_damaged_is_named(tmp_path: Path) -> None:
    part = write_parcel(some(), {}, tmp_path)[0]
    data = bytearray(part.read_bytes())
    data[len(data) // 2] ^= 1
    part.write_bytes(data)
    with pytest.raises(ParcelError, match=rf"{part.name}: not the bytes"):
        read_parcel(tmp_path)
    part.unlink()
    with pytest.raises(ParcelError, match=rf"{part.name} is missing"):
        read_parcel(tmp_path)
    (tmp_path / "parcel.json").unlink()
    with pytest.raises(ParcelError, match="cannot be read"):
        read_parcel(tmp_path)
