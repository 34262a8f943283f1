"""Hard texts as they are spoken: numbers, units, abbreviations, dates, addresses, scripts, emoji, 2000 words.

    python benchmarks/hard_texts.py --tts morph kokoro [--texts 60]

Each backend speaks the texts of tests/support/hard_texts.py, in the voice of one of its known speakers after another,
and pocketsphinx listens. The words heard are counted in order. The same words written out, and plain sentences, are
spoken beside them: what the recogniser misses there is not the fault of the reading. A text that the backend refuses
must name letters that it cannot pronounce. Prints Markdown; exits with 1 if a text that should be spoken is refused,
one that should be refused is spoken, or more than a tenth fewer words are heard than of the words written out.
"""

import argparse
import sys
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1]))
from benchmarks.voices import Ears, words
from pipelines.generation.distill import SENTENCES
from tests.support.hard_texts import HARD_TEXTS, LONG
from vclip.errors import InputError
from vclip.tts import TTS, open_tts

SPEAKERS = 8
HEARD_WORDS = 120  # of the long text; all of it is spoken, once
LARGEST_LOSS = 0.1


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--tts", nargs="+", default=["morph"])
    parser.add_argument("--texts", type=int, default=len(HARD_TEXTS))
    args = parser.parse_args()
    problems: list[str] = []
    print("| backend | texts | refused | word errors | written out | plain sentences |\n|---|---|---|---|---|---|")
    for spec in args.tts:
        problems += measure(open_tts(spec), dict(list(HARD_TEXTS.items())[: args.texts]))
    sys.exit("\n".join(problems) or 0)


def measure(tts: TTS, texts: dict[str, str | None]) -> list[str]:
    """Prints the row of a backend; returns what is wrong with it."""
    ears, speakers = Ears(), tts.known_speakers(SPEAKERS).vectors
    spoken: list[tuple[str, str]] = []
    problems: list[str] = []
    for text, expected in texts.items():
        try:
            next(iter(tts.parts(text, speakers[0])))
        except InputError as error:
            if expected is not None or "cannot pronounce" not in str(error):
                problems.append(f"{tts.name}: {error}")
            continue
        if expected is None:
            problems.append(f"{tts.name}: {text[:40]!r} was spoken, expected an error")
        else:
            spoken.append((text, " ".join(expected.split()[:HEARD_WORDS])))
    as_written = [error_rate(tts, ears, text, expected, row, speakers) for row, (text, expected) in enumerate(spoken)]
    as_words = [error_rate(tts, ears, expected, expected, row, speakers) for row, (_, expected) in enumerate(spoken)]
    plain = [error_rate(tts, ears, text, text, row, speakers) for row, text in enumerate(SENTENCES)]
    rates = " | ".join(
        f"{np.sum([e for e, _ in of]) / np.sum([n for _, n in of]):.3f}" for of in (as_written, as_words, plain)
    )
    print(f"| {tts.name} | {len(texts)} | {len(texts) - len(spoken)} | {rates} |", flush=True)
    loss = np.sum([a[0] - b[0] for a, b in zip(as_written, as_words, strict=True)]) / np.sum([n for _, n in as_words])
    if loss > LARGEST_LOSS:
        problems.append(f"{tts.name}: {loss:.0%} more words are misheard than of the words written out")
    worst = sorted(zip(as_written, as_words, spoken, strict=True), key=lambda row: row[1][0] - row[0][0])[:5]
    for (written, _), (out, _), (text, _) in worst:
        print(f"<!-- {written} errors, {out} written out: {text[:60]} -->")
    return problems


def error_rate(tts: TTS, ears: Ears, text: str, expected: str, row: int, speakers: np.ndarray) -> tuple[int, int]:
    """Returns the word errors of pocketsphinx for one text, and the number of words expected."""
    wave = tts.synthesize(text, speakers[row % len(speakers)])
    if text == LONG:
        wave = wave[: len(wave) * HEARD_WORDS // len(words(LONG))]
    return ears.errors(expected, wave, tts.sample_rate_hz), len(words(expected))


if __name__ == "__main__":
    main()
