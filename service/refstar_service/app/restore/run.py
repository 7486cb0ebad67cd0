"""A run: pictures in, results out, one after the other."""

from __future__ import annotations

import errno
import hashlib
import json
import logging
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from refstar_service.app.installed import installed_models
from refstar_service.app.restore.checks import check_files, check_report
from refstar_service.app.restore.journal import Journal
from refstar_service.app.restore.report import Outcome, PictureReport, as_json, show, sum_up
from refstar_service.app.restore.sources import SUFFIXES, Found, find_pictures, list_suffixes
from refstar_service.app.restore.targets import Stamp, exists, format_of, name_result, stamp, write_file
from refstar_service.app.restore.wanted import JOURNAL, Existing, RestoreFiles
from refstar_service.engine.manifest import ModelManifest
from refstar_service.images import ImageError, ImageLimits, LimitNames, probe, refuse_bytes
from refstar_service.restoration.errors import Fault, RequestError, RestorationError, StepError
from refstar_service.restoration.knobs import KNOBS, KnobKind, Knobs
from refstar_service.restoration.rules import choose_model, image_limits, plan_result, settle_knobs
from refstar_service.restoration.upload import Upload
from refstar_service.settings import Settings

if TYPE_CHECKING:
    from refstar_service.app.restore.loaded import Restore

#: A file on one's own disk may be larger than one that somebody sends, unless the settings say otherwise.
MOST_BYTES = 1024**3
_LIMIT_NAMES = LimitNames("--max-image-bytes", "--max-image-pixels", "--max-image-side", "--min-image-side")
#: What the next result would fail with as well.
_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EROFS}

log = logging.getLogger("refstar")


class DiskError(RuntimeError):
    """Results cannot be written, whichever they are."""


@dataclass(frozen=True, eq=False)
class Job:
    """What is wanted, and all that is the same for every picture."""

    wanted: RestoreFiles
    limits: ImageLimits
    manifest: ModelManifest
    knobs: Knobs
    references: tuple[Upload, ...]
    restore: Restore | None  # None if there is nothing to do


def restore_files(settings: Settings, wanted: RestoreFiles) -> int:
    """Restore one picture, or every picture of a folder; returns the exit status.

    A picture that fails does not end a folder: the rest is restored, and the status says that one failed. Run again, it
    goes on where it was. Raises ValueError, OSError, EngineError for what no picture can be restored with.
    """
    began = time.monotonic()
    found = _find(wanted)
    check_files(wanted, found.pictures)
    manifest, knobs = _settle(settings, wanted)
    limits = choose_limits(settings, wanted)
    references = tuple(_read(path, limits) for path in wanted.references)
    lines: list[dict[str, Any]] = []
    with ExitStack() as stack:
        journal = stack.enter_context(Journal(_journal_path(wanted))) if wanted.input.is_dir() else None
        check_report(wanted, journal)
        request = _describe(wanted, manifest, knobs, references, settings)
        run = Run(Job(wanted, limits, manifest, knobs, references, None), journal, request, found)
        if run.has_work():
            # Imported late: this loads onnxruntime, and a mistake in the arguments should be told before.
            from refstar_service.app.restore.loaded import load_restore

            shown = wanted.selection is not None
            restore = load_restore(settings, manifest, knobs, references, limits, selection=shown)
            run.job = replace(run.job, restore=restore)
        try:
            for line in run.carry_out():
                lines.append(line)
                if wanted.as_json:
                    print(as_json(line), flush=True)
        except (KeyboardInterrupt, DiskError):
            if journal is not None:
                _say("interrupted; the same command goes on where this one was")
            raise
        finally:
            if wanted.report is not None:
                write_file(wanted.report, as_json(lines, indent=1).encode() + b"\n", overwrite=True)
                if journal is not None:
                    journal.note_file(wanted.report)
    if wanted.input.is_dir():
        _say(f"{sum_up(lines)}, {time.monotonic() - began:.1f} s")
    return 1 if any(line["status"] == Outcome.FAILED for line in lines) else 0


def choose_limits(settings: Settings, wanted: RestoreFiles) -> ImageLimits:
    """Those of the settings, called by the options that change them. Raises ValueError."""
    limits = replace(image_limits(settings), names=_LIMIT_NAMES)
    if "max_image_bytes" not in settings.model_fields_set:
        limits = replace(limits, max_bytes=MOST_BYTES)
    return replace(limits, **wanted.limits)


