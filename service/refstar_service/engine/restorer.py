"""Crops in, crops out: aligned faces with their references through a model's graphs.

Faces of different jobs share a batch. A face's result does not depend on its batch-mates: faces are grouped by the
places that their *own* references take, and padding rows are never looked at.
"""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from refstar_service.engine.bindings import KEPT_BYTES, KEPT_BYTES_ON_GPU, Arrays, Bindings, Turns
from refstar_service.engine.buckets import Ceiling, buckets_to
from refstar_service.engine.casting import LEAST_SHARE
from refstar_service.engine.cores import available_cpus
from refstar_service.engine.crowd import Crowd, Graphs
from refstar_service.engine.errors import ModelError
from refstar_service.engine.feature_cache import FeatureCache, Features
from refstar_service.engine.manifest import ModelManifest
from refstar_service.engine.provider import GpuOptions, Precision, Provider
from refstar_service.engine.session import give_back_memory
from refstar_service.engine.session_loader import FEATURES, SessionLoader, SharedSessions, choose_precision
from refstar_service.engine.staged import ReadyFace, RestoredFace, RestoringGraph, StagedFaces

Pixels = NDArray[np.uint8]

CACHE_BYTES = 256 * 2**20  # of a cache that is not shared


@dataclass(frozen=True, eq=False)
class ReferencePicture:
    """An aligned reference whose features are not known yet; ``key`` names its content."""

    key: str
    pixels: Pixels  # [S, S, 3] RGB


@dataclass(frozen=True, eq=False)
class FaceTask:
    """One face to restore. References are pictures, or features that the cache gave out.

    ``people``: for each reference, the number of the person whom it shows; empty if that is not said. Of several
    people, the face gets the references of the one whom it shows, or none. ``gate_strength``: how much it counts that a
    reference may show somebody else; 0: it is used all the same. For models that judge that.
    """

    low_quality: Pixels  # [S, S, 3] RGB
    references: tuple[ReferencePicture | Features, ...]
    reference_strength: float  # 0..1
    fidelity: float  # 0..1
    people: tuple[int, ...] = ()
    gate_strength: float = 1.0  # 0..1


class StagedBatch(Protocol):
    """Faces that were put together and uploaded, and wait for their turn. It ends once, by either."""

    def compute(self) -> list[RestoredFace]: ...

    def discard(self) -> None: ...


class FaceRestorer(Protocol):
    """What the worker needs of a model."""

    @property
    def encoder(self) -> str:
        """Names what the features come from, and changes when they would: features of one encoder fit no other. "" if
        the model takes no references."""

    def recall(self, key: str) -> Features | None: ...

    def remember(self, key: str, features: Features) -> bool: ...

    def forget(self, key: str) -> None: ...

    def encode(self, pictures: Sequence[ReferencePicture]) -> list[Features]: ...

    def stage(self, tasks: Sequence[FaceTask]) -> StagedBatch: ...

    def restore(self, tasks: Sequence[FaceTask]) -> list[RestoredFace]: ...


