"""``refstar restore``: pictures from disk to disk, with the steps of the worker and without a server."""

from __future__ import annotations

import hashlib
import json
import logging
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from refstar_service.engine.manifest import ModelManifest, load_manifests
from refstar_service.images import EncodedPicture
from refstar_service.restoration.errors import RequestError, RestorationError, StepError
from refstar_service.restoration.knobs import Knobs
from refstar_service.restoration.report import FaceAction, FaceReport, ReferenceReport
from refstar_service.restoration.rules import choose_model, image_limits, settle_knobs
from refstar_service.restoration.upload import Upload
from refstar_service.settings import Settings

_WRITTEN = {".jpg", ".jpeg", ".png", ".webp", ".tif", ".tiff", ".bmp", ".avif"}
SUFFIXES = _WRITTEN | {".heic", ".heif", ".hif", ".jp2", ".j2k", ".gif"}
_FORMATS = {suffix: suffix.removeprefix(".") for suffix in _WRITTEN} | {".jpg": "jpeg", ".tif": "tiff"}
_SUFFIX_OF = {"jpeg": ".jpg", "tiff": ".tif"}

log = logging.getLogger("refstar")


@dataclass(frozen=True)
class RestoreFiles:
    """What to restore; see ``refstar restore --help``.

    ``knobs``: those that were chosen. A ``format`` that was not is that of the output's name, else the input's.
    """

    input: Path
    output: Path
    references: tuple[Path, ...] = ()
    model: str | None = None
    knobs: Mapping[str, Any] = field(default_factory=dict)
    selection: Path | None = None
    report: Path | None = None


@dataclass
class PictureReport:
    """What became of one picture; a line of the report."""

    input: str
    output: str | None = None
    selection: str | None = None
    error: dict[str, str] | None = None
    faces: tuple[FaceReport, ...] = ()
    references: tuple[ReferenceReport, ...] = ()
    timings: dict[str, float] = field(default_factory=dict)

    @property
    def summary(self) -> str:
        if self.error is not None:
            return f"failed: {self.error['code']}: {self.error['detail']}"
        restored = sum(face.action is FaceAction.RESTORED for face in self.faces)
        noun = "face" if len(self.faces) == 1 else "faces"
        why = Counter(face.reason for face in self.faces if face.action is not FaceAction.RESTORED)
        others = [f"{count} {reason}" for reason, count in why.items()]
        others += [f"reference {r.index} {r.reason}" for r in self.references if not r.used]
        return f"{restored} of {len(self.faces)} {noun} restored{_in_parentheses(others)}  {self.output}"


#: One picture through all the steps.
Restore = Callable[[Upload, Knobs, PictureReport], tuple[EncodedPicture, EncodedPicture | None]]


def restore_files(settings: Settings, wanted: RestoreFiles) -> int:
    """Restore one picture, or every picture of a folder; returns the exit status.

    A picture that fails does not end a folder: the rest is restored, and the status says that one failed.
    """
    began = time.monotonic()
    sources, passed_over = _sources(wanted)
    _check(wanted, sources)
    manifest, knobs = _settle(settings, wanted)
    references = [_read(path, settings) for path in wanted.references]
    restore = _load(settings, wanted, manifest, knobs, references)
    # What must not be written over, whatever names the results get.
    named = [path for path in (wanted.selection, wanted.report) if path is not None]
    kept = {path.resolve() for path in (*sources, *wanted.references, *named)}
    entries: list[PictureReport] = []
    try:
        for number, source in enumerate(sources, 1):
            entry, start = PictureReport(str(source)), time.monotonic()
            entries.append(entry)
            _restore_one(source, wanted, knobs, settings, restore, entry, kept)
            took = time.monotonic() - start
            print(
                f"[{number}/{len(sources)}] {source.name}: {entry.summary}  {took:.2f} s",
                file=sys.stderr,
                flush=True,
            )
    finally:
        if wanted.report is not None:
            _write(wanted.report, _as_json(entries))
    failed = Counter(entry.error["code"] for entry in entries if entry.error is not None)
    if wanted.input.is_dir():
        why = _in_parentheses([f"{count} {code}" for code, count in failed.most_common()])
        others = f", {passed_over} other files or folders skipped" if passed_over else ""
        print(
            f"{len(entries) - failed.total()} restored, {failed.total()} failed{why}{others}, "
            f"{time.monotonic() - began:.1f} s",
            file=sys.stderr,
        )
    return 1 if failed else 0


