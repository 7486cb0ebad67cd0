"""What is judged: anything that restores one aligned face of 512 with any number of references."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple, Protocol

import cv2
import numpy as np
import onnx
import onnxruntime
import torch
from numpy.typing import NDArray
from torch import nn

from refstar_model.half_types import as_rounded
from refstar_model.refstar.export_view import EncodeReferences, Restore
from refstar_model.refstar.network import RefStar

Pixels = NDArray[np.uint8]
SIDE = 512
REMEMBERED = 16  # encoded references kept by a folder's model, some 3 MB each


class Restored(NamedTuple):
    picture: Pixels  # [512, 512, 3]
    selection: NDArray[np.uint8]  # [R, g, g], mean mask over the bands, 255 = all taken
    finite: bool


class Restorer(Protocol):
    def __call__(
        self,
        low_quality: Pixels,
        references: Sequence[Pixels],
        strength: float = 1.0,
        fidelity: float = 0.5,
    ) -> Restored:
        """Restore a face [512, 512, 3] with references of that size; none is an empty list."""
        ...


class FolderModel:
    """The graphs of a model folder in onnxruntime, one face at a time.

    A folder without ``encode_references`` takes no references: its ``restore`` has the inputs of ``restore_alone``.
    """

    def __init__(self, folder: Path, threads: int = 0, precision: str = "fp32") -> None:
        """``precision``: fp32, or what else the folder brings: int8, or fp16 as a GPU would compute it."""
        ending = "" if precision == "fp32" else f"_{precision}"
        self.restore = open_graph(folder / f"restore{ending}.onnx", threads)
        # Folders from before 0.3.1 have none.
        alone = folder / f"restore_alone{ending}.onnx"
        self.alone = open_graph(alone, threads) if alone.is_file() else None
        # References are encoded in fp32 where there is no other graph for it.
        encode = folder / f"encode_references{ending}.onnx"
        encode = encode if encode.is_file() else folder / "encode_references.onnx"
        self.takes_references = encode.is_file()
        self.features: list[str] = []
        if self.takes_references:
            self.encode = open_graph(encode, threads)
            self.features = [o.name for o in self.encode.get_outputs()]
        else:
            self.alone = self.alone or self.restore
        self.size = int(json.loads((folder / "model.json").read_text())["input_size"])
        self._encoded: dict[bytes, list[NDArray[np.generic]]] = {}

    def __call__(
        self,
        low_quality: Pixels,
        references: Sequence[Pixels],
        strength: float = 1.0,
        fidelity: float = 0.5,
    ) -> Restored:
        if references and not self.takes_references:
            raise ValueError(f"{len(references)} references for a model that takes none")
        face, knob = fit(low_quality, self.size)[None], np.array([fidelity], np.float32)
        if not references and self.alone is not None:
            restored, finite = self.alone.run(["restored", "finite"], {"low_quality": face, "fidelity": knob})
            return Restored(fit(restored[0]), np.zeros((0, 1, 1), np.uint8), bool(finite[0]))
        pictures = references or [np.zeros_like(low_quality)]
        encoded = [self._features(fit(picture, self.size)) for picture in pictures]
        stacked = [np.concatenate(values)[None] for values in zip(*encoded, strict=True)]
        weight = np.full((1, len(pictures)), strength if references else 0.0, np.float32)
        restored, selection, finite = self.restore.run(
            ["restored", "selection", "finite"],
            {
                "low_quality": face,
                **dict(zip(self.features, stacked, strict=True)),
                "reference_weight": weight,
                "fidelity": knob,
            },
        )
        return Restored(fit(restored[0]), selection[0], bool(finite[0]))

    def _features(self, picture: Pixels) -> list[NDArray[np.generic]]:
        key = picture.tobytes()
        if key not in self._encoded:
            while len(self._encoded) >= REMEMBERED:
                self._encoded.pop(next(iter(self._encoded)))
            self._encoded[key] = self.encode.run(self.features, {"references": picture[None]})
        return self._encoded[key]


class LoneNetModel:
    """A network in training that takes no references, seen through its export view.

    ``view``: uint8 [B, S, S, 3] and fidelity [B] to the restored uint8 [B, S, S, 3], finite [B], and whatever else.
    """

    def __init__(self, view: nn.Module, size: int) -> None:
        self.view, self.size = view, size

    def __call__(
        self,
        low_quality: Pixels,
        references: Sequence[Pixels],
        strength: float = 1.0,
        fidelity: float = 0.5,
    ) -> Restored:
        if references:
            raise ValueError(f"{len(references)} references for a network that takes none")
        device = next(self.view.parameters()).device
        training = self.view.training
        self.view.eval()
        try:
            with torch.no_grad():
                restored, finite = self.view(
                    torch.from_numpy(fit(low_quality, self.size))[None].to(device),
                    torch.full((1,), fidelity, device=device),
                )[:2]
        finally:
            self.view.train(training)
        picture = restored[0].cpu().numpy()
        return Restored(fit(picture), np.zeros((0, 1, 1), np.uint8), bool(finite[0]))


class NetModel:
    """A network in training seen as the graphs that it would become, on the device where it is."""

    def __init__(self, net: RefStar) -> None:
        self.net, self.size = net, net.params.size

    def __call__(
        self,
        low_quality: Pixels,
        references: Sequence[Pixels],
        strength: float = 1.0,
        fidelity: float = 0.5,
    ) -> Restored:
        device = next(self.net.parameters()).device
        pictures = references or [np.zeros_like(low_quality)]
        training = self.net.training
        encode, restore = EncodeReferences(self.net).eval(), Restore(self.net).eval()
        try:
            with torch.no_grad():
                seen = torch.from_numpy(np.stack([fit(p, self.size) for p in pictures])).to(device)
                features = [f.unsqueeze(0) for f in encode(seen)]
                weight = torch.full((1, len(pictures)), strength if references else 0.0, device=device)
                restored, selection, finite = restore(
                    torch.from_numpy(fit(low_quality, self.size))[None].to(device),
                    weight,
                    torch.full((1,), fidelity, device=device),
                    *features,
                )[:3]
        finally:
            self.net.train(training)
        return Restored(fit(restored[0].cpu().numpy()), selection[0].cpu().numpy(), bool(finite[0]))


def open_graph(path: Path, threads: int = 0) -> Any:
    """An onnxruntime session on the CPU; 0 threads means one for each core.

    A graph with fp16 in it is made to round as a GPU does (half_types.as_rounded).
    """
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    # Threads that spin while they wait take the cores from the judges, and from a training beside.
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    graph: str | bytes = str(path)
    if path.stem.endswith("_fp16"):
        graph = as_rounded(onnx.load(str(path))).SerializeToString()
    return onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])


def fit(picture: Pixels, size: int = SIDE) -> Pixels:
    """The square picture at ``size``."""
    side = picture.shape[0]
    if side == size:
        return np.ascontiguousarray(picture)
    how = cv2.INTER_AREA if side > size else cv2.INTER_CUBIC
    return np.asarray(cv2.resize(picture, (size, size), interpolation=how), np.uint8)
