"""What shorter speech, noise, small faces and compression cost: AUC on unseen people whose media are made worse.

    python benchmarks/conditions.py --store work/pairs [--folds 5] [--json FILE]

A model is trained on the store's vectors without the people of a fold; these people's images or audio are changed and
embedded again. The other side of each pair stays as it is, so each row is the loss by one cause. Noise is the sum of
four other people's speech. The differences are paired; their intervals are over draws of people.
"""

import argparse
import io
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import cv2
import numpy as np
import soundfile

from pipelines.association.pairs import pair_spaces, read_pairs
from pipelines.progress import say, step
from stores import Snapshot, Store
from vclip.association.metrics import Crossing, Figure, draw_people
from vclip.association.metrics.verification import differences
from vclip.association.pairs import Pairs
from vclip.association.scores import Scores
from vclip.association.training import TrainConfig, train
from vclip.encoders import open_face_encoder, open_voice_encoder, spec_of_space

RATE_HZ, DRAWS = 16_000, 500
Change = Callable[[np.ndarray, np.random.Generator], np.ndarray]


def seconds(length_s: float) -> Change:
    return lambda samples, rng: samples[: int(length_s * RATE_HZ)]


def telephone(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    from scipy.signal import resample_poly

    return resample_poly(resample_poly(samples, 1, 2), 2, 1).astype(np.float32)


def babble(snr_db: float, others: list[np.ndarray]) -> Change:
    def add(samples: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        noise = sum(np.resize(others[i], len(samples)) for i in rng.choice(len(others), 4, replace=False))
        gain = np.sqrt(np.mean(samples**2) / max(float(np.mean(noise**2)), 1e-12)) * 10 ** (-snr_db / 20)
        return (samples + gain * noise).astype(np.float32)

    return add


def small(side_px: int) -> Change:
    def shrink(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        little = cv2.resize(crop, (side_px, side_px), interpolation=cv2.INTER_AREA)
        return cv2.resize(little, crop.shape[1::-1], interpolation=cv2.INTER_CUBIC)

    return shrink


def jpeg(quality: int) -> Change:
    def compress(crop: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        encoded = cv2.imencode(".jpg", crop, [cv2.IMWRITE_JPEG_QUALITY, quality])[1]
        return cv2.imdecode(encoded, cv2.IMREAD_COLOR)

    return compress


def crops_of(snapshot: Snapshot) -> tuple[np.ndarray, list[np.ndarray]]:
    """Returns the clip of each face, and the faces (side, side, 3) uint8 RGB."""
    rows = snapshot.query("faces", ["clip_id", "image"])
    images = (cv2.imdecode(np.frombuffer(image.as_py(), np.uint8), cv2.IMREAD_COLOR) for image in rows["image"])
    return rows["clip_id"].to_numpy().astype(str), [cv2.cvtColor(image, cv2.COLOR_BGR2RGB) for image in images]


def speech_of(snapshot: Snapshot) -> tuple[np.ndarray, list[np.ndarray]]:
    """Returns the clip of each segment, and its samples (n,) float32 at RATE_HZ."""
    rows = snapshot.query("voices", ["clip_id", "audio"])
    read = [soundfile.read(io.BytesIO(audio.as_py()), dtype="float32") for audio in rows["audio"]]
    assert {rate for _, rate in read} == {RATE_HZ}
    return rows["clip_id"].to_numpy().astype(str), [samples for samples, _ in read]


def embedded(media: list[np.ndarray], change: Change, encoder, batch: int = 32) -> np.ndarray:
    rng, vectors = np.random.default_rng(0), []
    for start in range(0, len(media), batch):
        vectors.append(encoder.embed([change(one, rng) for one in media[start : start + batch]]))
    return np.concatenate(vectors)


def conditions(snapshot: Snapshot, pairs: Pairs, spaces: tuple[str, str]) -> dict[str, Pairs]:
    """Returns the pairs with one side embedded again, by the name of what was done to it."""
    row = {name: number for number, name in enumerate(pairs.clip_id.tolist())}
    face_clip, crops = crops_of(snapshot)
    voice_clip, speech = speech_of(snapshot)
    faces, voices = (open_face_encoder(spec_of_space(spaces[0])), open_voice_encoder(spec_of_space(spaces[1])))
    sides = {
        "speech": (voices, voice_clip, speech, {
            "unchanged": lambda samples, rng: samples,
            **{f"{length:g} s": seconds(length) for length in (3, 2, 1)},
            **{f"{snr} dB above other voices": babble(snr, speech) for snr in (20, 10, 5)},
            "telephone (4 kHz)": telephone,
        }),
        "faces": (faces, face_clip, crops, {
            "unchanged": lambda crop, rng: crop,
            **{f"{side} px": small(side) for side in (96, 64, 48, 32)},
            **{f"JPEG quality {quality}": jpeg(quality) for quality in (50, 20)},
        }),
    }  # fmt: skip
    found = {}
    with step("embed", sum(len(changes) for *_, changes in sides.values()), "conditions") as progress:
        for side, (encoder, clips, media, changes) in sides.items():
            clip = np.array([row[name] for name in clips])
            for name, change in changes.items():
                views = embedded(media, change, encoder)
                new = (
                    {"voices": views, "voice_clip": clip} if side == "speech" else {"faces": views, "face_clip": clip}
                )
                found[f"{side}: {name}"] = replace(pairs, **new)
                progress.advance()
    return found


def measure(pairs: Pairs, changed: dict[str, Pairs], spaces: tuple[str, str], folds: int) -> list[dict]:
    fold = pairs.folds(folds, 0)
    models = [train(pairs.select(fold != number), *spaces, TrainConfig(max_steps=0))[0] for number in range(folds)]
    everybody = pairs.people()
    times = draw_people(int(everybody.max()) + 1, DRAWS)
    rows = []
    for name, other in changed.items():
        drawn = []
        for number, model in enumerate(models):
            here = fold == number
            known, person = np.unique(everybody[here], return_inverse=True)
            before, after = (Crossing(Scores.of(model, each.select(here)), person) for each in (pairs, other))
            drawn.append(differences(before, after, times[:, known])["auc"])
        mean = np.mean(drawn, axis=0)
        loss = mean[:, 1] - mean[:, 0]
        figure = Figure.of(float(loss[0]), loss[1:])
        rows.append({"condition": name, "auc": float(mean[0, 1]), "change": figure.value, "low": figure.low,
                     "high": figure.high})  # fmt: skip
        say(f"{name}: AUC {mean[0, 1]:.3f}, {figure.value:+.3f} [{figure.low:+.3f}, {figure.high:+.3f}]")
    return rows


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--store", required=True, help="a store of pairs with their images and audio")
    parser.add_argument("--folds", type=int, default=5)
    parser.add_argument("--json", type=Path)
    args = parser.parse_args()
    store = Store.open(args.store)
    snapshot, spaces = store.snapshot(), pair_spaces(store)
    pairs = read_pairs(store, snapshot=snapshot, spaces=spaces)
    rows = measure(pairs, conditions(snapshot, pairs, spaces), spaces, args.folds)
    if args.json:
        args.json.write_text(json.dumps(rows, indent=2) + "\n")
