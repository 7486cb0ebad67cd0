"""Photographs packed to travel: what went in comes out, and nothing less."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from pictures import psnr
from refstar_model.data.inventory import describe_photos
from refstar_model.data.pack import PackError, open_pack, open_photos, write_pack
from refstar_model.data.photos import DataError, PhotoSet


@pytest.fixture
def pack(photos: PhotoSet, tmp_path: Path) -> Path:
    write_pack(photos, tmp_path / "pack", shard_bytes=41_000)
    return tmp_path / "pack"


def test_a_pack_holds_the_same_photographs(photos: PhotoSet, pack: Path) -> None:
    packed = open_photos([pack])
    assert packed.photos == photos.photos
    assert packed.pairs == photos.pairs
    for photo in photos.photos:
        assert np.array_equal(packed.read_sharpest(photo.file), photos.read_sharpest(photo.file))
    sharp = next(p for p in photos.photos if p.sharp_at_512)
    assert psnr(packed.read(sharp.file, 256), photos.read(sharp.file, 256)) > 25
    assert describe_photos(packed) == describe_photos(photos)


def test_no_shard_is_larger_than_asked(pack: Path) -> None:
    sizes = [shard.stat().st_size for shard in pack.glob("*.tar")]
    assert len(sizes) > 1
    assert max(sizes) <= 41_000


def test_synthetic_faces_stay_at_home(photos: PhotoSet, tmp_path: Path) -> None:
    first, *others = photos.photos
    write_pack(replace(photos, photos=(replace(first, synthetic=True), *others)), tmp_path / "pack")
    packed = open_pack(tmp_path / "pack")
    assert packed.photos == tuple(others)
    assert all(first.file not in (pair.first, pair.second) for pair in packed.pairs)


def test_pictures_coded_anew_are_smaller_and_nearly_the_same(photos: PhotoSet, tmp_path: Path) -> None:
    before = sum(f.stat().st_size for f in write_pack(photos, tmp_path / "as-they-are"))
    after = sum(f.stat().st_size for f in write_pack(photos, tmp_path / "anew", quality=90))
    assert after < before
    packed = open_pack(tmp_path / "anew")
    for photo in photos.photos:
        assert psnr(packed.read_sharpest(photo.file), photos.read_sharpest(photo.file)) > 30


def test_a_damaged_shard_is_named(pack: Path) -> None:
    shard = pack / "shard-1.tar"
    data = bytearray(shard.read_bytes())
    data[600] ^= 1
    shard.write_bytes(data)
    with pytest.raises(PackError, match=r"shard-1\.tar: not the bytes that pack\.json names"):
        open_pack(pack)


def test_a_missing_shard_is_named(pack: Path) -> None:
    (pack / "shard-0.tar").unlink()
    with pytest.raises(PackError, match=r"shard-0\.tar is missing"):
        open_pack(pack)


def test_an_index_that_is_not_one_is_refused(pack: Path) -> None:
    index = json.loads((pack / "pack.json").read_text())
    (pack / "pack.json").write_text(json.dumps(index | {"format": 9}))
    with pytest.raises(PackError, match="format 9, not 1"):
        open_pack(pack)
    (pack / "pack.json").write_text("{")
    with pytest.raises(PackError, match="cannot be read"):
        open_pack(pack)


def test_a_photograph_that_no_shard_holds_is_missed(pack: Path) -> None:
    index = json.loads((pack / "pack.json").read_text())
    index["photos"].append(index["photos"][0] | {"file": "nowhere.png"})
    (pack / "pack.json").write_text(json.dumps(index))
    with pytest.raises(PackError, match=r"1 photographs of pack\.json are in no shard, nowhere\.png first"):
        open_pack(pack)


def test_a_pack_is_never_written_over_another(photos: PhotoSet, pack: Path) -> None:
    with pytest.raises(DataError, match="exists"):
        write_pack(photos, pack)


def test_a_pack_stands_alone(photos: PhotoSet, pack: Path) -> None:
    with pytest.raises(DataError, match="stands alone"):
        open_photos([pack, *photos.roots])