def _load(
    settings: Settings,
    wanted: RestoreFiles,
    manifest: ModelManifest,
    knobs: Knobs,
    references: Sequence[Upload],
) -> Restore:
    """The model, and the detector if one is needed, ready to restore."""
    # Imported late: these load onnxruntime, and a mistake in the arguments should be told before.
    import cv2

    from refstar_service.app.loading import gpu_options
    from refstar_service.engine.cores import thread_budget
    from refstar_service.engine.feature_cache import FeatureCache
    from refstar_service.engine.provider import Precision, Provider
    from refstar_service.engine.restorer import Restorer
    from refstar_service.faces.detect import load_detector
    from refstar_service.restoration.references import ReferenceMemory
    from refstar_service.restoration.steps import Model, Viewer, compose, prepare

    provider = Provider(settings.provider)
    budget = thread_budget(settings.threads, on_cpu=provider is Provider.CPU)
    cv2.setNumThreads(budget.opencv)
    detector = None
    if not knobs.aligned:
        detector = load_detector(settings.models_dir, settings.detector, budget.detector)
    restorer = Restorer(
        manifest,
        provider,
        threads=budget.model,
        max_batch=1,
        cache=FeatureCache(settings.feature_cache_bytes),
        precision=Precision(settings.precision),
        gpu=gpu_options(settings),
    )
    model = Model.of(manifest, restorer)
    # Of the references the model keeps the features and the viewer what it saw: they are looked at once for a folder.
    viewer = Viewer(detector, ReferenceMemory(), image_limits(settings))

    def restore(
        image: Upload, knobs: Knobs, entry: PictureReport
    ) -> tuple[EncodedPicture, EncodedPicture | None]:
        prepared = prepare(image, references, knobs, model, viewer)
        start = time.monotonic()
        faces = restorer.restore(prepared.tasks)
        infer = time.monotonic() - start
        done = compose(prepared, faces, selection=wanted.selection is not None)
        timings = prepared.timings | {"infer": infer} | done.timings
        entry.timings = {stage: round(seconds, 4) for stage, seconds in timings.items()}
        entry.faces, entry.references = done.faces, done.references
        return done.result, done.selection

    return restore


def _restore_one(
    source: Path,
    wanted: RestoreFiles,
    knobs: Knobs,
    settings: Settings,
    restore: Restore,
    entry: PictureReport,
    kept: set[Path],
) -> None:
    """One picture from file to file; what goes wrong is written into its entry."""
    try:
        target = wanted.output
        if wanted.input.is_dir() or target.is_dir():
            target = target / source.name
        kind = wanted.knobs.get("format") or _FORMATS.get(target.suffix.lower(), "same")
        result, selection = restore(_read(source, settings), replace(knobs, format=kind), entry)
        target = _find_free_name(
            _name_result(target, result), source if wanted.input.is_dir() else None, kept
        )
        _write(target, result.data)
        kept.add(target.resolve())
        entry.output = str(target)
        if wanted.selection is not None and selection is not None:
            _write(wanted.selection, selection.data)
            entry.selection = str(wanted.selection)
    except RestorationError as error:
        entry.error = {"code": error.code, "detail": error.detail}
        entry.faces, entry.references = error.faces, error.references
    except OSError as error:
        entry.error = {"code": "file-error", "detail": str(error)}
    except Exception as error:  # one picture, whatever it does, must not take the rest of a folder with it
        log.debug("%s", source, exc_info=True)
        entry.error = {"code": "inference-failed", "detail": f"{type(error).__name__}: {error}"}


