"""A model folder like the shipped ones and a thousand times as quick: real graphs, drawn weights, faces of 64 pixels.

The result is about 0.7 of the face and 0.3 of its references, so it tells whose input it came from; what is left comes
out of convolutions, whose sums in floating point would tell if batch-mates had a part in them.
"""

import hashlib
import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

SIDE = 64
OWN = 0.7
#: By so many levels may the mean of a reference differ from a face's, for a gated model to find it as likely as not
#: that they show the same person; `SLOPE` levels more are one less in the logit.
APART, SLOPE = 40.0, 8.0


def write_small_model(
    parent: Path,
    version: str = "0",
    *,
    folder: str = "refstar",
    seed: int = 7,
    side: int = SIDE,
    gated: bool = False,
) -> None:
    """As ``parent/folder``; its one graph of each kind takes any batch and any number of references. With another
    ``seed``, it makes another picture of the same face. ``side``: of its faces, in pixels. ``gated``: it judges who
    references show, by how bright they are."""
    graphs = {"encode_references": _encoder(side), "restore": _restorer(seed, side, gated)}
    write_model_folder(parent / folder, graphs, side, version, "none: its weights are drawn", "of tests")


def write_model_folder(
    folder: Path,
    graphs: dict[str, onnx.GraphProto],
    side: int,
    version: str,
    training_data: str,
    limits: str,
    **changes: object,
) -> None:
    """Graphs by name and the manifest that makes a model of them, for faces of ``side`` pixels.

    ``changes``: fields of the manifest that are others than those of a model with references.
    """
    folder.mkdir(parents=True)
    described = {}
    for name, graph in graphs.items():
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10)
        onnx.checker.check_model(model)
        data = model.SerializeToString()
        (folder / f"{name}.onnx").write_bytes(data)
        described[name] = {
            "file": f"{name}.onnx",
            "sha256": hashlib.sha256(data).hexdigest(),
            "inputs": [value.name for value in graph.input],
        }
    manifest = {
        "name": "refstar",
        "version": version,
        "system": "refstar",
        "license": "Apache-2.0",
        "training_data": [training_data],
        "commit": "0" * 40,
        "input_size": side,
        "precision": "fp32, as the manifest has it",
        "max_references": 8,
        "needs_references": False,
        "ranks": {"with_references": 1, "without_references": 2},
        "graphs": described,
        "quality": {},
        "limits": [limits],
        "golden": {},
    }
    (folder / "model.json").write_text(json.dumps(manifest | changes))


def _encoder(side: int) -> onnx.GraphProto:
    return helper.make_graph(
        [
            helper.make_node("Cast", ["references"], ["f"], to=TensorProto.FLOAT),
            helper.make_node("Transpose", ["f"], ["features_picture"], perm=[0, 3, 1, 2]),
        ],
        "encode_references",
        [helper.make_tensor_value_info("references", TensorProto.UINT8, ["N", side, side, 3])],
        [helper.make_tensor_value_info("features_picture", TensorProto.FLOAT, ["N", 3, side, side])],
    )


