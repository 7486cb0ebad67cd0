"""References never change, so what the encoder says of them is kept: bounded bytes, least recently used out first."""

import threading
from collections import OrderedDict
from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

#: Encoder outputs of one reference by name, without the batch dimension.
Features = Mapping[str, NDArray[Any]]


def size_in_bytes(features: Features) -> int:
    return sum(array.nbytes for array in features.values())


class FeatureCache:
    """Thread-safe. What is larger than the whole cache is not kept."""

    def __init__(self, max_bytes: int) -> None:
        self.max_bytes = max_bytes
        self.used_bytes = 0
        self.hits = 0
        self.misses = 0
        self._entries: OrderedDict[str, Features] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Features | None:
        with self._lock:
            features = self._entries.get(key)
            if features is None:
                self.misses += 1
                return None
            self.hits += 1
            self._entries.move_to_end(key)
            return features

    def drop(self, key: str) -> None:
        with self._lock:
            dropped = self._entries.pop(key, None)
            if dropped is not None:
                self.used_bytes -= size_in_bytes(dropped)

    def put(self, key: str, features: Features) -> None:
        size = size_in_bytes(features)
        if size > self.max_bytes:
            return
        with self._lock:
            old = self._entries.pop(key, None)
            if old is not None:
                self.used_bytes -= size_in_bytes(old)
            self._entries[key] = features
            self.used_bytes += size
            while self.used_bytes > self.max_bytes:
                _, dropped = self._entries.popitem(last=False)
                self.used_bytes -= size_in_bytes(dropped)
