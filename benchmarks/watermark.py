"""The watermark: how often it is found after what happens to audio, how often wrongly, what it costs and changes.

    python benchmarks/watermark.py --speech LibriSpeech/dev-clean [--people 100] [--recordings 250] [--out w.json]
        [--pairs STORE --model MODEL]

`morph` speaks two sentences in the voice of each person, with and without the mark. Speech with it, the same without
it and a real recording of each person then go through each attack; a figure is the share whose confidence is above
the watermark's threshold, and the confidences between which 1 and 99 % lie. DNSMOS and the GE2E embedding are
measured on the same speech with and without the mark: means of the pairs' differences with 95 % intervals by
bootstrap over people. With --pairs, so is f2v, the cosine of the association model with the face of the store that
suits the requested voice best. The cost is CPU time of one thread (`time.process_time`). Prints JSON.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import imageio_ffmpeg
import numpy as np
import soundfile
import torch

from benchmarks.voices import SENTENCES
from pipelines.config import Config
from pipelines.generation.fit_speakers import bank_of_folder
from pipelines.progress import step
from stores import Store
from vclip import load_association
from vclip.association.pairs import Pairs
from vclip.audio import prepare_speech, read_audio, resample
from vclip.encoders.ge2e import GE2E
from vclip.marking.watermark import open_watermark
from vclip.speakers.metrics import speech_quality
from vclip.tts.loudness import normalised
from vclip.tts.morph.backend import Morph

RECORDING_S = 5.0
DRAWS = 2000


def coded(samples, rate, suffix, *options):
    """The samples after a lossy codec, and their rate."""
    with tempfile.TemporaryDirectory() as folder:
        plain, lossy, back = (f"{folder}/{name}" for name in ("a.wav", f"b.{suffix}", "c.wav"))
        soundfile.write(plain, samples, rate)
        for source, target, given in ((plain, lossy, options), (lossy, back, ())):
            command = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-y", "-i", source, *given, target]
            subprocess.run(command, check=True)
        return soundfile.read(back, dtype="float32")


def noisy(samples, rate):
    """The samples in white noise, 20 dB below them."""
    noise = np.random.default_rng(len(samples)).normal(size=len(samples))
    return (samples + noise * np.sqrt(np.mean(samples**2) / 100)).astype(np.float32), rate


def excerpt(samples, rate):
    """One second from the middle."""
    start = max(0, (len(samples) - rate) // 2)
    return samples[start : start + rate], rate


ATTACKS = {
    "clean": lambda samples, rate: (samples, rate),
    "MP3, 64 kbit/s": lambda samples, rate: coded(samples, rate, "mp3", "-b:a", "64k"),
    "AAC, 64 kbit/s": lambda samples, rate: coded(samples, rate, "m4a", "-b:a", "64k"),
    "Opus, 24 kbit/s": lambda samples, rate: coded(samples, rate, "ogg", "-c:a", "libopus", "-b:a", "24k"),
    "8 kHz": lambda samples, rate: (resample(samples, rate, 8000), 8000),
    "16 kHz": lambda samples, rate: (resample(samples, rate, 16_000), 16_000),
    "one second": excerpt,
    "noise at 20 dB": noisy,
    "20 dB quieter": lambda samples, rate: (samples / 10, rate),
    "5 % faster": lambda samples, rate: (samples, round(1.05 * rate)),
}


def shares(watermark, speech):
    """For each attack: the share that is found, and the range of confidence."""
    rows = {}
    for name, attack in ATTACKS.items():
        confidence = np.array([watermark.detect(*attack(*one)) for one in speech])
        print(name, np.percentile(confidence, (0, 50, 100)), file=sys.stderr)
        rows[name] = {
            "found": round(float(np.mean(confidence > watermark.threshold)), 4),
            "confidence": [round(float(v), 3) for v in np.percentile(confidence, (1, 50, 99))],
        }
    return rows


def interval(values):
    """The mean, and its 95 % interval by bootstrap."""
    draws = np.random.default_rng(0).integers(len(values), size=(DRAWS, len(values)))
    low, high = np.percentile(np.asarray(values)[draws].mean(axis=1), (2.5, 97.5))
    return [round(float(v), 4) for v in (np.mean(values), low, high)]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--speech", type=Path, required=True)
    parser.add_argument("--people", type=int, default=100)
    parser.add_argument("--recordings", type=int, default=250, help="real recordings, at most")
    parser.add_argument("--watermark", default="perth")
    parser.add_argument("--pairs", help="store with faces, for f2v")
    parser.add_argument("--model", type=Path, help="association model, for f2v")
    parser.add_argument("--out", type=Path)
    args = parser.parse_args()
    torch.set_num_threads(1)
    bank = bank_of_folder(args.speech, Config())
    order = np.random.default_rng(0).permutation(len(bank.vectors))[: args.people]
    watermark, tts, encoder = open_watermark(args.watermark), Morph(), GE2E("cpu")
    plain, marked, real, cost_s = [], [], [], 0.0
    with step("speak", len(order), "people") as progress:
        for number, row in enumerate(order):
            said = [SENTENCES[(2 * number + i) % len(SENTENCES)] for i in range(2)]
            parts = list(tts.parts(" ".join(said), bank.vectors[row]))
            start_s = time.process_time()
            with_mark = [watermark.embed(part, tts.sample_rate_hz) for part in parts]
            cost_s += time.process_time() - start_s
            for speech, of in ((plain, parts), (marked, with_mark)):
                speech.append((normalised(np.concatenate(of), tts.sample_rate_hz), tts.sample_rate_hz))
            progress.advance()
    recordings = sorted(path for path in args.speech.rglob("*") if path.suffix in (".flac", ".ogg", ".wav"))
    for path in np.random.default_rng(1).permutation(recordings)[: args.recordings]:
        samples, rate = read_audio(path)
        real.append((samples[: int(RECORDING_S * rate)], rate))
    seconds = sum(len(samples) / rate for samples, rate in plain)
    start_s = time.process_time()
    for one in plain:
        watermark.detect(*one)
    detect_s = time.process_time() - start_s

    def embedded(speech):
        return np.concatenate([encoder.embed([prepare_speech(*one)]) for one in speech])

    asked = bank.vectors[order] / np.linalg.norm(bank.vectors[order], axis=1, keepdims=True)
    before, after = embedded(plain), embedded(marked)
    quality = [[speech_quality(*one) for one in speech] for speech in (plain, marked)]
    differences = np.concatenate([one[0] - other[0] for one, other in zip(marked, plain, strict=True)])
    result = {
        "people": len(order),
        "recordings": len(real),
        "threshold": watermark.threshold,
        "found in marked speech": shares(watermark, marked),
        "found in the same speech without a mark": shares(watermark, plain),
        "found in real recordings": shares(watermark, real),
        "CPU seconds to mark a second": round(cost_s / seconds, 4),
        "CPU seconds to read a second": round(detect_s / seconds, 4),
        "level of the mark, dB": round(
            10 * np.log10(np.mean(differences**2) / np.mean(np.concatenate([one[0] for one in plain]) ** 2)), 1
        ),
        "DNSMOS without": interval(quality[0]),
        "DNSMOS with": interval(quality[1]),
        "DNSMOS difference": interval(np.subtract(quality[1], quality[0])),
        "GE2E cosine of both": interval(np.einsum("nd,nd->n", before, after)),
        "GE2E cosine with the requested voice, without": interval(np.einsum("nd,nd->n", asked, before)),
        "GE2E cosine with the requested voice, difference": interval(np.einsum("nd,nd->n", asked, after - before)),
    }
    if args.pairs:
        model = load_association(args.model)
        faces = model.embed_faces(Pairs.of(Store.open(args.pairs).pairs(model.face_space, model.voice_space)).faces)
        suits = faces[(model.embed_voices(asked) @ faces.T).argmax(1)]
        without, marked_f2v = (np.einsum("nd,nd->n", model.embed_voices(one), suits) for one in (before, after))
        result |= {"f2v without": interval(without), "f2v difference": interval(marked_f2v - without)}
    print(json.dumps(result, indent=1, default=float))
    if args.out:
        args.out.write_text(json.dumps(result, indent=1, default=float) + "\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
