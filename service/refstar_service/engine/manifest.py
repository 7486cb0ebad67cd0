"""What a model is: the ``model.json`` beside its graphs. Pure data; onnxruntime is not imported here."""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from refstar_service.engine.errors import ModelError

MANIFEST = "model.json"

#: The graphs that every model of a kind has: one that restores faces, or one that finds them.
RESTORING = ("restore",)
FINDING = ("detect", "refine")

#: What a name and a version may be: NAME@VERSION is part of settings, of forms and of the labels of metrics.
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
#: In the model's folder, or in one beside it: models may have graphs and weights in common.
_FILE = re.compile(rf"(\.\./{_NAME.pattern}/)?[A-Za-z0-9][A-Za-z0-9._-]*")
_VERSION = re.compile(r"[A-Za-z0-9][A-Za-z0-9.+_-]{0,31}")

#: Knobs of a request that a model has if its restoring graph has such an input.
_KNOB_INPUTS = {
    "fidelity": "fidelity",
    "reference_strength": "reference_weight",
    "stranger": "gate_strength",
}


@dataclass(frozen=True)
class ModelFile:
    """``inputs``: the names of a graph's; those of features are listed one by one."""

    file: str
    sha256: str
    inputs: tuple[str, ...] = ()


@dataclass(frozen=True)
class Ranks:
    """Where a model stands among those that are installed, 1 first: the first one is the default for requests with, and
    without references. None: after all that have a rank."""

    with_references: int | None = None
    without_references: int | None = None


@dataclass(frozen=True)
class ModelManifest:
    """One model folder.

    ``graphs`` maps ``restore`` to a file; models that look at references have ``encode_references`` too, and those
    that are faster without any, ``restore_alone``. A detector has ``detect`` and ``refine``. ``weights`` is the file
    that the graphs of a folder share, where they do.
    ``quality`` is the measured table; ``golden`` what a healthy model answers (see engine.restorer).
    """

    name: str
    version: str
    system: str
    license: str
    training_data: tuple[str, ...]
    commit: str
    input_size: int  # side of the aligned face, pixels
    precision: str
    max_references: int
    needs_references: bool
    graphs: Mapping[str, ModelFile]
    quality: Mapping[str, Any]
    limits: tuple[str, ...]
    golden: Mapping[str, Any]
    folder: Path = field(compare=False)
    weights: ModelFile | None = None
    shared_weights: ModelFile | None = None  # that it uses of a model beside it
    ranks: Ranks = Ranks()

    @property
    def knobs(self) -> frozenset[str]:
        """The knobs of a request that the restoring graph has, by their names."""
        inputs = self.graphs["restore"].inputs
        return frozenset(knob for knob, name in _KNOB_INPUTS.items() if name in inputs)

    @property
    def finds_faces(self) -> bool:
        """Whether it is a face detector; else it restores faces."""
        return any(name in self.graphs for name in FINDING)

    @property
    def label(self) -> str:
        return f"{self.name} {self.version}"

    @property
    def full_name(self) -> str:
        """``NAME@VERSION``, which no other installed model has."""
        return f"{self.name}@{self.version}"

    @property
    def files(self) -> list[ModelFile]:
        """All but ``model.json``."""
        return [*self.graphs.values(), *self._weights]

    def identity(self, graph: str) -> str:
        """Changes when the graph computes something else."""
        own = self.graphs[graph].sha256
        if not self._weights:
            return own
        return hashlib.sha256(" ".join([own, *(file.sha256 for file in self._weights)]).encode()).hexdigest()

    @property
    def _weights(self) -> list[ModelFile]:
        return [file for file in (self.weights, self.shared_weights) if file is not None]

    def path(self, graph: str) -> Path:
        return self.folder / self.graphs[graph].file

    def verify(self) -> None:
        """Hash every file; raises ModelError when one is missing or is not the one described."""
        for described in self.files:
            path = self.folder / described.file
            if not path.is_file():
                raise ModelError(f"{path}: the file that {MANIFEST} names is missing")
            found = hashlib.sha256(path.read_bytes()).hexdigest()
            if found != described.sha256:
                raise ModelError(
                    f"{path}: sha256 is {found}, {MANIFEST} says {described.sha256}; "
                    "the file was changed or is incomplete: copy the model folder again"
                )


