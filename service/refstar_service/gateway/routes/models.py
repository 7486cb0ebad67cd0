"""The models of this service, as their manifests describe them."""

from fastapi import APIRouter

from refstar_service.gateway.http.auth import CallerDep
from refstar_service.gateway.http.context import GatewayDep
from refstar_service.gateway.http.responses import problem_responses
from refstar_service.gateway.routes.resources import Model, ModelList

router = APIRouter(tags=["models"])


@router.get("/v1/models", responses=problem_responses())
async def models(gateway: GatewayDep, caller: CallerDep) -> ModelList:
    """Every model: what it is, where it comes from, what it was measured to do, and what it takes."""
    return ModelList(models=[Model.of(gateway.models[name]) for name in sorted(gateway.models)])