def _restorer(seed: int, side: int, gated: bool) -> onnx.GraphProto:
    draw = np.random.default_rng(seed)
    inner = {"w1": draw.normal(0, 0.2, (12, 6, 5, 5)), "w2": draw.normal(0, 0.05, (3, 12, 5, 5))}
    fixed = {
        "fidelity_shape": np.array([-1, 1, 1, 1], np.int64),
        "grid_axes": np.array([2, 3], np.int64),
        "grid_shape": np.array([1, 1, 8, 8], np.int64),
        "never": np.array(-1, np.float32),
        "axis": np.array([1], np.int64),
        "weight_axes": np.array([2, 3, 4], np.int64),
        "one": np.array(1, np.float32),
        "own": np.array(OWN, np.float32),
        "other": np.array(1 - OWN, np.float32),
        "low": np.array(0, np.float32),
        "high": np.array(255, np.float32),
        "gain": np.array(0.02, np.float32),
    }
    node = helper.make_node
    taken = "believed_weight" if gated else "reference_weight"
    nodes = [
        node("Cast", ["low_quality"], ["face_last"], to=TensorProto.FLOAT),
        node("Transpose", ["face_last"], ["face"], perm=[0, 3, 1, 2]),
        *(_believe() if gated else []),
        node("Unsqueeze", [taken, "weight_axes"], ["weight"]),
        node("Mul", ["features_picture", "weight"], ["weighted"]),
        node("ReduceSum", ["weighted", "axis"], ["sum"], keepdims=0),
        node("ReduceSum", ["weight", "axis"], ["total"], keepdims=0),
        node("Max", ["total", "one"], ["count"]),
        node("Div", ["sum", "count"], ["mean"]),
        node("Mul", ["face", "own"], ["a"]),
        node("Mul", ["mean", "other"], ["b"]),
        node("Add", ["a", "b"], ["blend"]),
        node("Concat", ["face", "mean"], ["both"], axis=1),
        node("Conv", ["both", "w1"], ["c1"], pads=[2, 2, 2, 2]),
        node("Relu", ["c1"], ["r1"]),
        node("Conv", ["r1", "w2"], ["c2"], pads=[2, 2, 2, 2]),
        node("Mul", ["c2", "gain"], ["texture_all"]),
        node("Reshape", ["fidelity", "fidelity_shape"], ["closeness"]),
        node("Mul", ["texture_all", "closeness"], ["texture"]),
        node("Add", ["blend", "texture"], ["made"]),
        node("Clip", ["made", "low", "high"], ["clipped"]),
        node("Round", ["clipped"], ["round"]),
        node("Transpose", ["round"], ["last"], perm=[0, 2, 3, 1]),
        node("Cast", ["last"], ["restored"], to=TensorProto.UINT8),
        # Selection: the weight of each reference, on an 8 x 8 grid.
        node("Mul", [taken, "high"], ["shown"]),
        node("Unsqueeze", ["shown", "grid_axes"], ["shown_4"]),
        node("Expand", ["shown_4", "grid_shape"], ["grid_f"]),
        node("Cast", ["grid_f"], ["selection"], to=TensorProto.UINT8),
        node("Greater", ["fidelity", "never"], ["finite"]),
        *([*_compare("round", "likeness"), *_say("same_person"), *_say("likeness")] if gated else []),
    ]
    if gated:
        fixed |= {
            "person_axes": np.array([2, 3, 4], np.int64),
            "face_axes": np.array([1, 2, 3], np.int64),
            "side_axis": np.array([1], np.int64),
            "apart": np.array(APART, np.float32),
            "slope": np.array(SLOPE, np.float32),
        }
    values = {name: array.astype(np.float32) for name, array in inner.items()} | fixed
    info = helper.make_tensor_value_info
    return helper.make_graph(
        nodes,
        "restore",
        [
            info("low_quality", TensorProto.UINT8, ["B", side, side, 3]),
            info("features_picture", TensorProto.FLOAT, ["B", "R", 3, side, side]),
            info("reference_weight", TensorProto.FLOAT, ["B", "R"]),
            info("fidelity", TensorProto.FLOAT, ["B"]),
            *([info("gate_strength", TensorProto.FLOAT, ["B"])] if gated else []),
        ],
        [
            info("restored", TensorProto.UINT8, ["B", side, side, 3]),
            info("selection", TensorProto.UINT8, ["B", "R", 8, 8]),
            info("finite", TensorProto.BOOL, ["B"]),
            *(info(name, TensorProto.FLOAT, ["B", "R"]) for name in ("same_person", "likeness") if gated),
        ],
        [numpy_helper.from_array(array, name) for name, array in values.items()],
    )


def _compare(face: str, judged: str) -> list[onnx.NodeProto]:
    """Whether references show the person of ``face`` [B, 3, S, S], by their means: ``judged``_all [B, R]."""
    node = helper.make_node
    return [
        node("ReduceMean", [face, "face_axes"], [f"{judged}_own"], keepdims=0),
        node("Unsqueeze", [f"{judged}_own", "side_axis"], [f"{judged}_own_2"]),
        node("ReduceMean", ["features_picture", "person_axes"], [f"{judged}_others"], keepdims=0),
        node("Sub", [f"{judged}_own_2", f"{judged}_others"], [f"{judged}_difference"]),
        node("Abs", [f"{judged}_difference"], [f"{judged}_distance"]),
        node("Sub", ["apart", f"{judged}_distance"], [f"{judged}_nearness"]),
        node("Div", [f"{judged}_nearness", "slope"], [f"{judged}_logit"]),
        node("Sigmoid", [f"{judged}_logit"], [f"{judged}_all"]),
    ]


def _believe() -> list[onnx.NodeProto]:
    """The weight of the references, as far as the gate's strength lets the gate have a say."""
    node = helper.make_node
    return [
        *_compare("face", "same_person"),
        node("Unsqueeze", ["gate_strength", "side_axis"], ["strength"]),
        node("Sub", ["one", "strength"], ["unheard"]),
        node("Mul", ["strength", "same_person_all"], ["heard"]),
        node("Add", ["unheard", "heard"], ["belief"]),
        node("Mul", ["reference_weight", "belief"], ["believed_weight"]),
    ]


def _say(judged: str) -> list[onnx.NodeProto]:
    """Nothing of a reference that is not there."""
    node = helper.make_node
    return [
        node("Greater", ["reference_weight", "low"], [f"{judged}_there"]),
        node("Where", [f"{judged}_there", f"{judged}_all", "low"], [judged]),
    ]
