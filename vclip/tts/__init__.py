"""Text and a speaker vector in, speech out. Backends are opened by a spec string.

morph                    one neural English voice, bent to fit a GE2E embedding; no download
vits:FOLDER|HUB/NAME     a multi-speaker VITS checkpoint of transformers; its own speaker space
piper:VOICE.onnx         a multi-speaker Piper voice; its own speaker space
"""

from vclip.errors import InputError
from vclip.tts.base import TTS

__all__ = ["TTS", "open_tts"]


def open_tts(spec: str) -> TTS:
    """Returns the backend that `spec` names.

    Raises:
        InputError: the spec is unknown, a package or file is missing, or the weights are not those expected.
    """
    kind, _, source = spec.partition(":")
    if spec == "morph":
        from vclip.tts.morph.backend import Morph

        return Morph()
    if kind == "vits" and source:
        from vclip.tts.vits import Vits

        return Vits(source)
    if kind == "piper" and source:
        from vclip.tts.piper import Piper

        return Piper(source)
    raise InputError(f"tts '{spec}': expected 'morph', 'vits:FOLDER or hub name' or 'piper:VOICE.onnx'")
