"""A TTS that costs next to nothing, and writes down what it is asked: for tests of the batch job itself."""

import hashlib
import os
import time
from pathlib import Path

import numpy as np

from pipelines.generation.faces import TargetFace
from pipelines.generation.utterances import Utterance
from vclip.errors import InputError
from vclip.speakers.voice import Voice


class Beeper:
    """Speaks a tone whose pitch is the voice's and whose length is the text's; no speech, and labelled so.

    A text of several words may begin with one that says what becomes of who speaks it: `raises`, `refuses`.
    """

    name, languages = "beeper", ("en",)
    space, dim = "resemblyzer/ge2e-256", 256
    sample_rate_hz = 16_000
    made_of = {"beeper": "a test's, no speech"}  # noqa: RUF012

    def __init__(self, journal: Path, takes_s: float):
        self._journal, self._takes_s = journal, takes_s

    def synthesize(self, text, speaker, language=""):
        voice = hashlib.sha256(np.asarray(speaker, np.float32).tobytes()).hexdigest()[:16]
        self._note(f"{os.getpid()} {voice} {text}")
        first = text.split()[0]
        if first == "raises":
            raise IndexError("out of range")
        if first == "refuses":
            raise InputError("text: found nothing to speak")
        time.sleep(self._takes_s)
        at_s = np.arange(int(self.sample_rate_hz * (0.5 + 0.01 * len(text)))) / self.sample_rate_hz
        return (0.1 * np.sin(2 * np.pi * (100 + int(voice[:2], 16)) * at_s)).astype(np.float32)

    def parts(self, text, speaker, language=""):
        yield self.synthesize(text, speaker)

    def _note(self, line):
        # One write of less than a page to a file that is appended to is whole, whoever else writes.
        with open(self._journal, "ab", buffering=0) as file:
            file.write(f"{line}\n".encode())


def beeper(journal, takes_s=0.0):
    """Returns what opens the TTS, in whatever process."""
    return lambda spec: Beeper(Path(journal), takes_s)


def asked(journal: Path) -> list[str]:
    """Returns (voice, text) of everything that was asked, in order, as a line each."""
    return [line.partition(" ")[2] for line in journal.read_text().splitlines()] if journal.exists() else []


def utterance(text, speaker, face: TargetFace, models=None, generate=None) -> Utterance:
    """Returns a text in a voice that was chosen for a face, as a session chooses it."""
    chosen = {"score": 0.5, "scores": {"informed": 0.5, "log_likelihood": 1.0}, "nearest_known_cosine": 0.7}
    made = {"models": models or {"tts": {"name": Beeper.name}}, "generate": generate or {"seed": 0}}
    limit = {"voice": 1, "known_similarity_limit": 0.8, "seed": 0}
    provenance = {"notice": "Synthetic speech.", **face.provenance, **chosen, **limit, **made}
    return Utterance(Voice(np.asarray(speaker, np.float32), Beeper.space, Beeper.name, provenance), text, target=face)
