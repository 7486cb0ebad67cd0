"""Faces per second in the model alone, by precision and size of a batch, and how near that is to what the device can.

.venv/bin/python bench/accelerator.py --provider cuda --precision fp32 tf32 fp16
.venv/bin/python bench/accelerator.py --provider cuda --precision fp16 --graphs --nhwc --batch 1 8
.venv/bin/python bench/accelerator.py --batch 1 2                                    # the CPU

The service's own engine, the next batch being put together and uploaded while one is computed. The roof of a graph is
the longer of two times: its multiplications at the rate of a product of large matrices, and the bytes that its
operators read and write, each once, at the rate of a sum of large tensors; both rates are measured here, in the same
onnxruntime on the same device. An operator that finds its input in a cache, or is fused with the next, is faster than
that roof assumes.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
import onnxruntime as ort
from bare import MODEL
from counting import Work, work
from onnx import TensorProto, helper, numpy_helper
from refstar_service.engine.manifest import load_manifest
from refstar_service.engine.provider import GpuOptions, Precision, Provider, provider_entries
from refstar_service.engine.restorer import FaceTask, ReferencePicture, Restorer, golden_picture
from report import Cell, Report, Table, command, parser, publish, this_machine

GRAPHS = ("restore_alone", "restore", "encode_references")
PRECISIONS = ("fp32", "tf32", "fp16", "int8")
#: Sides of the matrices and tensors that the limits are measured with.
SIDES = {Provider.CPU: 1024, Provider.CUDA: 8192, Provider.TENSORRT: 8192}
SHORT, LONG = 4, 20  # operators in a row; the time of what is around them cancels


@dataclass(frozen=True)
class Limits:
    """Operations and bytes per second."""

    arithmetic: float
    memory: float

    def seconds(self, needed: Work) -> float:
        return max(2 * needed.multiplications / self.arithmetic, needed.bytes / self.memory)


def chain(operator: str, count: int, side: int, element: int) -> onnx.ModelProto:
    """``count`` times ``operator`` on a square of ``side``, from one number to one number."""
    nodes = [
        helper.make_node("Cast", ["x"], ["typed"], to=element),
        helper.make_node("Expand", ["typed", "shape"], ["y0"]),
        *(helper.make_node(operator, [f"y{n}", "y0"], [f"y{n + 1}"]) for n in range(count)),
        helper.make_node("ReduceMax", [f"y{count}"], ["largest"], keepdims=0),
        helper.make_node("Cast", ["largest"], ["out"], to=TensorProto.FLOAT),
    ]
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        nodes,
        operator,
        [info("x", TensorProto.FLOAT, [1, 1])],
        [info("out", TensorProto.FLOAT, [])],
        [numpy_helper.from_array(np.array([side, side]), "shape")],
    )
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)


def seconds_each(operator: str, side: int, element: int, provider: Provider, gpu: GpuOptions) -> float:
    """Of one operator in a row of them, the best of a few."""
    taken = []
    for count in (SHORT, LONG):
        options = ort.SessionOptions()
        options.log_severity_level = 3
        model = chain(operator, count, side, element).SerializeToString()
        session = ort.InferenceSession(model, options, providers=provider_entries(provider, gpu))
        taken.append(min(_seconds(session) for _ in range(6)))
    return (taken[1] - taken[0]) / (LONG - SHORT)


def _seconds(session: ort.InferenceSession) -> float:
    number = {"x": np.full((1, 1), 1e-4, np.float32)}
    began = time.perf_counter()
    session.run(None, number)
    return time.perf_counter() - began


def limits(provider: Provider, precision: str, gpu: GpuOptions) -> Limits:
    half = precision == "fp16"
    element, size = (TensorProto.FLOAT16, 2) if half else (TensorProto.FLOAT, 4)
    side = SIDES[provider]
    product = seconds_each("MatMul", side, element, provider, gpu)
    # Twice the side: a small tensor would be measured in the cache.
    total = seconds_each("Add", 2 * side, element, provider, gpu)
    return Limits(2 * side**3 / product, 3 * size * (2 * side) ** 2 / total)


def rate(restorer: Restorer, tasks: list[FaceTask], seconds: float) -> float:
    """Batches per second, the next one staged while one is computed."""
    with ThreadPoolExecutor(1) as pool:
        batches, began = 0, time.perf_counter()
        staged = restorer.stage(tasks)
        while time.perf_counter() - began < seconds:
            following = pool.submit(restorer.stage, tasks)
            staged.compute()
            staged = following.result()
            batches += 1
        taken = time.perf_counter() - began
        staged.discard()
    return batches / taken


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--model", type=Path, default=MODEL, help="folder of a model; default: the shipped one")
    made.add_argument("--provider", type=Provider, choices=list(Provider), default=Provider.CPU)
    made.add_argument("--precision", nargs="+", choices=PRECISIONS, default=["fp32"])
    made.add_argument("--batch", type=int, nargs="+", default=[1, 2, 4, 8, 16, 32])
    made.add_argument("--seconds", type=float, default=5.0, help="of each measurement")
    made.add_argument("--graphs", action="store_true", help="CUDA graphs")
    made.add_argument("--nhwc", action="store_true", help="channels last")
    options: argparse.Namespace = made.parse_args()
    machine = this_machine()
    manifest = load_manifest(options.model)
    face = golden_picture(manifest.input_size)
    names = [kind.graph(graph) for graph in GRAPHS for kind in Precision]
    needs = {name: work(manifest.path(name)) for name in names if name in manifest.graphs}
    rows: list[tuple[Cell, ...]] = []
    known: list[tuple[Cell, ...]] = []
    for precision in options.precision:
        gpu = GpuOptions(graphs=options.graphs, nhwc=options.nhwc, tf32=precision == "tf32")
        kind = Precision("fp32" if precision == "tf32" else precision)
        limit = limits(options.provider, precision, gpu)
        known.append((precision, limit.arithmetic / 1e12, limit.memory / 1e9))
        restorer = Restorer(manifest, options.provider, max_batch=max(options.batch), precision=kind, gpu=gpu)
        reference = ReferencePicture("known", face[:, ::-1])
        for graph, references in ((GRAPHS[0], ()), (GRAPHS[1], (reference,))):
            needed = needs[kind.graph(graph)]
            roof = 1 / limit.seconds(needed)
            for batch in options.batch:
                tasks = [FaceTask(face, references, 1.0, 0.5)] * batch
                for _ in range(3):
                    restorer.restore(tasks)
                faces = batch * rate(restorer, tasks, options.seconds)
                rows.append(
                    (
                        precision,
                        graph,
                        batch,
                        faces,
                        1000 / faces,
                        2 * needed.multiplications * faces / 1e12,
                        roof,
                        faces / roof,
                    )
                )
                print(*rows[-1], flush=True)
    columns = (
        "precision",
        "graph",
        "batch",
        "faces/s",
        "ms a face",
        "TFLOP/s",
        "roof, faces/s",
        "of the roof",
    )
    tables = (
        Table("accelerator", columns, tuple(rows)),
        Table(
            "accelerator-work",
            ("one face", "multiplications, 10^9", "bytes moved, 10^6", "operations a byte"),
            tuple(
                (name, one.multiplications / 1e9, one.bytes / 1e6, 2 * one.multiplications / one.bytes)
                for name, one in needs.items()
            ),
        ),
        Table("accelerator-limits", ("limits of the device", "TFLOP/s", "GB/s"), tuple(known)),
    )
    publish(Report(command("accelerator", options, made), tables), machine, options)


if __name__ == "__main__":
    main()
