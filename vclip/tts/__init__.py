"""Text and a speaker vector in, speech out. Backends are opened by a spec string.

morph        one neural English voice, bent to fit a GE2E embedding; no download
"""

from vclip.errors import InputError
from vclip.tts.protocol import TTS

__all__ = ["TTS", "open_tts"]


def open_tts(spec: str) -> TTS:
    """Returns the backend that `spec` names.

    Raises:
        InputError: the spec is unknown, or its calibration does not fit what is installed.
    """
    if spec == "morph":
        from vclip.tts.morph import Morph

        return Morph()
    raise InputError(f"tts '{spec}': expected 'morph'")