def _sources(wanted: RestoreFiles) -> tuple[list[Path], int]:
    """The pictures to restore, and how many other things lie in the folder."""
    if not wanted.input.is_dir():
        return [wanted.input], 0
    inside = sorted(wanted.input.iterdir())
    sources = [path for path in inside if path.suffix.lower() in SUFFIXES and path.is_file()]
    if not sources:
        raise FileNotFoundError(f"{wanted.input} contains no picture ({', '.join(sorted(SUFFIXES))})")
    return sources, len(inside) - len(sources)


def _check(wanted: RestoreFiles, sources: Sequence[Path]) -> None:
    """Raise ValueError for what cannot be meant."""
    folder = wanted.input.is_dir()
    if wanted.selection is not None and folder:
        raise ValueError("--selection works for a single picture, not for a folder")
    if folder and wanted.output.resolve() == wanted.input.resolve():
        raise ValueError(f"the results would overwrite the pictures in {wanted.input}: choose another folder")
    if folder and wanted.output.is_file():
        raise ValueError(f"{wanted.output} is a file; the results of a folder need a folder")
    read = {path.resolve() for path in (*sources, *wanted.references)}
    output = wanted.output / wanted.input.name if wanted.output.is_dir() and not folder else wanted.output
    written = {"--output": output, "--selection": wanted.selection, "--report": wanted.report}
    paths = {flag: path.resolve() for flag, path in written.items() if path is not None}
    for flag, path in paths.items():
        if path in read:
            raise ValueError(
                f"{flag} {written[flag]} is also an input and would be overwritten: choose another file"
            )
    if len(set(paths.values())) < len(paths):
        raise ValueError(f"{', '.join(paths)} name the same file")


def _settle(settings: Settings, wanted: RestoreFiles) -> tuple[ModelManifest, Knobs]:
    """The model and its knobs. Raises ValueError, which names the flags that cannot stand."""
    count = len(wanted.references)
    try:
        manifest = choose_model(load_manifests(settings.models_dir), wanted.model, count)
        return manifest, settle_knobs(wanted.knobs, count, manifest)
    except RequestError as error:
        flags = [f"--{one.parameter.replace('_', '-')} {one.value} {one.reason}" for one in error.faults]
        raise ValueError("; ".join(flags) or error.detail) from error


def _read(path: Path, settings: Settings) -> Upload:
    """The file's bytes; one beyond the limit is not even read."""
    size = path.stat().st_size
    if size > settings.max_image_bytes:
        raise StepError(
            "image-too-many-bytes",
            f"{path.name} has {size} bytes, at most {settings.max_image_bytes} are allowed",
        )
    data = path.read_bytes()
    return Upload(path.name, data, hashlib.sha256(data).hexdigest())


def _name_result(target: Path, result: EncodedPicture) -> Path:
    """The target with a suffix that tells the truth."""
    kind = result.media_type.removeprefix("image/")
    if _FORMATS.get(target.suffix.lower()) == kind:
        return target
    return target.with_suffix(_SUFFIX_OF.get(kind, f".{kind}"))


def _find_free_name(target: Path, source: Path | None, kept: set[Path]) -> Path:
    """The target, or where a folder's ``a.png`` and ``a.bmp`` both become ``a.png``, ``a.bmp.png`` for the second.

    ``source``: the picture, if it lies in a folder that is restored. Raises StepError when the result would overwrite
    a picture that is read, or another result.
    """
    if source is not None and target.resolve() in kept:
        target = target.with_name(source.name + target.suffix)
    if target.resolve() in kept:
        raise StepError("file-error", f"the result would overwrite {target}: choose another output")
    return target


def _write(path: Path, data: bytes) -> None:
    """All or nothing: a reader never sees half a picture, and a full disk leaves none behind."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(path.name + ".part")
    try:
        part.write_bytes(data)
        part.replace(path)
    finally:
        part.unlink(missing_ok=True)


def _as_json(entries: Sequence[PictureReport]) -> bytes:
    lines: list[dict[str, Any]] = [asdict(entry) for entry in entries]
    return json.dumps(lines, indent=1, ensure_ascii=False).encode() + b"\n"


def _in_parentheses(parts: Sequence[str]) -> str:
    return f" ({', '.join(parts)})" if parts else ""