class Run:
    """``request``: what all pictures have in common, for the journal."""

    def __init__(self, job: Job, journal: Journal | None, request: str, found: Found) -> None:
        self.job, self._journal, self._request, self._found = job, journal, request, found
        wanted = job.wanted
        named = [path for path in (wanted.selection, wanted.report) if path is not None]
        # What must not be written over, whatever names the results get.
        self._taken = {path.resolve() for path in (*found.pictures, *wanted.references, *named)}

    def has_work(self) -> bool:
        """Whether there is a picture that an earlier run has not done with."""
        return any(self._find_done(source) is None for source in self._found.pictures)

    def carry_out(self) -> Iterator[dict[str, Any]]:
        """What became of each picture and of what is none. Raises DiskError."""
        for path, reason in self._found.passed_over:
            _say(f"passed over: {show(path)}: {reason}")
            yield PictureReport(str(path), Outcome.PASSED_OVER, reason=reason).as_line()
        for path, error in self._found.unreadable:
            entry = PictureReport(str(path))
            entry.fail("file-error", str(error))
            _say(f"{show(path)}: {entry.summary}")
            yield entry.as_line()
        done, count = 0, len(self._found.pictures)
        for number, source in enumerate(self._found.pictures, 1):
            line = self._find_done(source)
            if line is not None:
                done += 1
            else:
                entry, start = PictureReport(str(source)), time.monotonic()
                self._restore_one(source, entry)
                line = entry.as_line()
                took = time.monotonic() - start
                _say(f"[{number}/{count}] {self._show(source)}: {show(entry.summary)}  {took:.2f} s")
            yield line
        if done:
            _say(f"{done} of {count} were done by an earlier run")

    def _find_done(self, source: Path) -> dict[str, Any] | None:
        """What an earlier run says of the picture, if there is nothing left to do."""
        if self._journal is None:
            return None
        entry = self._journal.find(self._name(source), self._request_for(source))
        if entry is None:
            return None
        if entry.report["status"] == Outcome.FAILED:
            return None if self.job.wanted.retry_failed else entry.report
        result = self._journal.find_result(entry)
        if result is None:
            return None
        self._taken.add(result.resolve())
        return entry.report

    def _restore_one(self, source: Path, entry: PictureReport) -> None:
        """One picture from file to file; what goes wrong is written into its entry."""
        request = self._request_for(source)
        try:
            self._write_one(source, request, entry)
        except RestorationError as error:
            entry.fail(error.code, error.detail)
            entry.faces, entry.references = error.faces, error.references
        except FileExistsError as error:  # since a moment ago
            entry.fail("output-exists", f"{error.filename2 or error.filename} exists")
        except OSError as error:
            if error.errno in _NO_ROOM:
                raise DiskError(f"results cannot be written: {error}") from error
            entry.fail("file-error", str(error))
        # One picture, whatever it does, must not take the rest of a folder with it.
        except Exception as error:
            log.debug("%s", source, exc_info=True)
            entry.fail("inference-failed", f"{type(error).__name__}: {error}")
        if self._journal is not None and _is_final_failure(entry):
            self._journal.note(self._name(source), request, entry.as_line(), None)

    def _write_one(self, source: Path, request: str, entry: PictureReport) -> None:
        """Raises RestorationError, OSError."""
        job, wanted = self.job, self.job.wanted
        assert job.restore is not None
        image = _read(source, job.limits)
        name = self._name_target(source)
        kind = wanted.knobs.get("format") or (name and format_of(name)) or "same"
        knobs = replace(job.knobs, format=kind)
        target = None
        if name is not None:
            target = self._find_name(name, _plan_format(image, knobs, job))
            self._taken.add(target.resolve())  # also if it fails: the next run gives it the same name
            if exists(target) and wanted.existing is not Existing.OVERWRITE:
                if wanted.existing is Existing.SKIP:
                    entry.status, entry.output = Outcome.SKIPPED, str(target)
                    return
                raise _refuse_existing(target)
        result, selection = job.restore(image, knobs, entry)
        entry.output = "-" if target is None else str(target)
        entry.note_faces()

        def announce(written: Stamp) -> None:
            if self._journal is not None and target is not None:
                self._journal.note(self._name(source), request, entry.as_line(), (target, written))

        if target is None:
            sys.stdout.buffer.write(result.data)
            sys.stdout.buffer.flush()
        else:
            overwrite = wanted.existing is Existing.OVERWRITE
            write_file(target, result.data, overwrite=overwrite, announce=announce)
        if wanted.selection is not None and selection is not None:
            write_file(wanted.selection, selection.data, overwrite=wanted.existing is Existing.OVERWRITE)
            entry.selection = str(wanted.selection)

    def _name_target(self, source: Path) -> Path | None:
        """Where the result goes, but for its suffix; None: standard output."""
        wanted = self.job.wanted
        if wanted.output is None or not wanted.into_folder:
            return wanted.output
        return wanted.output / self._name(source)

    def _find_name(self, name: Path, kind: str) -> Path:
        """The name of the result. Raises StepError when it would overwrite a picture that is read."""
        target = name_result(name, kind, chosen=not self.job.wanted.into_folder, pictures=SUFFIXES)
        while target.resolve() in self._taken:
            if not self.job.wanted.input.is_dir():
                raise StepError("file-error", f"the result would overwrite {target}: choose another output")
            target = target.with_name(target.name + target.suffix)  # only where a folder has a.png.jpg, too
        return target

    def _request_for(self, source: Path) -> str:
        try:
            size, changed = stamp(source)
        except OSError:
            return ""
        return f"{self._request}:{size}:{changed}"

    def _name(self, source: Path) -> str:
        """Below the folder that is restored."""
        folder = self.job.wanted.input
        return str(source.relative_to(folder)) if folder.is_dir() else source.name

    def _show(self, source: Path) -> str:
        return show(self._name(source))


