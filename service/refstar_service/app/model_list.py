"""What `refstar models` prints."""

import json
from typing import Any

from refstar_service.app.installed import installed_models
from refstar_service.engine.manifest import ModelManifest
from refstar_service.settings import Settings


def list_models(settings: Settings, as_json: bool) -> str:
    """One paragraph for each version, or all of them as JSON."""
    models = installed_models(settings)
    if as_json:
        rows = [
            _describe_model(manifest) | {"default": models.is_default(manifest)}
            for manifest in models.all_versions
        ]
        return json.dumps(rows, indent=1, ensure_ascii=False)
    lines = []
    for manifest in models.all_versions:
        size = _size_of(manifest) / 1e6
        named = "" if models.is_default(manifest) else f"  only as {manifest.full_name}"
        lines.append(f"{manifest.label}  {size:.1f} MB  {manifest.license}  {manifest.precision}{named}")
        most = manifest.max_references
        references = "no references" if not most else f"up to {most} reference{'s' if most > 1 else ''}"
        lines.append(f"  faces of {manifest.input_size} px, {references}, in {manifest.folder}")
        lines += [f"  trained on: {data}" for data in manifest.training_data]
        lines += [f"  limit: {limit}" for limit in manifest.limits]
    return "\n".join(lines)


def _describe_model(manifest: ModelManifest) -> dict[str, Any]:
    return {
        "name": manifest.name,
        "version": manifest.version,
        "license": manifest.license,
        "precision": manifest.precision,
        "folder": str(manifest.folder),
        "bytes": _size_of(manifest),
        "input_size": manifest.input_size,
        "max_references": manifest.max_references,
        "needs_references": manifest.needs_references,
        "knobs": sorted(manifest.knobs),
        "training_data": list(manifest.training_data),
        "limits": list(manifest.limits),
    }


def _size_of(manifest: ModelManifest) -> int:
    return sum((manifest.folder / described.file).stat().st_size for described in manifest.files)
