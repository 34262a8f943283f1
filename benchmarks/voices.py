"""TTS backends side by side: likeness to people, diversity, intelligibility, quality, pitch, speed and memory.

    python benchmarks/voices.py --speech LibriSpeech/dev-clean --tts kokoro morph [--people 100] [--json voices.json]

Each backend receives the GE2E embedding of each person (over all their recordings) and speaks `--sentences` sentences
in that voice; then it speaks in as many voices drawn from a speaker generator, which is fitted to the speakers
who were not chosen. No map of a backend may have been fitted on the people: the maps of `kokoro` and `morph` are
fitted on synthetic voices alone. Each backend speaks in a process of its own, with one thread, which does nothing
else.

cosine                of the requested and the obtained embedding; of the people: of two halves of their recordings
rank                  of the requested person among all, by cosine with the obtained voice
between voices        mean cosine of two voices: those obtained for the people, and those drawn
word errors           of pocketsphinx
DNSMOS                the mean opinion score that DNSMOS predicts
pitch                 correlation of log F0 with the person's own, and the median distance in semitones
speed                 seconds of speech for each CPU second (`time.process_time`), of new texts and of known ones
memory                peak resident memory of the process that speaks

Figures have 95 % intervals by bootstrap over people; a difference of two backends is taken person by person. Prints
Markdown; exits with 1 if a bound of BOUNDS is missed.
"""

import argparse
import json
import multiprocessing
import os
import re
import resource
import sys
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch

from pipelines.progress import say, step
from vclip.association.metrics import Figure, draw_people
from vclip.association.pairs import unit_norm
from vclip.audio import prepare_speech, resample
from vclip.encoders.ge2e import GE2E
from vclip.speakers.bank import SpeakerBank
from vclip.speakers.generator_fit import fit_generator
from vclip.speakers.metrics import speech_quality
from vclip.speakers.pitch import median_f0_hz, semitones
from vclip.tts import TTS, open_tts

# Of the Harvard sentences (IEEE, 1969), lists 3 to 12; none in a calibration.
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
RATE_HZ = 16_000
DRAWS = 2000
QUALITY_S = 9  # seconds of a recording that DNSMOS rates, the length of one window

# figure -> (backend -> its bound, whether more is better)
BOUNDS: dict[str, tuple[dict[str, float], bool]] = {
    "cosine": ({"kokoro": 0.81, "morph": 0.72}, True),
    "between_drawn": ({"kokoro": 0.63}, False),
    "quality": ({"kokoro": 3.3}, True),
    "pitch_correlation": ({"kokoro": 0.9}, True),
    "speed_new_text": ({"kokoro": 1.4, "morph": 5.0}, True),
    "speed_known_text": ({"morph": 20.0}, True),
    "memory_gb": ({"kokoro": 1.5, "morph": 1.5}, False),
}


@dataclass(frozen=True)
class People:
    """The people whose voices are requested."""

    requested: np.ndarray  # (m, dim) unit norm
    bank: SpeakerBank  # the other speakers
    halves: np.ndarray  # (m,) cosine of the two halves of a person's recordings
    f0_hz: np.ndarray  # (m,)
    quality: np.ndarray  # (m,)


@dataclass(frozen=True)
class Voices:
    """What a backend made of the requested and the drawn voices."""

    obtained: np.ndarray  # (m, dim) unit norm, for the people
    drawn: np.ndarray  # (m, dim) unit norm, for the drawn speakers
    errors: np.ndarray  # (m,) word errors divided by words
    f0_hz: np.ndarray  # (m,)
    quality: np.ndarray  # (m,)
    speed_new_text: float
    speed_known_text: float
    memory_gb: float


