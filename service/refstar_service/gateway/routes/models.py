"""The installed models, as their manifests describe them."""

from refstar_service.gateway.http.auth import CallerDep
from refstar_service.gateway.http.context import GatewayDep
from refstar_service.gateway.http.responses import describe_problems
from refstar_service.gateway.http.router import new_router
from refstar_service.gateway.routes.resources import Model, ModelList

router = new_router(tag="models")


@router.get("/v1/models", responses=describe_problems())
async def list_models(gateway: GatewayDep, caller: CallerDep) -> ModelList:
    """List the installed models. The response says where each comes from, what it accepts, and how well it was measured
    to work."""
    return ModelList(
        models=[Model.of(one, default=gateway.models.is_default(one)) for one in gateway.models.all_versions]
    )
