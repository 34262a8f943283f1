"""Encoders in ONNX files small enough to make in a test: random projections, with a YAML beside each.

They are no networks that recognise anybody, but they take what published ones take.
"""

from pathlib import Path
from typing import Any

import numpy as np
import onnx
import yaml
from onnx import TensorProto, helper, numpy_helper

SIZE = 24


def face_network(path: Path, seed: int = 0, batch: int | str = "batch", **more: Any) -> Path:
    """Writes a network (batch, 3, 112, 112), or NHWC, -> (batch, SIZE): mean colours of 64 squares, projected."""
    settings = {"name": "squares", "version": 1, "licence": "CC0-1.0", "size": SIZE} | {
        "channels": "RGB", "mean": 127.5, "std": 127.5,
    }  # fmt: skip
    nhwc = more.get("layout") == "NHWC"
    nodes = [helper.make_node("Transpose", ["x"], ["nchw"], perm=[0, 3, 1, 2])] if nhwc else []
    nodes += [
        helper.make_node(
            "AveragePool", ["nchw" if nhwc else "x"], ["squares"], kernel_shape=[14, 14], strides=[14, 14]
        ),
        helper.make_node("Flatten", ["squares"], ["flat"]),
        helper.make_node("MatMul", ["flat", "weights"], ["vector"]),
    ]
    weights = np.random.default_rng(seed).standard_normal((192, SIZE)).astype(np.float32)
    shape = [batch, 112, 112, 3] if nhwc else [batch, 3, 112, 112]
    return write(path, nodes, {"weights": weights}, shape, settings | more)


def voice_network(
    path: Path, seed: int = 0, shape: tuple[int | str, ...] = ("batch", "time", 80), **more: Any
) -> Path:
    """Writes a network from filter banks, or the waveform -> (batch, SIZE): the mean over time of a projection."""
    settings = {"name": "mean", "version": 1, "licence": "CC0-1.0", "size": SIZE} | (
        {"full_scale": 1} if more.get("input") == "waveform" else {"input": "fbank", "full_scale": 32768}
    )
    rng = np.random.default_rng(seed)
    if more.get("input") == "waveform":  # |samples * kernel|
        arrays = {"weights": rng.standard_normal((SIZE, 1, 64)).astype(np.float32), "one": np.array([1], np.int64)}
        first = [helper.make_node("Unsqueeze", ["x", "one"], ["channel"])] if len(shape) == 2 else []
        inner = helper.make_node("Conv", ["channel" if first else "x", "weights"], ["inner"], strides=[16])
        axes = [2]
    else:
        arrays = {"weights": rng.standard_normal((80, SIZE)).astype(np.float32)}
        bft = more.get("layout") == "BFT"
        first = [helper.make_node("Transpose", ["x"], ["btf"], perm=[0, 2, 1])] if bft else []
        inner, axes = helper.make_node("MatMul", ["btf" if bft else "x", "weights"], ["inner"]), [1]
    nodes = [*first, inner, helper.make_node("Abs", ["inner"], ["rectified"])]
    nodes.append(helper.make_node("ReduceMean", ["rectified"], ["vector"], axes=axes, keepdims=0))
    return write(path, nodes, arrays, list(shape), settings | more)


def write(
    path: Path, nodes: list, arrays: dict[str, np.ndarray], shape: list, settings: dict[str, Any], inputs: int = 1
) -> Path:
    """Writes a network from `x` to `vector`, and its YAML; returns the path of the network."""
    value = helper.make_tensor_value_info
    taken = [value("xyz"[number], TensorProto.FLOAT, shape) for number in range(inputs)]
    graph = helper.make_graph(
        nodes, "encoder", taken, [value("vector", TensorProto.FLOAT, None)],
        [numpy_helper.from_array(array, name) for name, array in arrays.items()],
    )  # fmt: skip
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 15)], ir_version=8), str(path))
    write_settings(path, **settings)
    return path


def write_settings(path: Path, **settings: Any) -> None:
    """Writes the YAML beside a network."""
    path.with_name(f"{path.name}.yaml").write_text(yaml.safe_dump(settings))
