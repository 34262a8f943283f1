"""A text cut into what a TTS speaks at a time: sentences, each with the pause that follows it."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from vclip.errors import InputError
from vclip.tts.loudness import normalised

SENTENCE_PAUSE_S, PARAGRAPH_PAUSE_S = 0.25, 0.6
# A run of words without a full stop is cut at a clause, else between words; a network's memory grows with its input.
MAX_CHARACTERS = 400
# A full stop wants a space after it ("3.5"); those of Chinese, Japanese and Hindi do not.
_END = re.compile(r"(?<=[.!?…])[\"”’»)\]]*\s+(?=\S)|(?<=[。！？।؟])[\"”’」』)\]]*\s*(?=\S)")
READABLE = ("LATIN", "GREEK", "MODIFIER", "DIGIT")  # by the first word of a character's Unicode name
_CLAUSE = re.compile(r".*[,;:،、，；—]\s*", re.DOTALL)


@dataclass(frozen=True)
class Sentence:
    """One of a text, and the silence after it."""

    text: str
    pause_s: float


def sentences(text: str) -> list[Sentence]:
    """Returns the sentences of a text in which there is a letter or a digit; line ends are paragraphs' ends."""
    found: list[Sentence] = []
    for paragraph in unicodedata.normalize("NFC", text).splitlines():
        parts = [part for sentence in _END.split(paragraph) for part in _bounded(sentence.strip())]
        spoken = [part for part in parts if any(character.isalnum() for character in part)]
        pauses = [SENTENCE_PAUSE_S] * (len(spoken) - 1) + [PARAGRAPH_PAUSE_S]
        found += [Sentence(*row) for row in zip(spoken, pauses, strict=False)]
    if found:
        found[-1] = Sentence(found[-1].text, 0.0)
    return found


def speak(
    text: str,
    read: Callable[[str], list[int]],
    say: Callable[[list[int]], np.ndarray],
    sample_rate_hz: int,
    tts: str,
) -> Iterator[np.ndarray]:
    """Yields the sentences and pauses (samples,) of a text.

    Args:
        text: any length.
        read: turns a sentence into the network's input; empty where there is nothing to say in it.
        say: turns that into samples (n,).
        sample_rate_hz: of the samples.
        tts: its name, for errors.

    Raises:
        InputError: there is nothing to speak in the text, or `read` raises it.
    """
    parts = [(read(sentence.text), sentence.pause_s) for sentence in sentences(text)]
    if not any(ids for ids, _ in parts):
        raise InputError(f"text {text[:40]!r}: found nothing to speak, expected words that {tts} knows")
    for ids, pause_s in parts:
        if ids:
            yield say(ids)
            yield np.zeros(round(pause_s * sample_rate_hz), np.float32)


def whole(parts: Iterable[np.ndarray], sample_rate_hz: int) -> np.ndarray:
    """Returns the parts of some speech as one, (samples,) float32 at -23 LUFS."""
    return normalised(np.concatenate(list(parts)), sample_rate_hz)


def expect_known(text: str, strange: set[str], tts: str) -> None:
    """Raises InputError if there are letters that a TTS has no sound for; left out, they would not be missed."""
    if strange:
        found = ", ".join(repr(letter) for letter in sorted(strange)[:5])
        raise InputError(
            f"text {text[:40]!r}: found {found}, for which {tts} has no sound; spell it in other letters"
        )


def not_english(text: str) -> set[str]:
    """Returns the letters and digits of a text that an English reader has no sound for.

    Readers leave them out, or take them for Latin ones of the same shape, or call each "Chinese letter".
    """
    return {c for c in text if not all(map(_readable, unicodedata.normalize("NFKC", c)))}


def _readable(character: str) -> bool:
    strange = character.isalpha() or character.isdecimal()
    return not strange or unicodedata.name(character, "").startswith(READABLE)


def _bounded(sentence: str) -> Iterator[str]:
    while len(sentence) > MAX_CHARACTERS:
        head = sentence[:MAX_CHARACTERS]
        clause = _CLAUSE.match(head)
        cut = clause.end() if clause else head.rfind(" ") + 1 or MAX_CHARACTERS
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    if sentence:
        yield sentence
