"""``refstar restore``: pictures from disk to disk, with the steps of the worker and without a server."""

import hashlib
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from refstar_service.engine.manifest import load_manifests
from refstar_service.images import Encoded
from refstar_service.settings import Settings

SUFFIXES = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif"}
_FORMATS = {".jpg": "jpeg", ".jpeg": "jpeg", ".png": "png", ".webp": "webp"}
_SUFFIX_OF = {"image/jpeg": ".jpg", "image/png": ".png", "image/webp": ".webp"}


@dataclass(frozen=True)
class RestoreFiles:
    """What to restore; see ``refstar restore --help``. ``format`` None: by the output's name, else as the input."""

    input: Path
    output: Path
    references: tuple[Path, ...]
    model: str
    faces: str
    fidelity: float
    reference_strength: float
    format: str | None
    quality: int
    selection: Path | None


def restore_files(settings: Settings, wanted: RestoreFiles) -> int:
    """Restore one picture, or every picture of a folder; returns the exit status.

    A picture that fails does not end a folder: the rest is restored, and the status says that one failed.
    """
    # Imported late: `refstar gateway` shares this program and may be installed without onnxruntime.
    from refstar_service.engine.restorer import Restorer
    from refstar_service.engine.session import Provider
    from refstar_service.processes import image_limits
    from refstar_service.worker.job_steps import Knobs, StepRefused, Upload, compose, prepare

    jobs = _files(wanted)
    if not jobs:
        raise FileNotFoundError(f"{wanted.input} holds no picture ({', '.join(sorted(SUFFIXES))})")
    if wanted.selection is not None and len(jobs) > 1:
        raise ValueError("--selection is for one picture, not for a folder")
    if not 1 <= wanted.quality <= 100:
        raise ValueError(f"--quality is 1..100, not {wanted.quality}")
    manifest = load_manifests(settings.models_dir).get(wanted.model)
    if manifest is None:
        known = ", ".join(load_manifests(settings.models_dir))
        raise ValueError(f"no model {wanted.model!r} in {settings.models_dir}, there is: {known or 'none'}")
    if len(wanted.references) > manifest.max_references:
        raise ValueError(
            f"{len(wanted.references)} references, {manifest.label} takes {manifest.max_references}"
        )

    def upload(path: Path) -> Upload:
        data = path.read_bytes()
        return Upload(path.name, data, hashlib.sha256(data).hexdigest())

    references = [upload(path) for path in wanted.references]
    restorer = Restorer(
        manifest,
        Provider(settings.provider),
        threads=settings.threads,
        max_batch=1,
        cache_bytes=settings.feature_cache_bytes,
    )
    failed = 0
    for number, (source, target) in enumerate(jobs, 1):
        began = time.monotonic()
        kind = wanted.format or _FORMATS.get(target.suffix.lower(), "same")
        knobs = Knobs(wanted.faces, wanted.fidelity, wanted.reference_strength, kind, wanted.quality)
        try:
            prepared = prepare(
                upload(source), references, knobs, restorer, manifest.input_size, image_limits(settings)
            )
            done = compose(prepared, restorer.restore(prepared.tasks))
            target = _named(target, done.result)
            _write(target, done.result.data)
            if wanted.selection is not None and done.selection is not None:
                _write(wanted.selection, done.selection.data)
            says = f"{target}  {time.monotonic() - began:.2f} s"
        except (StepRefused, OSError) as error:
            failed += 1
            says = f"failed: {error}"
        print(f"[{number}/{len(jobs)}] {source.name}: {says}", file=sys.stderr, flush=True)
    if len(jobs) > 1:
        print(f"{len(jobs) - failed} restored, {failed} failed", file=sys.stderr)
    return 1 if failed else 0


def _files(wanted: RestoreFiles) -> list[tuple[Path, Path]]:
    """Sources and targets; a folder's pictures keep their names."""
    if not wanted.input.is_dir():
        return [
            (wanted.input, wanted.output / wanted.input.name if wanted.output.is_dir() else wanted.output)
        ]
    sources = sorted(p for p in wanted.input.iterdir() if p.suffix.lower() in SUFFIXES and p.is_file())
    return [(source, wanted.output / source.name) for source in sources]


def _named(target: Path, result: Encoded) -> Path:
    """The target with a suffix that tells the truth."""
    if _FORMATS.get(target.suffix.lower()) == result.media_type.removeprefix("image/"):
        return target
    return target.with_suffix(_SUFFIX_OF[result.media_type])


def _write(path: Path, data: bytes) -> None:
    """All or nothing: a reader never sees half a picture, and a full disk leaves none behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)
