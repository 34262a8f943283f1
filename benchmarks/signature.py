"""How much of what a TTS makes of unseen speakers its signature predicts.

    python benchmarks/signature.py --speech LibriSpeech/dev-clean --folder /tmp/signature [--tts morph]
        [--folds 3] [--tested 3] [--seeds 3]

The speakers are split into folds. For each fold, the generator and the signature are fitted to the other speakers, as
`vclip distill` does; then the TTS speaks in the voices of the fold, and the result is compared with the prediction.
With e the vector given to the TTS and o the normalised mean embedding of its speech,

    closed = 1 - (1 - cos(s(e), o)) / (1 - cos(e, o))            (means over speakers; 0: no better than e itself)

once with the sentences that the signature was fitted on, once with others. `mean_voice` is the cosine of o with the
mean embedding of the other speakers' speech, `sentences` that of o with the embedding from the other sentences, an
upper bound for any signature. 95 % intervals by bootstrap over speakers. Embeddings of the speech are kept in the
folder, so a second run only fits. Prints JSON; exits with 1 unless two thirds of the gap are closed.
"""

import argparse
import hashlib
import json
import sys
from pathlib import Path

import numpy as np
import torch

from pipelines.config import Config
from pipelines.generation.distill import SENTENCES, SPOKEN, predicted_voices
from pipelines.generation.fit_speakers import bank_of_folder
from pipelines.progress import step
from vclip.audio import prepare_speech
from vclip.config import load
from vclip.encoders import open_voice_encoder
from vclip.speakers.bank import SpeakerBank
from vclip.speakers.generator_fit import fit_generator
from vclip.speakers.signature import fit_signature
from vclip.tts import open_tts

DRAWS = 2000
MOST_LEFT = 1 / 3


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--folder", type=Path, required=True, help="where what was spoken is kept")
    parser.add_argument("--tts", default="morph")
    parser.add_argument("--folds", type=int, default=3)
    parser.add_argument("--tested", type=int, help="how many of the folds are tested; all of them by default")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--set", action="append", default=[], help="section.key=value, as of vclip")
    args = parser.parse_args()
    torch.set_num_threads(1)
    config = load(Config, None, args.set)
    args.folder.mkdir(parents=True, exist_ok=True)
    speech = Spoken(args.folder / f"{args.tts.split(':')[0]}.npz", args.tts, config)
    bank = bank_of_folder(args.speech, config)
    fold = np.random.default_rng(0).permutation(len(bank)) % args.folds
    numbers = range(args.tested or args.folds)
    tested = list(tests(bank, fold, numbers, args.seeds, config, speech))
    result = {
        "speakers": len(bank),
        "folds": args.folds,
        "tested_folds": len(numbers),
        "held_out_speakers": int(np.isin(fold, numbers).sum()),
        "seeds": args.seeds,
        **{kind: figures([found[kind] for found in tested]) for kind in ("same_sentences", "other_sentences")},
    }
    print(json.dumps(result, indent=2))
    sys.exit(0 if result["same_sentences"]["closed"]["value"] > 1 - MOST_LEFT else 1)


def tests(bank, fold, numbers: range, seeds: int, config: Config, speech: "Spoken"):
    """Yields, for each fold and seed, the cosines of each held-out speaker."""
    settings = config.signature
    count, spoken = settings.sentences, settings.speakers or SPOKEN
    for number in numbers:
        out, rest = np.flatnonzero(fold == number), np.flatnonzero(fold != number)
        known = SpeakerBank(bank.space, bank.speaker_id[rest], bank.vectors[rest], bank.gender[rest])
        generator = fit_generator(known, config.speakers)[0]
        drawn = generator.sample(spoken - min(len(known), spoken // 2), number)
        predicted = predicted_voices(speech.tts, bank.space, generator, settings)
        learned = np.concatenate([known.vectors[: spoken // 2], drawn])
        said = unit(speech.of(learned, SENTENCES[:count]).mean(1))
        asked = bank.vectors[out]
        here = unit(speech.of(asked, SENTENCES[:count]).mean(1))
        there = unit(speech.of(asked, SENTENCES[count : 2 * count]).mean(1))
        mean = unit(said.mean(0)[None])
        for seed in range(seeds):
            chosen = settings.model_copy(update={"seed": seed})
            signature, _ = fit_signature(
                config.generate.tts, bank.space, bank.space, learned, said, chosen, predicted=predicted
            )
            told = signature.predict(asked)
            yield {
                name: {
                    "signature": (told * o).sum(1),
                    "identity": (asked * o).sum(1),
                    "mean_voice": (mean * o).sum(1),
                    "sentences": (here * there).sum(1),
                    "speaker": out,
                }
                for name, o in (("same_sentences", here), ("other_sentences", there))
            }


def figures(tested: list[dict[str, np.ndarray]]) -> dict[str, object]:
    """Returns means and intervals; a speaker's cosines are first averaged over the seeds."""
    speaker = np.concatenate([found["speaker"] for found in tested])
    people = np.unique(speaker)
    names = ("signature", "identity", "mean_voice", "sentences")
    of = {
        name: np.array([np.concatenate([found[name] for found in tested])[speaker == one].mean() for one in people])
        for name in names
    }
    rows = np.random.default_rng(0).integers(len(people), size=(DRAWS, len(people)))

    def closed(rows):
        return 1 - (1 - of["signature"][rows].mean(-1)) / (1 - of["identity"][rows].mean(-1))

    low, high = np.percentile(closed(rows), [2.5, 97.5])
    value = float(closed(np.arange(len(people))))
    return {f"cosine_{name}": float(of[name].mean()) for name in names} | {
        "closed": {"value": value, "low": float(low), "high": float(high)}
    }


class Spoken:
    """Embeddings of synthesised speech, cached in a file."""

    def __init__(self, path: Path, tts: str, config: Config):
        self._path, self.tts = path, open_tts(tts)
        self._encoder = open_voice_encoder(config.encoders.voice)
        self._known = dict(np.load(path)) if path.exists() else {}

    def of(self, vectors: np.ndarray, sentences: tuple[str, ...]) -> np.ndarray:
        """Returns (n, sentences, dim) embeddings."""
        names = [f"{hash_of(vector)} {SENTENCES.index(text)}" for vector in vectors for text in sentences]
        missing = [i for i, name in enumerate(names) if name not in self._known]
        if missing:
            with step("speak", len(missing), "sentences") as progress:
                for at in missing:
                    row, column = divmod(at, len(sentences))
                    wave = self.tts.synthesize(sentences[column], vectors[row])
                    self._known[names[at]] = self._encoder.embed([prepare_speech(wave, self.tts.sample_rate_hz)])[0]
                    progress.advance()
            np.savez(self._path, **self._known)
        return np.stack([self._known[name] for name in names]).reshape(len(vectors), len(sentences), -1)


def hash_of(vector: np.ndarray) -> str:
    return hashlib.sha256(np.ascontiguousarray(vector, np.float32).tobytes()).hexdigest()[:16]


def unit(vectors: np.ndarray) -> np.ndarray:
    return vectors / np.linalg.norm(vectors, axis=-1, keepdims=True)


if __name__ == "__main__":
    main()
