r"""How many dubbed clips pass, by the lips alone and with the evidence of `vclip embed --column dubbed`.

    python benchmarks/dubbed.py make STORE OUT --identities CLIPS.csv
    vclip ingest OUT --store DUBBED --config offline
    python benchmarks/dubbed.py measure STORE DUBBED --model MODEL --swaps OUT/swaps.json --identities CLIPS.csv \
        [--clusters CLUSTERS.csv] [--image CURVE.png]

`make` writes the `clean` videos of a store under the audio of SWAPS other people of any gender, and of SWAPS of the
same gender, by pitch. `measure` draws stores in which a third of these videos are dubbed, and prints the shares of
dubbed clips that pass where a share of the genuine ones is lost. CLIPS.csv names the identity and the kind of each
file; two identities that share a cluster of CLUSTERS.csv (`vclip clusters`) count as one person.
"""

import argparse
import csv
import json
import subprocess
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
from matplotlib.figure import Figure
from scipy.special import expit, logit

from pipelines.extraction import ExtractionConfig
from pipelines.extraction.active_speaker.dubbed import PRIOR
from pipelines.extraction.video.ffmpeg import ffmpeg_binary
from pipelines.html.page import COLOURS
from pipelines.html.plots import save, trim
from stores import Store
from vclip.association.clustering.pseudo_identities import group_by_face
from vclip.association.dubbing import dubbing
from vclip.association.methods import load
from vclip.association.pairs import PER_CLIP, Pairs
from vclip.audio import read_audio
from vclip.speakers.pitch import median_f0_hz

SWAPS, SHARE, DRAWS = 2, 1 / 3, 20
HIGH_HZ = 165  # a pitch above is taken for a woman's
LOSSES = (0.01, 0.02, 0.05, 0.1)
KINDS = {"any": "of any gender", "same": "of the same gender"}
LIPS, ASSOCIATION, OTHERS, BOTH = "lips alone", "+ association", "+ other videos", "+ both"


def files_of(store, identities):
    """Returns clip_id -> file, and file -> pitch in Hz of the clean videos with one speaker."""
    clips = store.query("clips", ["clip_id", "video_uri"]).to_pylist()
    file = {row["clip_id"]: Path(row["video_uri"]).name for row in clips}
    pitches = {}
    for row in store.query("voices", ["clip_id", "audio"]).to_pylist():
        pitches.setdefault(file[row["clip_id"]], []).append(median_f0_hz(*read_audio(row["audio"])))
    clean = (name for name in sorted(pitches) if identities[name]["kind"] == "clean")
    return file, {name: float(np.nanmedian(pitches[name])) for name in clean}


def make(store, out, identities):
    """Writes the videos under the audio of others, and which those are to swaps.json."""
    _, pitch = files_of(store, identities)
    uri = {Path(uri).name: uri for uri in store.query("clips", ["video_uri"])["video_uri"].to_pylist()}
    rng, made = np.random.default_rng(0), {}
    length = {name: float(identities[name]["seconds"]) for name in pitch}
    out.mkdir(parents=True)
    for name in pitch:
        others = [of for of in pitch if identities[of]["identity"] != identities[name]["identity"]]
        same = [of for of in others if (pitch[of] > HIGH_HZ) == (pitch[name] > HIGH_HZ)]
        for kind, pool in zip(KINDS, (others, same), strict=True):
            longer = [of for of in pool if length[of] >= length[name]]
            for number, audio in enumerate(rng.choice(longer if len(longer) >= 5 else pool, SWAPS, replace=False)):
                video = f"{Path(name).stem}_{kind}{number}.mp4"
                inputs = ["-i", uri[name], "-stream_loop", "-1", "-i", uri[str(audio)], "-map", "0:v", "-map", "1:a"]
                codecs = ["-c:v", "copy", "-c:a", "aac", "-b:a", "128k", "-t", str(length[name])]
                ffmpeg = ffmpeg_binary(ExtractionConfig().media.ffmpeg)
                subprocess.run([ffmpeg, "-v", "error", "-nostdin", *inputs, *codecs, out / video], check=True)
                made[video] = {"video": name, "audio": str(audio), "kind": kind}
    (out / "swaps.json").write_text(json.dumps(made, indent=1))


def joined(one, other):
    """Returns the pairs of two stores as one."""
    names = ("faces", "voices", *PER_CLIP)
    both = {name: np.concatenate([getattr(one, name), getattr(other, name)]) for name in names}
    faces, voices = (np.r_[getattr(one, of), getattr(other, of) + len(one)] for of in ("face_clip", "voice_clip"))
    return Pairs(**both, face_clip=faces, voice_clip=voices)


def people_of(identities, clusters, file):
    """Returns file -> person."""
    person = {name: row["identity"] if "unknown" not in row["identity"] else name for name, row in identities.items()}
    groups = {}
    for row in csv.DictReader(clusters.open()) if clusters else ():
        groups.setdefault(row["cluster"], set()).add(file[row["clip_id"]])
    for names in groups.values():
        several = {person[name] for name in names}
        person |= {name: min(several) for name in person if person[name] in several}
    return person


