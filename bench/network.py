"""The network by itself: what one face costs in each graph, where in it, and how near that is to the arithmetic limit.

.venv/bin/python bench/network.py
.venv/bin/python bench/network.py --model runs/mine --times 30

The limit is a product of two 1,024 x 1,024 matrices in the same onnxruntime on one core: no network with as many
multiplications is done sooner. Graphs take turns, so that a machine that slows down slows all of them.
"""

import argparse
import json
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime as ort
from bare import MODEL
from counting import Inputs, one_face, work
from onnx import TensorProto, helper
from refstar_service.engine.session import available_cpus
from report import Report, Table, command, parser, publish, this_machine

GRAPHS = ("restore_alone", "restore", "encode_references")
SIDE = 1024  # of the matrices
SHOWN = 12  # operators


def session(model: str | bytes, threads: int, profile: Path | None = None) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.log_severity_level = 3
    options.intra_op_num_threads = threads
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    if profile is not None:
        options.enable_profiling = True
        options.profile_file_prefix = str(profile)
    return ort.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def profiled(path: Path, times: int) -> list[dict[str, Any]]:
    """What onnxruntime notes of each operator in ``times`` runs on one core."""
    with tempfile.TemporaryDirectory() as folder:
        loaded = session(str(path), 1, Path(folder) / "profile")
        inputs = one_face(loaded)
        for _ in range(times):
            loaded.run(None, inputs)
        events = json.loads(Path(loaded.end_profiling()).read_text())
    return [e for e in events if e.get("cat") == "Node" and e["name"].endswith("_kernel_time")]


def milliseconds(path: Path, times: int) -> Counter[str]:
    """By operator, of one run."""
    spent: Counter[str] = Counter()
    for event in profiled(path, times):
        spent[event["args"]["op_name"]] += event["dur"]
    return Counter({name: microseconds / times / 1000 for name, microseconds in spent.items()})


def product(threads: int) -> tuple[ort.InferenceSession, Inputs]:
    info = helper.make_tensor_value_info
    graph = helper.make_graph(
        [helper.make_node("MatMul", ["a", "b"], ["c"])],
        "product",
        [info(name, TensorProto.FLOAT, [SIDE, SIDE]) for name in ("a", "b")],
        [info("c", TensorProto.FLOAT, [SIDE, SIDE])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
    loaded = session(model.SerializeToString(), threads)
    return loaded, one_face(loaded)


def medians(runs: dict[str, tuple[ort.InferenceSession, Inputs]], times: int) -> dict[str, float]:
    """Milliseconds, in turns."""
    found: dict[str, list[float]] = {name: [] for name in runs}
    for number in range(times + 2):
        for name, (loaded, inputs) in runs.items():
            began = time.perf_counter()
            loaded.run(None, inputs)
            if number >= 2:
                found[name].append(1000 * (time.perf_counter() - began))
    return {name: float(np.median(each)) for name, each in found.items()}


def main() -> None:
    made = parser(__doc__)
    made.add_argument("--model", type=Path, default=MODEL, help="folder of a model; default: the shipped one")
    made.add_argument("--times", type=int, default=20)
    options: argparse.Namespace = made.parse_args()
    machine = this_machine()
    files = json.loads((options.model / "model.json").read_text())["graphs"]
    names = [name for base in GRAPHS for name in (base, f"{base}_int8") if name in files]
    paths = {name: options.model / files[name]["file"] for name in names}
    cores = available_cpus()
    times = {}
    for threads in sorted({1, cores}):
        sessions = {name: session(str(path), threads) for name, path in paths.items()}
        runs = {name: (one, one_face(one)) for name, one in sessions.items()}
        times[threads] = medians(runs | {"product": product(threads)}, options.times)
    spent = {name: milliseconds(path, options.times) for name, path in paths.items()}
    needs = {base: work(paths[base]).multiplications / 1e9 for base in GRAPHS if base in paths}
    limit = 2e-6 * SIDE**3 / times[1]["product"]  # thousand million additions and multiplications per second
    rows = []
    for name in names:
        needed = needs[name.removesuffix("_int8")]
        reached = 2000 * needed / times[1][name]
        rows.append((name, needed, times[1][name], times[cores][name], reached, reached / limit))
    columns = (
        "graph, one face",
        "multiplications, 10^9",
        "one core, ms",
        f"{cores} cores, ms",
        "GFLOP/s on one core",
        f"of the {limit:.0f} of a matrix product",
    )
    top = [name for name, _ in sum(spent.values(), Counter()).most_common(SHOWN)]
    by_operator = tuple((name, *(spent[graph][name] for graph in names)) for name in top)
    rest = tuple(sum(one.values()) - sum(one[name] for name in top) for one in spent.values())
    tables = (
        Table("network", columns, tuple(rows)),
        Table("network-operators", ("one core, ms", *names), (*by_operator, ("all others", *rest))),
    )
    publish(Report(command("network", options, made), tables), machine, options)


if __name__ == "__main__":
    main()
