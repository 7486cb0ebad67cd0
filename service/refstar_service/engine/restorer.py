"""Crops in, crops out: aligned faces with their references through a model's graphs.

Faces of different jobs share a batch. A face's result does not depend on its batch-mates: faces are grouped by the
bucket of their *own* number of references, and padding rows are never looked at.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from refstar_service.engine.feature_cache import FeatureCache, Features
from refstar_service.engine.manifest import ModelManifest
from refstar_service.engine.refusal import ModelRefused
from refstar_service.engine.session import Provider, Session

Pixels = NDArray[np.uint8]


@dataclass(frozen=True, eq=False)
class ReferencePicture:
    """An aligned reference whose features are not known yet; ``key`` names its content."""

    key: str
    pixels: Pixels  # [S, S, 3] RGB


@dataclass(frozen=True, eq=False)
class FaceTask:
    """One face to restore. References are pictures, or features that the cache gave out."""

    low_quality: Pixels  # [S, S, 3] RGB
    references: tuple[ReferencePicture | Features, ...]
    reference_strength: float  # 0..1
    fidelity: float  # 0..1


@dataclass(frozen=True, eq=False)
class RestoredFace:
    """``finite`` False: the net gave no usable numbers and ``pixels`` must not be shown to anybody."""

    pixels: Pixels  # [S, S, 3] RGB
    selection: NDArray[np.uint8]  # [references, g, g], 255 = all taken from this reference
    finite: bool


class FaceRestorer(Protocol):
    """What the worker needs of a model."""

    @property
    def encoder(self) -> str:
        """Names what the features come from, and changes when they would: features of one encoder fit no other. "" if
        the model takes no references."""

    def cached(self, key: str) -> Features | None: ...

    def remember(self, key: str, features: Features) -> bool: ...

    def forget(self, key: str) -> None: ...

    def encode(self, pictures: Sequence[ReferencePicture]) -> list[Features]: ...

    def restore(self, tasks: Sequence[FaceTask]) -> list[RestoredFace]: ...


class Restorer:
    """A model folder on a provider. Not thread-safe but for the cache: one thread restores and encodes."""

    def __init__(
        self,
        manifest: ModelManifest,
        provider: Provider = Provider.CPU,
        *,
        threads: int = 0,
        max_batch: int = 8,
        cache_bytes: int = 256 * 2**20,
        engine_cache: Path | None = None,
    ) -> None:
        """Verify hashes and load; raises ModelRefused or ProviderUnavailable. ``warm_up`` is not called here."""
        manifest.verify()
        # Buckets are powers of two, and only whole buckets are warmed.
        self.manifest, self.max_batch = manifest, 1 << (max_batch.bit_length() - 1)
        self.provider = provider
        self._restore = Session(manifest.path("restore"), provider, threads=threads, cache=engine_cache)
        self._encode = None
        if "encode_references" in manifest.graphs:
            self._encode = Session(
                manifest.path("encode_references"), provider, threads=threads, cache=engine_cache
            )
        self._features = [name for name in self._restore.inputs if name.startswith("features_")]
        self.cache = FeatureCache(cache_bytes)
        self._absent = {
            name: np.zeros([int(d) for d in self._restore.inputs[name][2:]], self._restore.dtype(name))
            for name in self._features
        }

    def warm_up(self) -> None:
        """Run the buckets once, largest first, and compare with the manifest's golden answer.

        On a CPU nothing is tuned per shape, so there one face is enough and the worker is ready seconds earlier.

        Raises ModelRefused when this machine does not compute what the exporter measured.
        """
        size = self.manifest.input_size
        face = golden_picture(size)
        buckets = [1] if self.provider is Provider.CPU else _powers_of_two(self.max_batch)
        for batch in reversed(buckets):
            faces = self.restore(
                [FaceTask(face, (ReferencePicture("golden", face[:, ::-1]),), 1.0, 0.5)] * batch
            )
        wanted = self.manifest.golden.get("block_means")
        if wanted is not None:
            found = block_means(faces[0].pixels)
            worst = float(np.abs(found - np.asarray(wanted)).max())
            if not worst <= float(self.manifest.golden["tolerance"]):
                raise ModelRefused(
                    f"{self.manifest.label}: the golden picture differs by {worst:.1f} levels, "
                    f"allowed {self.manifest.golden['tolerance']}; this provider computes something else"
                )

    def cached(self, key: str) -> Features | None:
        """Features of a reference that was seen before. Whoever holds them keeps them alive past eviction."""
        return self.cache.get(key)

    @property
    def encoder(self) -> str:
        """The SHA-256 of the graph, and what runs it: a provider's arithmetic is its own."""
        if self._encode is None:
            return ""
        return f"{self.manifest.graphs['encode_references'].sha256}-{self.provider}"

    def remember(self, key: str, features: Features) -> bool:
        """Keep features that were encoded elsewhere; False if they are not such as this model takes."""
        fit = self._encode is not None and {
            name: (array.shape, array.dtype) for name, array in features.items()
        } == {name: (array.shape, array.dtype) for name, array in self._absent.items()}
        if fit:
            self.cache.put(key, features)
        return fit

    def forget(self, key: str) -> None:
        """What was remembered under this key is no longer."""
        self.cache.drop(key)

    def encode(self, pictures: Sequence[ReferencePicture]) -> list[Features]:
        """Features of references, which are remembered from now on. Raises ValueError if the model takes none."""
        encoded = self._encoded({picture.key: picture.pixels for picture in pictures})
        return [encoded[picture.key] for picture in pictures]

    def restore(self, tasks: Sequence[FaceTask]) -> list[RestoredFace]:
        """Restore all tasks, in order. Raises ValueError for more references than the model takes."""
        for task in tasks:
            if len(task.references) > self.manifest.max_references:
                raise ValueError(
                    f"{len(task.references)} references, {self.manifest.label} takes {self.manifest.max_references}"
                )
        features = self._encode_missing(tasks)
        groups: dict[int, list[int]] = {}
        for index, task in enumerate(tasks):
            groups.setdefault(_bucket(max(1, len(task.references))), []).append(index)
        results: dict[int, RestoredFace] = {}
        for count, indices in groups.items():
            for start in range(0, len(indices), self.max_batch):
                chunk = indices[start : start + self.max_batch]
                faces = self._run([tasks[i] for i in chunk], [features[i] for i in chunk], count)
                results.update(zip(chunk, faces, strict=True))
        return [results[i] for i in range(len(tasks))]

    def _encode_missing(self, tasks: Sequence[FaceTask]) -> list[list[Features]]:
        """Features of all references of all tasks; each unknown picture is encoded once."""
        fresh: dict[str, Pixels] = {}
        for reference in (r for task in tasks for r in task.references):
            if isinstance(reference, ReferencePicture):
                fresh.setdefault(reference.key, reference.pixels)
        encoded = self._encoded(fresh)
        return [
            [encoded[r.key] if isinstance(r, ReferencePicture) else r for r in task.references]
            for task in tasks
        ]

    def _encoded(self, fresh: Mapping[str, Pixels]) -> dict[str, Features]:
        encoded: dict[str, Features] = {}
        for key, pixels in fresh.items():
            if self._encode is None:
                raise ValueError(f"{self.manifest.label} takes no references")
            # One at a time: the features of a reference must not depend on what else was asked in that moment.
            outputs = self._encode.run({"references": pixels[None]})
            encoded[key] = {name: outputs[name][0] for name in self._features}
            self.cache.put(key, encoded[key])
        return encoded

    def _run(self, tasks: list[FaceTask], features: list[list[Features]], count: int) -> list[RestoredFace]:
        rows = _bucket(len(tasks))
        size = self.manifest.input_size
        low_quality = np.zeros((rows, size, size, 3), np.uint8)
        weight = np.zeros((rows, count), np.float32)
        fidelity = np.full(rows, 0.5, np.float32)
        for row, task in enumerate(tasks):
            low_quality[row] = task.low_quality
            weight[row, : len(task.references)] = task.reference_strength
            fidelity[row] = task.fidelity
        inputs: dict[str, NDArray[Any]] = {"low_quality": low_quality, "fidelity": fidelity}
        if self._features:
            inputs["reference_weight"] = weight
        for name in self._features:
            stacked = np.empty((rows, count, *self._absent[name].shape), self._absent[name].dtype)
            for row in range(rows):
                own = features[row] if row < len(tasks) else []
                for column in range(count):
                    stacked[row, column] = own[column][name] if column < len(own) else self._absent[name]
            inputs[name] = stacked
        outputs = self._restore.run(inputs)
        selection = outputs.get("selection")
        return [
            RestoredFace(
                outputs["restored"][row],
                selection[row, : len(task.references)]
                if selection is not None
                else np.zeros((0, 1, 1), np.uint8),
                bool(outputs["finite"][row]),
            )
            for row, task in enumerate(tasks)
        ]


def golden_picture(size: int) -> Pixels:
    """A picture that any machine can draw: smooth waves with an edge, so that every layer has something to do."""
    axis = np.arange(size) / size
    x, y = np.meshgrid(axis, axis)
    waves = [127 + 90 * np.sin(2 * np.pi * (f * x + g * y)) for f, g in ((3, 1), (2, 5), (7, 4))]
    picture = np.stack(waves, -1)
    picture[size // 3 : size // 2, size // 4 : size // 2] = 230
    rounded: Pixels = np.rint(picture).astype(np.uint8)
    return rounded


def block_means(pixels: Pixels, blocks: int = 8) -> NDArray[np.float64]:
    """Mean level of each block and channel: [blocks * blocks * 3]."""
    step = pixels.shape[0] // blocks
    means: NDArray[np.float64] = (
        pixels.reshape(blocks, step, blocks, step, 3).mean((1, 3), np.float64).reshape(-1)
    )
    return means


def _bucket(count: int) -> int:
    """The next power of two: shapes stay few, so memory and tuning are bounded."""
    return 1 << (count - 1).bit_length()


def _powers_of_two(most: int) -> list[int]:
    return [1 << i for i in range(most.bit_length())]
