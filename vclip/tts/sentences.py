"""Text divided into the parts that a TTS speaks one by one: sentences, each with the pause that follows it."""

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from vclip.errors import InputError
from vclip.tts.loudness import normalised
from vclip.tts.spoken_form import spoken_form

SENTENCE_PAUSE_S, PARAGRAPH_PAUSE_S = 0.25, 0.6
# Longer sentences are cut after a clause, or else between words, because a network's memory grows with its input.
MAX_CHARACTERS = 400
# A full stop ends a sentence if a space follows ("3.5" is a number); those of Chinese, Japanese and Hindi always do.
# The full stop of an initial does not ("J. K. Rowling").
_END = re.compile(r"(?<=[.!?…])(?<!\b[A-Z]\.)[\"”’»)\]]*\s+(?=\S)|(?<=[。！？।؟])[\"”’」』)\]]*\s*(?=\S)")
READABLE = ("LATIN", "GREEK", "MODIFIER", "DIGIT")  # by the first word of a character's Unicode name
_CLAUSE = re.compile(r".*[,;:،、，；—]\s*", re.DOTALL)

Input = TypeVar("Input")  # of a network, for one sentence


@dataclass(frozen=True)
class Sentence:
    """A sentence, and the silence after it."""

    text: str
    pause_s: float


def sentences(text: str) -> list[Sentence]:
    """Returns the sentences of a text that hold a letter or a digit; the end of a line ends a paragraph."""
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
    read: Callable[[str], Input],
    say: Callable[[Input], np.ndarray],
    sample_rate_hz: int,
    tts: str,
    language: str = "",
) -> Iterator[np.ndarray]:
    """Yields the speech (samples,) of each sentence of a text, and the silence of each pause.

    Args:
        text: a text of any length.
        read: turns a sentence into the network's input; empty if there is nothing to speak in it.
        say: turns the network's input into samples (n,).
        sample_rate_hz: the sample rate.
        tts: the name of the TTS, for errors.
        language: the language of the text; numbers, units and the like of English are written as words.

    Raises:
        InputError: the text has nothing to speak, or `read` raises it.
    """
    spoken = spoken_form(text) if language == "en" else text
    parts = [(read(sentence.text), sentence.pause_s) for sentence in sentences(spoken)]
    if not any(ids for ids, _ in parts):
        raise InputError(f"text {text[:40]!r}: found nothing to speak, expected words that {tts} knows")
    for ids, pause_s in parts:
        if ids:
            yield say(ids)
            yield np.zeros(round(pause_s * sample_rate_hz), np.float32)


def whole(parts: Iterable[np.ndarray], sample_rate_hz: int) -> np.ndarray:
    """Returns the parts of speech joined, (samples,) float32 at -23 LUFS."""
    return normalised(np.concatenate(list(parts)), sample_rate_hz)


def expect_known(text: str, unknown: set[str], tts: str) -> None:
    """Raises InputError if a text has letters that a TTS cannot pronounce, and would leave out without notice."""
    if unknown:
        found = ", ".join(repr(letter) for letter in sorted(unknown)[:5])
        raise InputError(f"text {text[:40]!r}: found {found}, which {tts} cannot pronounce; use other letters")


def not_english(text: str) -> set[str]:
    """Returns the letters and digits of a text that an English text front end cannot pronounce.

    Front ends leave them out, read them as Latin letters of the same shape, or call each of them "Chinese letter".
    """
    return {c for c in text if not all(map(_readable, unicodedata.normalize("NFKC", c)))}


def _readable(character: str) -> bool:
    spoken = character.isalpha() or character.isdecimal()
    return not spoken or unicodedata.name(character, "").startswith(READABLE)


def _bounded(sentence: str) -> Iterator[str]:
    while len(sentence) > MAX_CHARACTERS:
        head = sentence[:MAX_CHARACTERS]
        clause = _CLAUSE.match(head)
        cut = clause.end() if clause else head.rfind(" ") + 1 or MAX_CHARACTERS
        yield sentence[:cut].strip()
        sentence = sentence[cut:].strip()
    if sentence:
        yield sentence
