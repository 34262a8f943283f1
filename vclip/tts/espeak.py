"""Text of many languages as phonemes, by espeak-ng through the package phonemizer (GPL-3, so an extra)."""

from functools import cache
from importlib.util import find_spec
from typing import Any

from vclip.errors import InputError


def is_installed() -> bool:
    """Returns whether phonemizer and an espeak-ng from PyPI are installed."""
    return all(map(find_spec, ("phonemizer", "espeakng_loader")))


def phonemes(text: str, voice: str) -> str:
    """Returns the phonemes of a sentence in the alphabet of espeak-ng, with stress, "^" between tied ones.

    Args:
        text: the sentence; its punctuation stays.
        voice: a language of espeak-ng, as in "fr-fr".
    """
    return "".join(_backend(voice).phonemize([text], strip=True)[:1])


def find_espeak(tts: str, install: str) -> None:
    """Makes phonemizer use the system's espeak-ng, or else that of the package espeakng-loader.

    Raises:
        InputError: there is neither.
    """
    from phonemizer.backend import EspeakBackend
    from phonemizer.backend.espeak.wrapper import EspeakWrapper

    if EspeakBackend.is_available():
        return
    try:
        import espeakng_loader
    except ImportError:
        raise InputError(f"tts '{tts}': reads phonemes, which needs espeak-ng; {install}") from None
    EspeakWrapper.set_library(espeakng_loader.get_library_path())
    EspeakWrapper.set_data_path(espeakng_loader.get_data_path())


@cache
def _backend(voice: str) -> Any:
    from phonemizer.backend import EspeakBackend

    return EspeakBackend(voice, preserve_punctuation=True, with_stress=True, tie="^", language_switch="remove-flags")
