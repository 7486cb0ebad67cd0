"""A model folder through onnxruntime and nothing of the service: for the bare loop and for the peers' servers.

Needs onnxruntime, numpy and OpenCV only, since the peers run in environments of their own.
"""

import json
import os
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import onnxruntime as ort
from numpy.typing import NDArray

Pixels = NDArray[np.uint8]
Features = dict[str, NDArray[Any]]

QUALITY = 95  # of result files, as the service has it by default
_DTYPES = {"tensor(float)": np.float32, "tensor(uint8)": np.uint8, "tensor(float16)": np.float16}
_PROVIDERS = {
    "cpu": "CPUExecutionProvider",
    "cuda": "CUDAExecutionProvider",
    "tensorrt": "TensorrtExecutionProvider",
}


class Graphs:
    """The graphs of a model. ``threads`` 0: as many as the process may use."""

    def __init__(
        self, folder: Path, *, provider: str = "cpu", threads: int = 0, spinning: bool = False
    ) -> None:
        options = ort.SessionOptions()
        options.log_severity_level = 3
        options.intra_op_num_threads = (threads or len(os.sched_getaffinity(0))) if provider == "cpu" else 1
        # onnxruntime's default is to spin: quicker alone, in the way of whoever decodes and encodes beside it.
        options.add_session_config_entry("session.intra_op.allow_spinning", "1" if spinning else "0")
        files = json.loads((folder / "model.json").read_text())["graphs"]
        if provider != "cpu":
            ort.preload_dlls()

        def loaded(name: str) -> Any:
            path = str(folder / files[name]["file"])
            session = ort.InferenceSession(path, options, providers=[_PROVIDERS[provider]])
            assert session.get_providers()[0] == _PROVIDERS[provider], session.get_providers()
            return session

        self._restore = loaded("restore")
        self._encode = loaded("encode_references") if "encode_references" in files else None
        self._alone = loaded("restore_alone") if "restore_alone" in files else None
        self._features = [i for i in self._restore.get_inputs() if i.name.startswith("features_")]
        self.side: int = self._restore.get_inputs()[0].shape[1]

    @property
    def takes_references(self) -> bool:
        return self._encode is not None

    def features(self, reference: Pixels) -> Features:
        """Of one reference [S, S, 3]."""
        assert self._encode is not None, "a model without references"
        names = [one.name for one in self._features]
        outputs = self._encode.run(names, {"references": reference[None]})
        return {name: output[0] for name, output in zip(names, outputs, strict=True)}

    def restore(self, faces: list[Pixels], references: list[Features | None] | None = None) -> list[Pixels]:
        """A batch of faces [S, S, 3], each with one reference or none."""
        known = references or [None] * len(faces)
        alone = self._alone is not None and not any(known)
        graph = self._alone if alone else self._restore
        given: dict[str, NDArray[Any]] = {
            "low_quality": np.stack(faces),
            "fidelity": np.full(len(faces), 0.5, np.float32),
            "reference_weight": np.array([[one is not None] for one in known], np.float32),
            "gate_strength": np.ones(len(faces), np.float32),
        }
        inputs = {one.name: given[one.name] for one in graph.get_inputs() if one.name in given}
        if alone:
            return list(graph.run(None, inputs)[0])
        for one in self._features:
            absent = np.zeros([int(size) for size in one.shape[2:]], _DTYPES[one.type])
            inputs[one.name] = np.stack([f[one.name] if f is not None else absent for f in known])[:, None]
        # All outputs, as the service asks for them.
        return list(self._restore.run(None, inputs)[0])


def decoded(file: bytes, side: int) -> Pixels:
    """RGB [side, side, 3] of an aligned face."""
    pixels = cv2.imdecode(np.frombuffer(file, np.uint8), cv2.IMREAD_COLOR_RGB)
    return np.asarray(pixels if pixels.shape[0] == side else cv2.resize(pixels, (side, side)), np.uint8)


def encoded(pixels: Pixels) -> bytes:
    """As a JPEG file with full color, as the service writes it."""
    how = [
        cv2.IMWRITE_JPEG_QUALITY,
        QUALITY,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR,
        cv2.IMWRITE_JPEG_SAMPLING_FACTOR_444,
    ]
    done, data = cv2.imencode(".jpg", cv2.cvtColor(pixels, cv2.COLOR_RGB2BGR), how)
    assert done
    return bytes(data)