@dataclass(frozen=True)
class Utterance:
    """One sentence, as the process that speaks returns it."""

    text: str
    wave: np.ndarray  # (samples,) float32
    rate_hz: int
    cpu_s: float

    @property
    def seconds(self) -> float:
        return len(self.wave) / self.rate_hz


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True, help="people, as `vclip fit-speakers` reads them")
    parser.add_argument("--tts", nargs="+", default=["kokoro", "morph"])
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--sentences", type=int, default=2, help="spoken in each voice")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--json", type=Path, help="file for the figures")
    args = parser.parse_args()
    torch.set_num_threads(1)
    os.environ["OMP_NUM_THREADS"] = "1"  # of the processes that speak
    encoder = GE2E("cpu")
    people = read_people(args.speech, args.people, args.seed, encoder)
    generator = fit_generator(people.bank)[0]
    drawn = generator.sample(len(people.requested), args.seed)
    made = {spec: speak(spec, people.requested, drawn, args.sentences, encoder) for spec in args.tts}
    result = figures(people, made)
    table(result)
    if args.json:
        args.json.write_text(json.dumps(vars(args) | result, indent=2, default=str) + "\n")
    missed = misses(result["tts"])
    for miss in missed:
        say(f"missed: {miss}")
    sys.exit(1 if missed else 0)


def read_people(folder: Path, count: int, seed: int, encoder: GE2E) -> People:
    """Returns `count` speakers of a folder, and the bank of the others."""
    # Imported here, so that the process that speaks holds no more than it needs.
    from pipelines.config import Config
    from pipelines.extraction.speech.recordings import read_recording
    from pipelines.generation.fit_speakers import bank_of_folder, list_speech

    bank = bank_of_folder(folder, Config())
    order = np.random.default_rng(seed).permutation(len(bank))
    chosen, others = order[:count], np.sort(order[count:])
    files: dict[str, list[Path]] = {}
    for path, speaker, _ in list_speech(folder):
        files.setdefault(speaker, []).append(path)
    halves, f0_hz, quality = [], [], []
    with step("people", len(chosen), "people") as progress:
        for row in chosen:
            recordings = [
                read_recording(str(path), rate_hz=RATE_HZ).samples for path in files[str(bank.speaker_id[row])]
            ]
            speech = prepare_speech(np.concatenate(recordings), RATE_HZ)
            first, second = encoder.embed(np.array_split(speech, 2))
            halves.append(float(first @ second))
            f0_hz.append(median_f0_hz(speech, RATE_HZ))
            quality.append(speech_quality(speech[: QUALITY_S * RATE_HZ], RATE_HZ))
            progress.advance()
    rest = SpeakerBank(bank.space, bank.speaker_id[others], bank.vectors[others], bank.gender[others])
    return People(bank.vectors[chosen], rest, np.array(halves), np.array(f0_hz), np.array(quality))


def speak(spec: str, requested: np.ndarray, drawn: np.ndarray, sentences: int, encoder: GE2E) -> Voices:
    """Returns the voices of a backend; one process speaks, and this one listens."""
    ears, m = Ears(), len(requested)
    vectors = np.concatenate([requested, drawn])
    jobs = [[SENTENCES[(n * sentences + i) % len(SENTENCES)] for i in range(sentences)] for n in [*range(m)] * 2]
    embeddings, errors, f0_hz, quality, all_said = [], [], [], [], []
    with ProcessPoolExecutor(1, multiprocessing.get_context("spawn")) as pool:
        pool.submit(utterances, spec, ["Warm up."], requested[0]).result()
        with step(f"speak with {spec}", len(jobs), "voices") as progress:
            for number, said in enumerate(pool.map(partial(utterances, spec), jobs, vectors)):
                embedded = encoder.embed([prepare_speech(one.wave, one.rate_hz, RATE_HZ) for one in said])
                embeddings.append(unit_norm(embedded.mean(axis=0)))
                all_said += [(one.text, one.seconds, one.cpu_s) for one in said]
                if number < m:
                    whole = np.concatenate([one.wave for one in said])
                    wrong = sum(ears.errors(one.text, one.wave, one.rate_hz) for one in said)
                    errors.append(wrong / sum(len(words(one.text)) for one in said))
                    f0_hz.append(median_f0_hz(whole, said[0].rate_hz))
                    quality.append(speech_quality(whole, said[0].rate_hz))
                progress.advance()
        memory_gb = pool.submit(peak_memory_gb).result()
    known: set[str] = set()
    new = np.array([text not in known and not known.add(text) for text, *_ in all_said])
    speech_s, cpu_s = (np.array([row[column] for row in all_said]) for column in (1, 2))
    speed_new, speed_known = (float(speech_s[part].sum() / cpu_s[part].sum()) for part in (new, ~new))
    return Voices(
        np.array(embeddings[:m]),
        np.array(embeddings[m:]),
        np.array(errors),
        np.array(f0_hz),
        np.array(quality),
        speed_new,
        speed_known,
        memory_gb,
    )


