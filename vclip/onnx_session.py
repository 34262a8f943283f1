"""Networks in ONNX: every session of onnxruntime is opened here."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

GPU = "CUDAExecutionProvider"


def open_session(model: str | Path | bytes, gpu: bool = False, gpu_index: int = 0) -> Any:
    """Returns an onnxruntime session with one thread, whose threads do not spin while they wait.

    On a GPU it computes in float32, without TF32, because vectors of one space must not depend on the device.

    Args:
        model: the path of the file, or its bytes.
        gpu: whether to run on a GPU where the installed onnxruntime finds one.
        gpu_index: the number of the GPU.
    """
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 4  # it warns of what the authors of a file left in it; its errors are raised as well
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    on_gpu = [(GPU, {"device_id": gpu_index, "use_tf32": 0})] if gpu and has_gpu() else []
    source = model if isinstance(model, bytes) else str(model)
    return onnxruntime.InferenceSession(source, options, providers=[*on_gpu, "CPUExecutionProvider"])


def shrink_arena(session: Any, inputs: Mapping[str, np.ndarray]) -> None:
    """Gives back the memory that a session on the CPU keeps for its next runs; runs it once more, on small inputs."""
    import onnxruntime

    options = onnxruntime.RunOptions()
    options.add_run_config_entry("memory.enable_memory_arena_shrinkage", "cpu:0")
    session.run(None, dict(inputs), options)


def has_gpu() -> bool:
    """Returns whether the installed onnxruntime runs on GPUs: it is built for them."""
    import onnxruntime

    return GPU in onnxruntime.get_available_providers()