def measure(store, dubbed, swaps, model, identities, clusters, image):
    """Prints the shares that pass, and draws them."""
    file, pitch = files_of(store, identities)
    person = people_of(identities, clusters, file)
    rows = store.query("clips", ["clip_id", "dubbed"]).to_pylist()
    of_swap = dubbed.query("clips", ["clip_id", "dubbed", "video_uri"]).to_pylist()
    swap = {row["clip_id"]: Path(row["video_uri"]).name for row in of_swap}
    pairs = joined(*(Pairs.of(one.pairs()) for one in (store, dubbed)))
    lips = {row["clip_id"]: row["dubbed"] for row in (*rows, *of_swap)}
    lips = np.array([lips[clip] for clip in pairs.clip_id])
    variant = np.array([swap.get(clip, "") for clip in pairs.clip_id.tolist()])  # "" is the video's own audio
    clips = zip(variant, pairs.clip_id, strict=True)
    name = np.array([swaps[of]["video"] if of else file[clip] for of, clip in clips])
    who = np.array([person[of] for of in name])
    pairs = replace(pairs, video_id=name, identity=who)
    heard = np.array([person[swaps[of]["audio"]] if of else "" for of in variant])
    kind = np.array([swaps[of]["kind"] if of else "" for of in variant])
    judged = np.isin(name, list(pitch))
    curves = {}
    for audio, words in KINDS.items():
        found = {}
        for seed in range(DRAWS):
            rng, chosen = np.random.default_rng(seed), {}
            for video in pitch:
                of = sorted(set(variant[(name == video) & (kind == audio) & (heard != who)]))
                chosen[video] = rng.choice(of) if rng.random() < SHARE and of else ""
            use = variant == np.array([chosen.get(video, "") for video in name])
            own, shown = pairs.select(use), judged[use]
            log_odds, nobody = logit(lips[use]), replace(own, identity=np.full(len(own), "", dtype=str))
            whole = dubbing(own, lips[use], model)
            by_face = dubbing(group_by_face(nobody, model.face_space), lips[use], model)
            scores = {
                LIPS: log_odds,
                ASSOCIATION: log_odds + whole.association,
                OTHERS: log_odds + dubbing(own, lips[use]).other_videos,
                BOTH: logit(whole.probability),
                f"{BOTH}, people found by face": logit(by_face.probability),
            }
            scores |= {"dubbed": variant[use] != "", "several": whole.other_videos != 0}
            for key, values in scores.items():
                found.setdefault(key, []).append(values[shown])
        found = {key: np.concatenate(values) for key, values in found.items()}
        is_dubbed, several = found.pop("dubbed"), found.pop("several")
        for among, some in (("all clips", np.ones(len(several), bool)), ("people in several videos", several)):
            counts = (is_dubbed & some).sum(), (~is_dubbed & some).sum()
            print(f"\naudio of people {words}, {among}: {counts[0]} dubbed and {counts[1]} genuine clips")
            for key, score in found.items():
                curves[words, among, key] = partial(passing, score[some & ~is_dubbed], score[some & is_dubbed])
                shares = [f"{curves[words, among, key](loss):.2f}" for loss in LOSSES]
                print(f"| {key} | " + " | ".join(shares) + " |")
        probability = expit(found[BOTH] + logit(SHARE) - logit(PRIOR))  # for the share that is dubbed here
        bins = np.digitize(probability, (0.05, 0.2, 0.5, 0.8, 0.95))
        of = [bins == number for number in range(6)]
        shown = [f"{probability[b].mean():.2f}: {is_dubbed[b].mean():.2f} of {b.sum()}" for b in of if b.any()]
        print(f"{BOTH}, mean probability: share that is dubbed: " + ", ".join(shown))
    if image:
        draw(curves, image)


def passing(genuine, dubbed, loss):
    """Returns the share of dubbed clips below the score that a share `loss` of the genuine ones exceeds."""
    return float(np.mean(dubbed <= np.quantile(genuine, 1 - loss)))


def draw(curves, path):
    """Draws the share of dubbed clips that pass over the share of genuine ones that are lost."""
    figure = Figure(figsize=(9, 4), layout="constrained")
    losses, panels = np.linspace(0, 0.3, 200), figure.subplots(1, 2, sharey=True)
    for words, axes in zip(KINDS.values(), panels, strict=True):
        trim(axes, "share of genuine clips lost", "")
        for key, colour in zip((LIPS, ASSOCIATION, OTHERS, BOTH), COLOURS, strict=False):
            shares = [curves[words, "all clips", key](loss) for loss in losses]
            axes.plot(losses, shares, color=colour, linewidth=2, label=key)
        axes.set(title=f"audio of people {words}", xlim=(0, 0.3), ylim=(0, 1))
    panels[0].set_ylabel("share of dubbed clips that pass")
    panels[1].legend(frameon=False)
    save(figure, path)


def main():
    """Makes the videos, or measures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("make", "measure"))
    parser.add_argument("store")
    parser.add_argument("other", help="folder of the videos to write; or the store that was made of them")
    parser.add_argument("--identities", type=Path, required=True)
    parser.add_argument("--clusters", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--swaps", type=Path, help="swaps.json that `make` wrote")
    parser.add_argument("--image", type=Path, help="curves to draw")
    given = parser.parse_args()
    identities = {row["file"]: row for row in csv.DictReader(given.identities.open())}
    store = Store.open(given.store)
    if given.what == "make":
        return make(store, Path(given.other), identities)
    swaps, model = json.loads(given.swaps.read_text()), load(given.model, "cpu")
    return measure(store, Store.open(given.other), swaps, model, identities, given.clusters, given.image)


if __name__ == "__main__":
    main()
