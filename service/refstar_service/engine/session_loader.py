"""From a model folder to loaded sessions: which of its graphs, and for TensorRT which shapes and which folder."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from refstar_service.engine.buckets import bucket
from refstar_service.engine.cuda import tensorrt_version
from refstar_service.engine.manifest import ModelManifest
from refstar_service.engine.provider import GpuOptions, Precision, Profile, Provider, engine_folder
from refstar_service.engine.refusal import ModelRefused
from refstar_service.engine.session import (
    Session,
    driver,
    input_shapes,
    refuse_what_is_not_built_in,
    runtime_label,
)


@dataclass(frozen=True)
class SessionLoader:
    """``max_batch``: most faces in an inference, a power of two."""

    manifest: ModelManifest
    provider: Provider
    precision: Precision
    gpu: GpuOptions
    threads: int
    max_batch: int

    def graph(self, name: str) -> str:
        """The manifest's name for a graph in this precision. Raises ModelRefused if the folder brings none.

        References may be encoded in fp32 whatever the rest is in: it is done once, and their features are compared.
        """
        wanted = self.precision.graph(name)
        if wanted in self.manifest.graphs:
            return wanted
        if name != "restore":
            return name
        others = [str(p) for p in Precision if p.graph(name) in self.manifest.graphs]
        raise ModelRefused(
            f"{self.manifest.folder}: {self.manifest.label} brings no graph `{wanted}`; set the precision to "
            f"{' or '.join(others)}"
        )

    def load(self, name: str) -> Session:
        """Raises ModelRefused or ProviderUnavailable."""
        refuse_what_is_not_built_in(self.provider)
        graph = self.graph(name)
        gpu, profile = self.gpu, None
        if self.provider is Provider.TENSORRT:
            profile = profile_of(
                input_shapes(self.manifest.path(graph)),
                1 if name == "encode_references" else self.max_batch,
                bucket(max(1, self.manifest.max_references)),
            )
            if gpu.engines is not None:
                runtime = f"{runtime_label()}-tensorrt{tensorrt_version()}"
                identity = self.manifest.identity(graph)
                hardware = driver().gpu().label
                gpu = replace(gpu, engines=engine_folder(gpu.engines, hardware, runtime, identity, profile))
        return Session(
            self.manifest.path(graph),
            self.provider,
            threads=self.threads,
            gpu=gpu,
            profile=profile,
        )


def profile_of(inputs: Mapping[str, Sequence[Any]], rows: int, references: int) -> Profile:
    """From one face with one reference to ``rows`` faces with ``references`` each; full batches with one are usual.

    ``inputs``: dimensions by name of the input. Open ones are the first, faces, and the second, references.
    """

    def sized(count: int, seen: int) -> dict[str, tuple[int, ...]]:
        return {
            name: tuple(
                d if isinstance(d, int) else (count, seen)[place] for place, d in enumerate(dimensions)
            )
            for name, dimensions in inputs.items()
        }

    return Profile(least=sized(1, 1), usual=sized(rows, 1), most=sized(rows, references))
