"""Face recognizers: identity as a number.

The MobileFace graphs are small enough to be run node by node in torch, which gives gradients for the identity loss;
no weights are shipped. Input is the ArcFace 112 crop, cut from the 512 template by one fixed similarity.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from onnx import numpy_helper
from torch import Tensor, nn
from torch.nn import functional as F

TEMPLATE_512 = ((192.98, 239.95), (318.90, 240.19), (256.63, 314.01), (201.26, 371.41), (313.09, 371.15))
ARCFACE_112 = (
    (38.2946, 51.6963),
    (73.5318, 51.5014),
    (56.0252, 71.7366),
    (41.5493, 92.3655),
    (70.7299, 92.2041),
)


class Recognizer(nn.Module):
    """A MobileFace ONNX graph as a torch module: RGB [N, 3, 112, 112] in 0..255 to unit vectors [N, D]."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        graph = onnx.load(str(path)).graph
        self.input, self.output = graph.input[0].name, graph.output[0].name
        self.nodes = [(n.op_type, list(n.input), n.output[0], _attributes(n)) for n in graph.node]
        self.names = {t.name: f"w{i}" for i, t in enumerate(graph.initializer)}
        for tensor in graph.initializer:
            self.register_buffer(
                self.names[tensor.name], torch.from_numpy(numpy_helper.to_array(tensor).copy())
            )
        self.requires_grad_(False)

    def forward(self, crops: Tensor) -> Tensor:
        for name, value in self._walk(crops):
            if name == self.output:
                return F.normalize(value, dim=1)
        raise ValueError(f"the graph has no output {self.output}")

    def pyramid(self, pictures: Tensor, levels: int) -> list[Tensor]:
        """The last features on each of the first ``levels`` grids, fine to coarse.

        RGB [N, 3, h, w] in 0..255 of any size: these layers are convolutions.
        """
        kept: list[Tensor] = []
        for _, value in self._walk(pictures):
            if value.dim() != 4:
                break  # the embedding: made for one size only
            if value.shape[-1] == pictures.shape[-1]:
                continue
            if not kept or value.shape[-1] != kept[-1].shape[-1]:
                if len(kept) == levels:
                    break
                kept.append(value)
            kept[-1] = value
        return kept

    def _walk(self, pictures: Tensor) -> Iterator[tuple[str, Tensor]]:
        """Run the graph; yields every node's output as it is made."""
        values: dict[str, Tensor] = {self.input: pictures}
        for name, buffer in self.names.items():
            values[name] = getattr(self, buffer)
        for op, inputs, output, attributes in self.nodes:
            values[output] = _run(op, [values[i] for i in inputs], attributes)
            yield output, values[output]

    def embed(self, faces: Tensor) -> Tensor:
        """Unit vectors of faces on the 512 template; [N, 3, S, S] in 0..1, any S."""
        return self(arcface_crop(faces.clamp(0, 1)) * 255)


def arcface_crop(faces: Tensor, shift: Tensor | None = None) -> Tensor:
    """The 112 crop [N, 3, 112, 112] of aligned faces [N, 3, S, S]; ``shift`` [N, 2] in crop pixels moves it."""
    scale, rotation, offset = fit_similarity(np.array(ARCFACE_112), np.array(TEMPLATE_512))
    linear = torch.tensor(scale * rotation, dtype=torch.float32)
    # Crop pixel centers -> 512 pixel centers -> grid_sample's -1..1 (align_corners False: centers at +0.5).
    axis = torch.arange(112, dtype=torch.float32)
    y, x = torch.meshgrid(axis, axis, indexing="ij")
    places = torch.stack([x, y], -1).unsqueeze(0)
    if shift is not None:
        places = places + shift.reshape(-1, 1, 1, 2)
    mapped = places @ linear.T + torch.tensor(offset, dtype=torch.float32)
    grid = ((mapped + 0.5) / 256 - 1).expand(len(faces), -1, -1, -1).to(faces.device)
    if faces.shape[-1] == 512:  # 512 to 112 would skip pixels
        faces = F.avg_pool2d(faces, 2)
    return F.grid_sample(faces.float(), grid, mode="bilinear", padding_mode="border", align_corners=False)


def fit_similarity(source: Any, target: Any) -> tuple[float, Any, Any]:
    """Least-squares similarity (Umeyama 1991) that takes points ``source`` [K, 2] to ``target``."""
    mean_s, mean_t = source.mean(0), target.mean(0)
    centered_s, centered_t = source - mean_s, target - mean_t
    u, d, vt = np.linalg.svd(centered_t.T @ centered_s / len(source))
    sign = np.diag([1.0, np.sign(np.linalg.det(u @ vt))])
    rotation = u @ sign @ vt
    scale = float((d * np.diag(sign)).sum() / centered_s.var(0).sum())
    return scale, rotation, mean_t - scale * rotation @ mean_s


def _attributes(node: Any) -> dict[str, Any]:
    return {a.name: onnx.helper.get_attribute_value(a) for a in node.attribute}


def _run(op: str, x: list[Tensor], attributes: dict[str, Any]) -> Tensor:
    match op:
        case "Sub":
            return x[0] - x[1]
        case "Mul":
            return x[0] * x[1]
        case "Add":
            return x[0] + x[1]
        case "Max":
            return torch.maximum(x[0], x[1])
        case "Min":
            return torch.minimum(x[0], x[1])
        case "PRelu":
            return torch.where(x[0] >= 0, x[0], x[0] * x[1])
        case "Flatten":
            return x[0].flatten(attributes.get("axis", 1))
        case "Gemm":
            return F.linear(x[0], x[1], x[2] if len(x) > 2 else None)
        case "BatchNormalization":
            return F.batch_norm(x[0], x[3], x[4], x[1], x[2], eps=attributes["epsilon"])
        case "Conv":
            bias = x[2] if len(x) > 2 else None
            top, left, _, _ = attributes.get("pads", [0, 0, 0, 0])
            return F.conv2d(
                x[0],
                x[1],
                bias,
                attributes["strides"],
                (top, left),
                attributes["dilations"],
                attributes["group"],
            )
    raise ValueError(f"operator {op} is not one that the MobileFace graphs use")