def utterances(spec: str, texts: list[str], vector: np.ndarray) -> list[Utterance]:
    """Returns the sentences in one voice; runs in the process that speaks."""
    tts, said = opened(spec), []
    for text in texts:
        start = time.process_time()
        wave = tts.synthesize(text, vector)
        said.append(Utterance(text, wave, tts.sample_rate_hz, time.process_time() - start))
    return said


@cache
def opened(spec: str) -> TTS:
    torch.set_num_threads(1)
    return open_tts(spec)


def peak_memory_gb() -> float:
    unit = 1 if sys.platform == "darwin" else 1024  # bytes on macOS, kilobytes on Linux
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * unit / 1e9


def figures(people: People, made: dict[str, Voices]) -> dict[str, Any]:
    """Returns the figures of each backend and of the people, and of the first backend minus each other one."""
    times = draw_people(len(people.requested), DRAWS)
    cosines = {spec: np.einsum("md,md->m", voices.obtained, people.requested) for spec, voices in made.items()}

    def of(voices: Voices, cosine: np.ndarray) -> dict[str, Any]:
        heard = ~np.isnan(voices.f0_hz + people.f0_hz)
        far = np.abs(semitones(voices.f0_hz[heard], people.f0_hz[heard]))
        ranks = (voices.obtained @ people.requested.T > cosine[:, None]).sum(1) + 1
        return {
            "cosine": mean_of(cosine, times),
            "rank_median": float(np.median(ranks)),
            "between_obtained": between(voices.obtained),
            "between_drawn": between(voices.drawn),
            "word_errors": mean_of(voices.errors, times),
            "quality": mean_of(voices.quality, times),
            "pitch_correlation": over_people(
                lambda rows: np.corrcoef(np.log(voices.f0_hz[rows]), np.log(people.f0_hz[rows]))[0, 1], heard
            ),
            "semitones": over_people(
                lambda rows: np.median(np.abs(semitones(voices.f0_hz[rows], people.f0_hz[rows]))), heard
            ),
            "semitones_p90": float(np.percentile(far, 90)),
            "speed_new_text": voices.speed_new_text,
            "speed_known_text": voices.speed_known_text,
            "memory_gb": voices.memory_gb,
        }

    first, *others = made
    return {
        "people": {
            "cosine": mean_of(people.halves, times),
            "between_obtained": between(people.requested),
            "quality": mean_of(people.quality, times),
        },
        "tts": {spec: of(voices, cosines[spec]) for spec, voices in made.items()},
        "differences": {
            f"{first} - {other}": {
                "cosine": mean_of(cosines[first] - cosines[other], times),
                "word_errors": mean_of(made[first].errors - made[other].errors, times),
                "quality": mean_of(made[first].quality - made[other].quality, times),
            }
            for other in others
        },
    }


def mean_of(values: np.ndarray, times: np.ndarray) -> dict[str, float | None]:
    return vars(Figure.of(float(values.mean()), times @ values / len(values)))


def over_people(figure: Callable[[np.ndarray], float], usable: np.ndarray) -> dict[str, float | None]:
    """Returns a figure of rows of people, with its interval over draws of the usable ones."""
    rows, rng = np.flatnonzero(usable), np.random.default_rng(0)
    return vars(Figure.of(figure(rows), [figure(rng.choice(rows, len(rows))) for _ in range(DRAWS)]))


