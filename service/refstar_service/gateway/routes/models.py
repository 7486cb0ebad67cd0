"""The installed models, as their manifests describe them."""

from __future__ import annotations

from dataclasses import asdict
from typing import Self

from refstar_service.engine.manifest import ModelManifest
from refstar_service.gateway.http.auth import CallerDep
from refstar_service.gateway.http.context import GatewayDep
from refstar_service.gateway.http.resource import Resource
from refstar_service.gateway.http.responses import describe_problems
from refstar_service.gateway.http.router import new_router

router = new_router(tag="models")


class Model(Resource):
    name: str
    """What requests ask for. Several models may share a name if their versions differ."""
    version: str
    default: bool
    """Whether requests for the plain name get this version. Any version can be requested as `NAME@VERSION`."""
    system: str
    """The restoration method that the model implements."""
    license: str
    training_data: list[str]
    commit: str
    """Commit of the source code that the model was made from."""
    input_size: int
    """Side of the square face crop that the model works on, in pixels. Other sizes are scaled."""
    precision: str
    graphs: dict[str, str]
    """SHA-256 of each graph file."""
    weights: str | None
    """SHA-256 of the weights file shared by the graphs, if there is one."""
    shared_weights: str | None
    """SHA-256 of the weights file of another model, if the graphs use that too."""
    quality: dict[str, object]
    """Measured on held-out pictures."""
    limits: list[str]
    """Known limitations."""
    max_references: int
    needs_references: bool
    knobs: list[str]
    """Knobs of a request that depend on the model, as far as it has them: `fidelity`, `reference_strength`,
    `stranger`."""
    ranks: dict[str, int | None]
    """1: the default for requests `with_references`, or `without_references`; null: not while another fits."""

    @classmethod
    def of(cls, manifest: ModelManifest, *, default: bool = True) -> Self:
        return cls(
            name=manifest.name,
            version=manifest.version,
            default=default,
            system=manifest.system,
            license=manifest.license,
            training_data=list(manifest.training_data),
            commit=manifest.commit,
            input_size=manifest.input_size,
            precision=manifest.precision,
            graphs={name: graph.sha256 for name, graph in manifest.graphs.items()},
            weights=manifest.weights.sha256 if manifest.weights else None,
            shared_weights=manifest.shared_weights.sha256 if manifest.shared_weights else None,
            quality=dict(manifest.quality),
            limits=list(manifest.limits),
            max_references=manifest.max_references,
            needs_references=manifest.needs_references,
            knobs=sorted(manifest.knobs),
            ranks=asdict(manifest.ranks),
        )


class ModelList(Resource):
    models: list[Model]


@router.get("/v1/models", responses=describe_problems())
async def list_models(gateway: GatewayDep, caller: CallerDep) -> ModelList:
    """List the installed models. The response says where each comes from, what it accepts, and how well it was measured
    to work."""
    return ModelList(
        models=[Model.of(one, default=gateway.models.is_default(one)) for one in gateway.models.all_versions]
    )
