"""A Piper voice's graph, changed in two places: any speaker vector goes in, and chance goes out.

Piper's exported VITS takes the number of a speaker, looks its vector up, and draws noise that no seed reaches. Here
the vector is an input instead of the look-up, and the noise is read from a fixed array, over and over.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from vclip.errors import InputError

SPEAKER, NUMBER = "speaker_vector", "sid"
NOISE = "vclip_noise"
NOISE_SAMPLES = 2**19  # at 192 channels half a minute before it comes again; sentences are shorter
CHANCE = {"RandomNormal", "RandomUniform", "RandomUniformLike", "Multinomial", "Bernoulli"}


@dataclass(frozen=True)
class VoiceGraph:
    """A graph whose inputs are input, input_lengths, scales and `speaker_vector` (1, dim)."""

    model: bytes
    speakers: np.ndarray  # (S, dim) float32, the table that it looked its speakers up in


def read_graph(path: Path) -> VoiceGraph:
    """Returns the changed graph of a multi-speaker voice.

    Raises:
        InputError: unreadable, of one speaker, or not built as Piper's voices are.
    """
    try:
        model = onnx.load(str(path))
    except Exception as error:  # protobuf's own class for damaged files is not one that can be named
        raise InputError(f"piper voice {path}: unreadable ({error}); expected an ONNX file") from None
    graph = model.graph
    speakers = _take_look_up(graph, path)
    if chance := sorted({node.op_type for node in graph.node} & CHANCE):
        raise InputError(f"piper voice {path}: found the operation {chance[0]}, expected RandomNormalLike alone")
    _fix_noise(graph)
    return VoiceGraph(model.SerializeToString(), speakers)


def _take_look_up(graph: onnx.GraphProto, path: Path) -> np.ndarray:
    """Makes the looked-up vector an input; returns the table."""
    number = next((given for given in graph.input if given.name == NUMBER), None)
    if number is None:
        raise InputError(f"piper voice {path}: found no input '{NUMBER}', expected a voice of several speakers")
    tables = {given.name: given for given in graph.initializer}
    looks = [node for node in graph.node if NUMBER in node.input]
    named = looks[0].input[0] if looks else ""
    alone = sum(named in node.input for node in graph.node) == len(looks) == 1
    if not alone or looks[0].op_type != "Gather" or named not in tables:
        raise InputError(f"piper voice {path}: expected one look-up of '{NUMBER}' in a table of speakers")
    table = numpy_helper.to_array(tables[named]).astype(np.float32)
    looked_up = looks[0].output[0]
    graph.initializer.remove(tables[named])
    graph.node.remove(looks[0])
    graph.input.remove(number)
    graph.input.append(helper.make_tensor_value_info(SPEAKER, TensorProto.FLOAT, [1, table.shape[1]]))
    for node in graph.node:
        node.input[:] = [SPEAKER if name == looked_up else name for name in node.input]
    return table


def _fix_noise(graph: onnx.GraphProto) -> None:
    """Replaces each RandomNormalLike by values of one seeded array, each from another place in it."""
    noise = np.random.default_rng(0).standard_normal(NOISE_SAMPLES).astype(np.float32)
    constants = {NOISE: noise, f"{NOISE}_size": np.int64(NOISE_SAMPLES), f"{NOISE}_step": np.int64(1)}
    nodes, drawn = [], 0
    for node in graph.node:
        if node.op_type != "RandomNormalLike":
            nodes.append(node)
            continue
        settings = {given.name: given.f for given in node.attribute if given.name in ("mean", "scale")}
        own = f"{NOISE}_{drawn}"
        constants[f"{own}_start"] = np.int64(drawn * NOISE_SAMPLES // 7)
        constants[f"{own}_mean"] = np.float32(settings.get("mean", 0.0))
        constants[f"{own}_scale"] = np.float32(settings.get("scale", 1.0))
        nodes += [
            helper.make_node("Size", [node.input[0]], [f"{own}_count"]),
            helper.make_node("Add", [f"{own}_start", f"{own}_count"], [f"{own}_end"]),
            helper.make_node("Range", [f"{own}_start", f"{own}_end", f"{NOISE}_step"], [f"{own}_at"]),
            helper.make_node("Mod", [f"{own}_at", f"{NOISE}_size"], [f"{own}_row"]),
            helper.make_node("Gather", [NOISE, f"{own}_row"], [f"{own}_flat"]),
            helper.make_node("Shape", [node.input[0]], [f"{own}_shape"]),
            helper.make_node("Reshape", [f"{own}_flat", f"{own}_shape"], [f"{own}_plain"]),
            helper.make_node("Mul", [f"{own}_plain", f"{own}_scale"], [f"{own}_scaled"]),
            helper.make_node("Add", [f"{own}_scaled", f"{own}_mean"], [node.output[0]]),
        ]
        drawn += 1
    del graph.node[:]
    graph.node.extend(nodes)
    if drawn:
        graph.initializer.extend(numpy_helper.from_array(np.asarray(v), k) for k, v in constants.items())