def load_manifest(folder: Path) -> ModelManifest:
    """Read ``folder/model.json``; raises ModelError naming the file and the field."""
    path = folder / MANIFEST
    try:
        raw = json.loads(path.read_text())
    except OSError as error:
        raise ModelError(f"{path}: {error.strerror}") from error
    except ValueError as error:
        raise ModelError(f"{path}: not JSON ({error})") from error
    try:
        graphs = {name: _file(graph) for name, graph in raw["graphs"].items()}
        manifest = ModelManifest(
            name=str(raw["name"]),
            version=str(raw["version"]),
            system=str(raw["system"]),
            license=str(raw["license"]),
            training_data=tuple(map(str, raw["training_data"])),
            commit=str(raw["commit"]),
            input_size=int(raw["input_size"]),
            precision=str(raw["precision"]),
            max_references=int(raw["max_references"]),
            needs_references=bool(raw["needs_references"]),
            graphs=graphs,
            weights=_file(raw["weights"]) if "weights" in raw else None,
            shared_weights=_file(raw["shared_weights"]) if "shared_weights" in raw else None,
            quality=dict(raw["quality"]),
            limits=tuple(map(str, raw["limits"])),
            golden=dict(raw["golden"]),
            folder=folder,
            ranks=Ranks(**raw.get("ranks", {})),
        )
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise ModelError(f"{path}: field {error} is missing or of the wrong kind") from error
    for field_name, value, pattern in (
        ("name", manifest.name, _NAME),
        ("version", manifest.version, _VERSION),
    ):
        if not pattern.fullmatch(value):
            raise ModelError(
                f"{path}: `{field_name}` is {value!r}; letters, digits, dots, hyphens and underscores will do, as in "
                f"{'family' if field_name == 'name' else '1.2.0'}: change it there, or export with --{field_name}"
            )
    for needed in FINDING if manifest.finds_faces else RESTORING:
        if needed not in graphs:
            raise ModelError(f"{path}: names no graph `{needed}`")
        if not graphs[needed].inputs:
            raise ModelError(f"{path}: names no inputs of the graph `{needed}`")
    for described in manifest.files:
        if not _FILE.fullmatch(described.file):
            raise ModelError(
                f"{path}: {described.file!r} is neither a file of this folder nor ../FOLDER/FILE of one beside it"
            )
    return manifest


def _file(raw: Mapping[str, Any]) -> ModelFile:
    return ModelFile(str(raw["file"]), str(raw["sha256"]), tuple(map(str, raw.get("inputs", ()))))


def load_manifests(*folders: Path) -> list[ModelManifest]:
    """All restoration models of some folders; detectors and folders without a ``model.json`` are passed over.

    Raises ModelError when a folder is missing, a manifest is broken, or two folders claim one version of one name.
    """
    found: dict[str, ModelManifest] = {}
    for path in [path for folder in folders for path in _find_manifests(folder)]:
        manifest = load_manifest(path.parent)
        if manifest.finds_faces:
            continue
        if manifest.full_name in found:
            raise ModelError(
                f"{path}: version {manifest.version} of {manifest.name!r} is taken by "
                f"{found[manifest.full_name].folder}; change `version` or `name` in one {MANIFEST}, or export it again "
                "with --version or --name"
            )
        found[manifest.full_name] = manifest
    return list(found.values())


def _find_manifests(folder: Path) -> list[Path]:
    if (folder / MANIFEST).is_file():
        raise ModelError(
            f"{folder} is a model itself; name the folder that contains it: {folder.resolve().parent}"
        )
    if not folder.is_dir():
        raise ModelError(f"{folder}, where models should be (REFSTAR_MODELS_DIR), is not a folder")
    return sorted(folder.glob(f"*/{MANIFEST}"))