def _is_final_failure(entry: PictureReport) -> bool:
    """Whether the next run need not try again: what it says, it says of the picture."""
    code = None if entry.error is None else entry.error["code"]
    return code not in (None, "output-exists", "file-error", "inference-failed")


def _find(wanted: RestoreFiles) -> Found:
    """The pictures to restore, and what else lies in the folder. Raises FileNotFoundError if there is none."""
    if not wanted.input.is_dir():
        if not wanted.input.exists():
            raise FileNotFoundError(f"there is no {show(wanted.input)}")
        return Found((wanted.input,), (), ())
    written = (wanted.output, _journal_path(wanted), wanted.report)
    own = {path.resolve() for path in written if path is not None}
    found = find_pictures(wanted.input, recursive=wanted.recursive, own=own)
    if not found.pictures:
        inside = any(path.is_dir() for path, _ in found.passed_over) and not wanted.recursive
        hint = "; --recursive looks into its folders too" if inside else ""
        raise FileNotFoundError(f"{show(wanted.input)} contains no picture ({list_suffixes()}){hint}")
    return found


def _journal_path(wanted: RestoreFiles) -> Path:
    return wanted.journal or (wanted.output or Path()) / JOURNAL


def _refuse_existing(target: Path) -> StepError:
    detail = f"{target} exists; --overwrite replaces it, --skip-existing leaves it as it is"
    return StepError("output-exists", detail)


def _settle(settings: Settings, wanted: RestoreFiles) -> tuple[ModelManifest, Knobs]:
    """The model and its knobs. Raises ValueError, which names the flags that cannot stand."""
    count = len(wanted.references)
    try:
        manifest = choose_model(installed_models(settings), wanted.model, count)
        return manifest, settle_knobs(wanted.knobs, count, manifest)
    except RequestError as error:
        flags = [f"{_show_flag(fault)} {fault.reason}" for fault in error.faults]
        raise ValueError("; ".join(flags) or error.detail) from error


def _show_flag(fault: Fault) -> str:
    """The flag as it was given."""
    name = fault.parameter.replace("_", "-")
    if KNOBS[fault.parameter].kind is KnobKind.SWITCH:
        return f"--{name}" if fault.value == "True" else f"--no-{name}"
    return f"--{name} {fault.value}"


def _describe(
    wanted: RestoreFiles,
    manifest: ModelManifest,
    knobs: Knobs,
    references: Sequence[Upload],
    settings: Settings,
) -> str:
    """A digest of all that results depend on beside the pictures."""
    what = {
        "model": [manifest.name, manifest.version, settings.precision],
        "knobs": repr(knobs),
        "stranger_below": settings.stranger_below,
        "format": wanted.knobs.get("format"),
        "references": [reference.sha256 for reference in references],
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:32]


def _read(path: Path, limits: ImageLimits) -> Upload:
    """The file's bytes; one beyond the limit is not even read. Raises StepError, OSError."""
    size = path.stat().st_size
    if size > limits.max_bytes:
        refused = refuse_bytes(size, limits)
        raise StepError(refused.code, f"{show(path.name)}: {refused.detail}")
    data = path.read_bytes()
    return Upload(show(path.name), data, hashlib.sha256(data).hexdigest())


def _plan_format(image: Upload, knobs: Knobs, job: Job) -> str:
    """The file type of the result. Raises RestorationError."""
    try:
        info = probe(image.data, job.limits)
    except ImageError as error:
        raise StepError(error.code, f"{image.describe('image')}: {error.detail}") from error
    return plan_result(info, knobs, job.manifest.input_size, job.limits).format


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
