"""The models that are installed."""

from collections.abc import Mapping

from refstar_service.engine.errors import ModelError
from refstar_service.engine.manifest import ModelManifest, load_manifests
from refstar_service.settings import Settings


def installed_models(settings: Settings) -> Mapping[str, ModelManifest]:
    """By name. Raises ModelError if there is none."""
    models = load_manifests(*settings.model_folders)
    if not models:
        raise ModelError(f"{settings.models_dir} holds no model folder; set REFSTAR_MODELS_DIR")
    return models
