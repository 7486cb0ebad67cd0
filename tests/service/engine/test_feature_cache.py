import numpy as np
from refstar_service.engine.feature_cache import FeatureCache, Features


def features(kilobytes: int) -> Features:
    return {"a": np.zeros(kilobytes * 1024, np.uint8)}


def test_the_least_recently_used_goes_first() -> None:
    cache = FeatureCache(3 * 1024)
    for key in "abc":
        cache.put(key, features(1))
    cache.get("a")
    cache.put("d", features(1))
    assert [key for key in "abcd" if cache.get(key) is not None] == ["a", "c", "d"]


def test_the_bytes_stay_bounded_and_exact() -> None:
    cache = FeatureCache(10 * 1024)
    for i in range(50):
        cache.put(str(i % 7), features(1 + i % 4))
        assert cache.used_bytes <= 10 * 1024
    held = [cache.get(str(i)) for i in range(7)]
    assert cache.used_bytes == sum(f["a"].nbytes for f in held if f is not None)


def test_what_is_larger_than_the_cache_is_not_kept() -> None:
    cache = FeatureCache(1024)
    cache.put("small", features(1))
    cache.put("large", features(2))
    assert cache.get("large") is None
    assert cache.get("small") is not None


def test_hits_and_misses_are_counted() -> None:
    cache = FeatureCache(4096)
    cache.get("a")
    cache.put("a", features(1))
    cache.get("a")
    assert (cache.hits, cache.misses) == (1, 1)
