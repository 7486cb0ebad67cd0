"""The models that are installed."""

from refstar_service.engine.catalog import Catalog
from refstar_service.engine.errors import ModelError
from refstar_service.engine.manifest import load_manifests
from refstar_service.settings import Settings


def installed_models(settings: Settings) -> Catalog:
    """Raises ModelError if there is none, or if one that is set to be the default is missing."""
    manifests = load_manifests(*settings.model_folders)
    if not manifests:
        raise ModelError(f"{settings.models_dir} holds no model folder; set REFSTAR_MODELS_DIR")
    return Catalog.of(manifests, settings.listed_default_models, settings.held_back)