class Restorer:
    """A model folder on a provider.

    Thread-safe. While one thread computes, another may ``stage`` what comes next; ``at_once`` of them may compute.
    """

    def __init__(
        self,
        manifest: ModelManifest,
        provider: Provider = Provider.CPU,
        *,
        threads: int = 0,
        max_batch: int = 8,
        cache: FeatureCache | None = None,
        precision: Precision = Precision.FP32,
        gpu: GpuOptions = GpuOptions(),  # noqa: B008  a frozen value
        at_once: int = 1,
        turns: Turns | None = None,
        sessions: SharedSessions | None = None,
    ) -> None:
        """Verify hashes and load; raises ModelError or ProviderError. ``warm_up`` is not called here.

        ``cache``: what is remembered of references, for all models that share it; None: one of its own. ``precision``:
        a folder that has no graph for it runs in fp32. ``threads``: of one inference, or of ``at_once`` together.
        ``turns``: shared by all models on one device, for ``at_once`` inferences at a time. ``sessions``: of all models
        of a process, which then load once what they have in common.
        """
        manifest.verify()
        precision = choose_precision(manifest, precision)
        self.manifest, self.provider, self.precision = manifest, provider, precision
        self.ceiling = Ceiling(max_batch)
        threads = threads or available_cpus()
        loader = SessionLoader(
            manifest, provider, precision, gpu, threads, self.ceiling.value, sessions or SharedSessions()
        )
        turns = turns or Turns(at_once)
        share = replace(loader, threads=max(1, threads // at_once))
        self._crowd = Crowd(self._load_graphs(loader, turns), lambda: self._load_later(share, turns), at_once)
        self._absent = self._crowd.alone.restoring.absent
        self._encoder = ""
        if self._crowd.alone.encoding is not None:
            self._encoder = f"{manifest.identity(loader.graph('encode_references'))}-{provider}"
            if precision is not Precision.FP32:
                self._encoder += f"-{precision}"  # they are kept as the restoring graph takes them
        self.cache = FeatureCache(CACHE_BYTES) if cache is None else cache
        # For the other faces of the same job, which come in turns of their own; it goes with the job.
        self._at_hand: WeakKeyDictionary[ReferencePicture, Features] = WeakKeyDictionary()

    def warm_up(self) -> None:
        """Run the buckets, largest first, and compare with the manifest's golden answer.

        On a CPU nothing is tuned per shape, so there one face is enough and the worker is ready seconds earlier. On a
        GPU this is also where a ceiling that does not fit into its memory comes down.

        Raises ModelError when this machine does not compute what the exporter measured.
        """
        face = golden_picture(self.manifest.input_size)
        alone = FaceTask(face, (), 1.0, 0.5)
        if self._crowd.alone.encoding is None:
            self._warm_up(alone, "block_means")
            return
        self._warm_up(replace(alone, references=(ReferencePicture("golden", face[:, ::-1]),)), "block_means")
        if self._crowd.alone.restoring.alone is not None:
            self._warm_up(alone, "block_means_alone")

    def _warm_up(self, task: FaceTask, golden: str) -> None:
        on_cpu = self.provider is Provider.CPU
        for batch in [1] if on_cpu else reversed(buckets_to(self.ceiling.value)):
            # Three times: the first allocates and tunes, the second may capture a graph, the third is what will be run.
            for _ in range(1 if on_cpu else 3):
                self.forget("golden")
                faces = self.restore([task] * batch)
        self.forget("golden")
        wanted = self.manifest.golden.get(golden)
        if wanted is not None:
            found = block_means(faces[0].pixels)
            worst = float(np.abs(found - np.asarray(wanted)).max())
            allowed = float(
                self.manifest.golden.get(self.precision.graph("tolerance"), self.manifest.golden["tolerance"])
            )
            if not worst <= allowed:
                raise ModelError(
                    f"{self.manifest.label}: the golden picture differs by {worst:.1f} levels, allowed {allowed:g}; "
                    f"{self.provider} in {self.precision} computes something else"
                )

    def recall(self, key: str) -> Features | None:
        """Features of a reference that was seen before. Whoever holds them keeps them alive past eviction."""
        return self.cache.get(self._cache_key(key))

    @property
    def encoder(self) -> str:
        """The SHA-256 of the graph, what runs it and in what precision: the arithmetic of each is its own."""
        return self._encoder

    def remember(self, key: str, features: Features) -> bool:
        """Keep features that were encoded elsewhere; False if they are not such as this model takes."""
        fit = self._encoder != "" and {
            name: (array.shape, array.dtype) for name, array in features.items()
        } == {name: (array.shape, array.dtype) for name, array in self._absent.items()}
        if fit:
            self.cache.put(self._cache_key(key), features)
        return fit

    def forget(self, key: str) -> None:
        """What was remembered under this key is no longer."""
        self.cache.drop(self._cache_key(key))
        # By its references, which are listed in one step: going through it fails when another thread adds to it, or a
        # job ends.
        for reference in self._at_hand.keyrefs():
            picture = reference()
            if picture is not None and picture.key == key:
                self._at_hand.pop(picture, None)

    def encode(self, pictures: Sequence[ReferencePicture]) -> list[Features]:
        """Features of references, which are remembered from now on. Raises ValueError if the model takes none."""
        with self._crowd.graphs() as graphs:
            encoded = self._encode_fresh({picture.key: picture.pixels for picture in pictures}, graphs)
        return [encoded[picture.key] for picture in pictures]

    def restore(self, tasks: Sequence[FaceTask]) -> list[RestoredFace]:
        """Restore all tasks, in order. Raises ValueError for more references than the model takes.

        A batch that does not fit into memory is halved, and so are all that come after it.
        """
        with self._crowd.graphs() as graphs:
            return self._stage_faces(tasks, graphs).compute()

    def stage(self, tasks: Sequence[FaceTask]) -> StagedFaces:
        """The same in two steps, so that a batch can be put together and uploaded while another one is computed.

        References that are not known yet are encoded here.
        """
        return self._stage_faces(tasks, self._crowd.alone)

    def _cache_key(self, key: str) -> str:
        """What another encoder says of the same reference is something else."""
        return f"{self._encoder}/{key}"

    def _load_later(self, loader: SessionLoader, turns: Turns) -> Graphs:
        graphs = self._load_graphs(loader, turns)
        give_back_memory()
        return graphs

    def _load_graphs(self, loader: SessionLoader, turns: Turns) -> Graphs:
        on_cpu = self.provider is Provider.CPU
        kept = KEPT_BYTES if on_cpu else KEPT_BYTES_ON_GPU
        restoring = Bindings(loader.load("restore"), kept, turns)
        absent = {
            name: np.zeros([int(d) for d in shape[2:]], restoring.session.dtype(name))
            for name, shape in restoring.session.inputs.items()
            if name.startswith(FEATURES)
        }
        encoding = None
        if "encode_references" in self.manifest.graphs:
            encoding = Bindings(loader.load("encode_references"), kept, turns)
        alone = None
        if self.precision.graph("restore_alone") in self.manifest.graphs:
            alone = RestoringGraph(Bindings(loader.load("restore_alone"), kept, turns), self.ceiling, {})
        graph = RestoringGraph(
            restoring,
            self.ceiling,
            absent,
            alone,
            padded=not on_cpu,
            most_references=self.manifest.max_references,
            # One that cannot do without takes the likest person's, whoever that is.
            least_share=0.0 if self.manifest.needs_references else LEAST_SHARE,
        )
        return Graphs(graph, encoding)

    def _stage_faces(self, tasks: Sequence[FaceTask], graphs: Graphs) -> StagedFaces:
        for task in tasks:
            most = max(Counter(task.people).values(), default=len(task.references))
            if most > self.manifest.max_references:
                raise ValueError(
                    f"{most} references, {self.manifest.label} takes {self.manifest.max_references}"
                )
        return StagedFaces(
            graphs.restoring,
            [
                ReadyFace(
                    task.low_quality,
                    features,
                    task.reference_strength,
                    task.fidelity,
                    task.people,
                    task.gate_strength,
                )
                for task, features in zip(tasks, self._encode_missing(tasks, graphs), strict=True)
            ],
        )

    def _encode_missing(self, tasks: Sequence[FaceTask], graphs: Graphs) -> list[list[Features]]:
        """Features of all references of all tasks; each unknown picture is encoded once."""
        fresh: dict[str, Pixels] = {}
        encoded: dict[str, Features] = {}
        pictures = [r for task in tasks for r in task.references if isinstance(r, ReferencePicture)]
        for picture in pictures:
            # It was unknown when the job was prepared; another job may have brought it since.
            features = self._at_hand.get(picture) or self.recall(picture.key)
            if features is not None:
                encoded[picture.key] = features
            else:
                fresh.setdefault(picture.key, picture.pixels)
        encoded |= self._encode_fresh(fresh, graphs)
        self._at_hand.update((picture, encoded[picture.key]) for picture in pictures)
        return [
            [encoded[r.key] if isinstance(r, ReferencePicture) else r for r in task.references]
            for task in tasks
        ]

    def _encode_fresh(self, fresh: Mapping[str, Pixels], graphs: Graphs) -> dict[str, Features]:
        encoded: dict[str, Features] = {}
        for key, pixels in fresh.items():
            if graphs.encoding is None:
                raise ValueError(f"{self.manifest.label} takes no references")

            def fill(inputs: Arrays, pixels: Pixels = pixels) -> None:
                inputs["references"][0] = pixels

            # One at a time: the features of a reference must not depend on what else was asked in that moment.
            encoded[key] = graphs.encoding.run({"references": (1, *pixels.shape)}, fill, self._read_features)
            self.cache.put(self._cache_key(key), encoded[key])
        return encoded

    def _read_features(self, outputs: Arrays) -> Features:
        """What the restoring graph takes of an encoding, to keep."""
        return {name: np.array(outputs[name][0], one.dtype) for name, one in self._absent.items()}


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
