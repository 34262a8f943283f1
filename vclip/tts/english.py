"""English text as phonemes, by hibari-tts, for the networks that know its alphabet (`morph`, `kokoro`)."""

import re
import unicodedata
from collections.abc import Iterator

from hibari import Hibari

from vclip.errors import InputError
from vclip.tts.sentences import expect_known, not_english
from vclip.tts.spoken_form import spoken_form

MAX_PHONEMES = 400


def phonemes(reader: Hibari, text: str, tts: str, max_phonemes: int = MAX_PHONEMES) -> list[str]:
    """Returns the phonemes of each sentence of a text, at most `max_phonemes` each.

    Args:
        reader: hibari's pronunciation.
        text: an English text of any length.
        tts: the name of the TTS, for errors.
        max_phonemes: longer sentences are cut between words.

    Raises:
        InputError: the text has nothing to speak, or letters that are not read in English.
    """
    text = unicodedata.normalize("NFC", text)  # hibari reads an accent only as part of its letter
    expect_known(text, not_english(text), tts)
    parts = [part for sentence in reader.phonemize(spoken_form(text)) for part in bounded(sentence, max_phonemes)]
    spoken = [part for part in parts if re.search(r"\w", part)]
    if not spoken:
        raise InputError(f"text {text[:40]!r}: found nothing to speak, expected English words or numbers")
    return spoken


def bounded(sentence: str, most: int) -> Iterator[str]:
    """Yields parts of at most `most` phonemes: hibari reads any number of words without punctuation as a sentence."""
    while len(sentence) > most:
        cut = sentence.rfind(" ", 1, most)
        cut = cut if cut > 0 else most
        yield sentence[:cut]
        sentence = sentence[cut:].strip()
    yield sentence