def between(vectors: np.ndarray) -> float:
    """Returns the mean cosine of two of these vectors (n, dim)."""
    return float((vectors @ vectors.T)[np.triu_indices(len(vectors), 1)].mean())


def misses(found: dict[str, dict[str, Any]]) -> list[str]:
    """Returns a line for each bound that a backend misses."""
    missed = []
    for name, (bounds, more) in BOUNDS.items():
        for spec in bounds.keys() & found.keys():
            value = found[spec][name]
            value = value["value"] if isinstance(value, dict) else value
            if (value < bounds[spec]) if more else (value > bounds[spec]):
                expected = f"{'at least' if more else 'at most'} {bounds[spec]}"
                missed.append(f"{name} of {spec}: {value:.3f}, expected {expected}")
    return missed


def table(result: dict[str, Any]) -> None:
    """Prints a column for each backend, for the people and for each difference."""
    shown = (
        ("cosine of the requested and the obtained voice", "cosine", ".3f"),
        ("rank of the requested person, median", "rank_median", ".0f"),
        ("cosine between two voices, those of the people", "between_obtained", ".3f"),
        ("cosine between two voices, drawn", "between_drawn", ".3f"),
        ("word error rate, pocketsphinx", "word_errors", ".3f"),
        ("DNSMOS", "quality", ".2f"),
        ("correlation of log F0", "pitch_correlation", ".2f"),
        ("distance of F0 in semitones, median", "semitones", ".1f"),
        ("distance of F0 in semitones, 90th percentile", "semitones_p90", ".1f"),
        ("seconds of speech for each CPU second, new text", "speed_new_text", ".1f"),
        ("the same, known text", "speed_known_text", ".1f"),
        ("peak memory of a worker, GB", "memory_gb", ".2f"),
    )
    columns = {**result["tts"], "the people": result["people"], **result["differences"]}
    print(f"| | {' | '.join(columns)} |\n|{'---|' * (len(columns) + 1)}")
    for title, name, digits in shown:
        cells = [cell(column.get(name), digits if at < len(result["tts"]) + 1 else "+" + digits)
                 for at, column in enumerate(columns.values())]  # fmt: skip
        print(f"| {title} | {' | '.join(cells)} |")


def cell(figure: Any, digits: str) -> str:
    if figure is None:
        return ""
    if not isinstance(figure, dict):
        return f"{figure:{digits}}"
    return f"{figure['value']:{digits}} ({figure['low']:{digits}} to {figure['high']:{digits}})"


class Ears:
    """pocketsphinx with the models in its wheel."""

    def __init__(self) -> None:
        import pocketsphinx

        self._decoder = pocketsphinx.Decoder(samprate=RATE_HZ, loglevel="FATAL")

    def errors(self, text: str, wave: np.ndarray, rate_hz: int) -> int:
        """Returns the number of substituted, inserted and deleted words from the reference to the transcript."""
        padded = np.pad(resample(wave, rate_hz, RATE_HZ), RATE_HZ // 5)
        self._decoder.start_utt()
        self._decoder.process_raw((padded / np.abs(padded).max() * 2**14).astype("<i2").tobytes(), full_utt=True)
        self._decoder.end_utt()
        found = self._decoder.hyp()
        return edits(words(text), found.hypstr.split() if found else [])


def edits(said: list[str], heard: list[str]) -> int:
    """Returns the Levenshtein distance."""
    row = list(range(len(heard) + 1))
    for i, word in enumerate(said, 1):
        above, row[0] = row[:], i
        for j, other in enumerate(heard, 1):
            row[j] = min(above[j] + 1, row[j - 1] + 1, above[j - 1] + (word != other))
    return row[-1]


def words(text: str) -> list[str]:
    return re.findall(r"[a-z']+", text.lower())


if __name__ == "__main__":
    main()
