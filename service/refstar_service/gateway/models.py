"""The models of this service, as their manifests describe them."""

from fastapi import APIRouter

from refstar_service.gateway.auth import CallerDep
from refstar_service.gateway.context import GatewayDep
from refstar_service.gateway.resources import Model, ModelList
from refstar_service.gateway.responses import problem_responses

router = APIRouter(tags=["models"])


@router.get("/v1/models", responses=problem_responses())
async def models(gateway: GatewayDep, caller: CallerDep) -> ModelList:
    """Every model: what it is, where it comes from, what it was measured to do, and what it takes."""
    return ModelList(models=[Model.of(gateway.models[name]) for name in sorted(gateway.models)])
