"""Networks in ONNX: every session of onnxruntime is opened here."""

from pathlib import Path
from typing import Any


def open_session(model: str | Path | bytes, gpu: bool = False) -> Any:
    """Returns an onnxruntime session with one thread, whose threads do not spin while they wait.

    Args:
        model: the path of the file, or its bytes.
        gpu: whether to run on a GPU where the installed onnxruntime finds one.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3  # it warns of what the authors of a file left in it
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    wanted = ("CUDAExecutionProvider", "CPUExecutionProvider") if gpu else ("CPUExecutionProvider",)
    providers = [name for name in wanted if name in onnxruntime.get_available_providers()]
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=providers)
