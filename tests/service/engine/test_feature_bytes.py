"""Features that leave the process and come back, perhaps damaged."""

import numpy as np
import pytest
from refstar_service.engine.feature_bytes import from_bytes, to_bytes
from refstar_service.engine.feature_cache import FeatureCache

FEATURES = {
    "features_fine": np.random.default_rng(1).standard_normal((4, 8, 8)).astype(np.float32),
    "features_picture": np.arange(192, dtype=np.uint8).reshape(3, 8, 8),
}


def test_what_comes_back_is_what_left_bit_for_bit() -> None:
    back = from_bytes(to_bytes(FEATURES))
    assert back is not None
    assert back.keys() == FEATURES.keys()
    for name, array in FEATURES.items():
        assert back[name].dtype == array.dtype
        assert np.array_equal(back[name], array)


@pytest.mark.parametrize("cut", [0, 10, 100, 1000, -1])
def test_a_part_is_nothing(cut: int) -> None:
    assert from_bytes(to_bytes(FEATURES)[:cut]) is None


def test_a_changed_digit_is_noticed() -> None:
    data = bytearray(to_bytes(FEATURES))
    data[data.index(FEATURES["features_fine"].tobytes()[:16]) + 5] ^= 1
    assert from_bytes(bytes(data)) is None


def test_nothing_in_it_is_executed() -> None:
    objects = to_bytes({"features": np.array([print], object)})
    assert from_bytes(objects) is None
    assert from_bytes(b"\x80\x04K*.") is None


def test_what_is_dropped_leaves_its_room_in_the_cache() -> None:
    cache = FeatureCache(10_000)
    cache.put("a", FEATURES)
    cache.drop("a")
    cache.drop("never there")
    assert (cache.get("a"), cache.used_bytes) == (None, 0)
