"""The TTS `morph`: speaker similarity, intelligibility and speed.

    python benchmarks/morph.py --speech LibriSpeech/dev-clean [--people 100] [--out morph.json]

`morph` receives the embedding of each person (over all their utterances) and speaks four sentences in that voice; no
sentence and no person was part of the calibration. Measured are the cosine of the requested and the obtained
embedding, beside the cosine of requested embeddings of different people; the word error rate of pocketsphinx, beside
that of the unmodified base voice on the same sentences; and the CPU time of one thread per second of speech
(`time.process_time`), with an empty cache and with cached sentences. 95 % intervals by bootstrap over people. Prints
JSON.

The targets are a cosine above .72, at most 10 percentage points more word errors, five times real time with new text
and twenty times with cached sentences, and 50 ms to find the controls of a voice; exits with 1 if one is missed.
"""

import argparse
import json
import re
import sys
import time
from pathlib import Path

import numpy as np
import pocketsphinx
import torch

from pipelines.config import Config
from pipelines.generation.fit_speakers import bank_of_folder
from pipelines.progress import step
from vclip.audio import prepare_speech, resample
from vclip.encoders.ge2e import GE2E
from vclip.tts.morph.backend import Morph
from vclip.tts.morph.controls import Controls

# Of the Harvard sentences (IEEE, 1969), lists 3 to 12; none in the calibration.
SENTENCES = (
    "The boy was there when the sun rose.",
    "A rod is used to catch pink salmon.",
    "The source of the huge river is the clear spring.",
    "Kick the ball straight and follow through.",
    "Help the woman get back to her feet.",
    "A pot of tea helps to pass the evening.",
    "The soft cushion broke the fall of the man.",
    "The salt breeze came across from the sea.",
    "The small pup gnawed a hole in the sock.",
    "The fish twisted and turned on the bent hook.",
    "Press the pants and sew a button on the vest.",
    "The young girl gave no clear response.",
    "The meal was cooked before the bell rang.",
    "What joy there is in living.",
    "The ship was torn apart on the sharp reef.",
    "Sickness kept him home the third week.",
    "The box will hold seven gifts at once.",
    "The crooked maze failed to fool the mouse.",
    "Adding fast leads to wrong sums.",
    "Open the crate but do not break the glass.",
)
EACH = 4  # sentences said by each person
DRAWS = 2000
RATE_HZ = 16_000


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    bank = bank_of_folder(args.speech, Config())
    rows = np.random.default_rng(args.seed).permutation(len(bank))[: args.people]
    requested = bank.vectors[rows]
    tts, encoder = Morph(), GE2E("cpu")
    result = {"people": len(rows), **speed(tts, requested), **people(tts, encoder, requested)}
    print(json.dumps(result, indent=2))
    if args.out:
        args.out.write_text(json.dumps(result, indent=2) + "\n")
    claims = (
        result["cosine"]["value"] > 0.72,
        result["more_word_errors_than_base"]["value"] <= 0.10,
        result["real_time_factor_new_text"] > 5,
        result["real_time_factor_known_text"] > 20,
        result["controls_ms"] < 50,
    )
    sys.exit(0 if all(claims) else 1)


def speed(tts: Morph, requested: np.ndarray) -> dict[str, float]:
    """Returns the seconds of speech per CPU second of `synthesize`, and the time to find the controls."""
    fresh = Morph()
    fresh.synthesize("Warm up.", requested[0])
    new = _factor(fresh, requested[0])
    known = _factor(fresh, requested[1])
    start = time.process_time()
    for vector in requested[:20]:
        tts.controls(vector)
    controls_ms = 1000 * (time.process_time() - start) / len(requested[:20])
    return {"real_time_factor_new_text": new, "real_time_factor_known_text": known, "controls_ms": controls_ms}


def _factor(tts: Morph, vector: np.ndarray) -> float:
    start = time.process_time()
    samples = sum(len(tts.synthesize(text, vector)) for text in SENTENCES)
    return samples / tts.sample_rate_hz / (time.process_time() - start)


def people(tts: Morph, encoder: GE2E, requested: np.ndarray) -> dict[str, object]:
    """Returns cosines and word errors of each person's voice and of the base voice."""
    ears, base = Ears(), Controls()
    base_errors = {text: ears.errors(text, tts.speak(text, base), tts.sample_rate_hz) for text in SENTENCES}
    cosines, obtained, rates, differences = [], [], [], []
    with step("speak and listen", len(requested), "people") as progress:
        for number, vector in enumerate(requested):
            texts = [SENTENCES[(number * EACH + i) % len(SENTENCES)] for i in range(EACH)]
            waves = [tts.synthesize(text, vector) for text in texts]
            mean = encoder.embed([prepare_speech(w, tts.sample_rate_hz, RATE_HZ) for w in waves]).mean(0)
            obtained.append(mean / np.linalg.norm(mean))
            cosines.append(float(obtained[-1] @ vector))
            words = sum(len(_words(text)) for text in texts)
            wrong = sum(ears.errors(t, w, tts.sample_rate_hz) for t, w in zip(texts, waves, strict=True))
            rates.append(wrong / words)
            differences.append((wrong - sum(base_errors[text] for text in texts)) / words)
            progress.advance()
    voices = np.array(obtained)
    between = (requested @ requested.T)[np.triu_indices(len(requested), 1)]
    return {
        "cosine": _interval(cosines),
        "cosine_between_people": float(between.mean()),
        "rank_of_the_requested_median": float(
            np.median((voices @ requested.T > np.array(cosines)[:, None]).sum(1) + 1)
        ),
        "word_error_rate": _interval(rates),
        "word_error_rate_base": sum(base_errors.values()) / sum(len(_words(text)) for text in SENTENCES),
        "more_word_errors_than_base": _interval(differences),
        "word_error_rate_worst_tenth": float(np.percentile(rates, 90)),
    }


def _interval(values: list[float]) -> dict[str, float]:
    rng, found = np.random.default_rng(0), np.array(values)
    means = found[rng.integers(len(found), size=(DRAWS, len(found)))].mean(1)
    low, high = np.percentile(means, [2.5, 97.5])
    return {"value": float(found.mean()), "low": float(low), "high": float(high)}


class Ears:
    """pocketsphinx with the models in its wheel."""

    def __init__(self) -> None:
        self._decoder = pocketsphinx.Decoder(samprate=RATE_HZ, loglevel="FATAL")

    def errors(self, text: str, wave: np.ndarray, rate_hz: int) -> int:
        """Returns the number of substituted, inserted and deleted words from the reference to the transcript."""
        padded = np.pad(resample(wave, rate_hz, RATE_HZ), RATE_HZ // 5)
        self._decoder.start_utt()
        self._decoder.process_raw((padded / np.abs(padded).max() * 2**14).astype("<i2").tobytes(), full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return edits(_words(text), found.hypstr.split() if found else [])


def edits(said: list[str], heard: list[str]) -> int:
    """Returns the Levenshtein distance."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        above, row[0] = row[:], i
        for j, other in enumerate(heard, 1):
            row[j] = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (word != other))
    return row[-1]


def _words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


if __name__ == "__main__":
    main()
