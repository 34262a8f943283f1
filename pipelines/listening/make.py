"""`vclip listening-test make`: a page to hand out, and the key to it.

Each item of the page is a face and a sound under a random name, in the order of the names; which system made it
stands in the key alone. Every listener rates every item twice: the sound by itself, and the sound with the face.
"""

import json
import secrets
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

import vclip
from pipelines.analysis.clip_media import ClipMedia, media_of
from pipelines.analysis.clip_vectors import clips_with
from pipelines.config import Config
from pipelines.files.whole import whole_folder
from pipelines.ingest.embed import decode_image
from pipelines.listening.page import page
from pipelines.listening.speech import Pictures, Stimulus, picture_file, read_system, sound_files
from pipelines.progress import step
from stores import Store
from vclip.audio import read_audio
from vclip.errors import InputError

TRUE, RANDOM = "true pair", "random pair"
REFERENCES = (TRUE, RANDOM)
LONGEST_S = 8.0  # of a recording; what comes after is cut off


def read_references(store_uri: str, where: str | None, most: int, seed: int) -> list[Stimulus]:
    """Returns true pairs and as many random ones, a clip a person.

    Nobody is in both: a voice that is heard twice, with two faces, would tell the listener which the recordings are.

    Args:
        store_uri: whose people are shown.
        where: SQL filter over clips.
        most: pairs of either kind; fewer where there are fewer people.
        seed: draws people and their clips.

    Raises:
        InputError, StoreError: the store cannot be read, or fewer than four people have pictures and speech.
    """
    snapshot, rng = Store.open(store_uri).snapshot(), np.random.default_rng(seed)
    clips = clips_with(snapshot, ("faces", "voices"), ("identity", "video_id"), where).to_pylist()
    person = {clip["clip_id"]: clip["identity"] or clip["video_id"] for clip in clips}
    drawn = {person[clip]: clip for clip in rng.permutation(list(person)).tolist()}
    names = rng.permutation(sorted(drawn)).tolist()
    media = {person[item.clip["clip_id"]]: item for item in media_of(snapshot, [drawn[n] for n in names[: 2 * most]])}
    seen = [
        media[name] for name in names if name in media and media[name].face["image"] and media[name].voice["audio"]
    ]
    pairs = min(most, len(seen) // 2)
    if pairs < 2:
        raise InputError(f"store {store_uri}: found {len(seen)} people with pictures and speech, expected 4 or more")
    own, others = seen[:pairs], seen[pairs : 2 * pairs]
    true = [_stimulus(TRUE, one, one) for one in own]
    return true + [_stimulus(RANDOM, one, other) for one, other in zip(others, others[1:] + others[:1], strict=True)]


def _stimulus(kind: str, seen: ClipMedia, heard: ClipMedia) -> Stimulus:
    sound, rate = read_audio(heard.voice["audio"])
    told = {"face_id": seen.face["face_id"], "voice_id": heard.voice["voice_id"]}
    picture = decode_image(seen.face["image"])
    return Stimulus(kind, seen.face["face_id"], picture, sound[: int(LONGEST_S * rate)], rate, told)


PAGE, KEY = "test.html", "key.json"


def make(
    systems: Mapping[str, Path],
    out: Path,
    config: Config,
    store_uri: str | None = None,
    where: str | None = None,
    items: int = 10,
    pairs: int = 10,
    seed: int = 0,
) -> dict[str, Any]:
    """Writes test.html and key.json; returns how many items each system has.

    Args:
        systems: their names, and where their speech is; see `pipelines.listening.speech`.
        out: a new or empty folder.
        config: its sections `extraction` and `remote`, to find the faces in the photos.
        store_uri: whose true and random pairs are among the items; none without it.
        where: SQL filter over its clips.
        items: of each system, at most.
        pairs: true ones and random ones, at most.
        seed: draws items and pairs. Names and order of the items are random each time.

    Raises:
        InputError, StoreError: speech, faces or the store cannot be used, or `out` is not empty.
    """
    if reserved := sorted({*systems} & {*REFERENCES}):
        raise InputError(f"system '{reserved[0]}': found the name of a reference, expected another")
    with whole_folder(out) as folder:
        pictures, stimuli = Pictures(config), []
        with step("gather", len(systems) + bool(store_uri), "systems") as progress:
            for name, path in systems.items():
                stimuli += read_system(name, path, items, seed, pictures)
                progress.advance(note=name)
            if store_uri:
                stimuli += read_references(store_uri, where, pairs, seed)
                progress.advance(note="references")
        test, names = secrets.token_hex(8), [secrets.token_hex(8) for _ in stimuli]
        files = zip(names, stimuli, sound_files(stimuli), strict=True)
        shown = {name: (picture_file(stimulus.picture), sound) for name, stimulus, sound in files}
        key = {
            "test": test,
            "vclip": vclip.__version__,
            "systems": {name: str(path) for name, path in systems.items()},
            "store": store_uri,
            "where": where,
            "seed": seed,
            "items": {
                name: {"system": stimulus.system, "face": stimulus.face, **stimulus.told}
                for name, stimulus in zip(names, stimuli, strict=True)
            },
        }
        (folder / PAGE).write_text(page(test, shown), encoding="utf-8")
        (folder / KEY).write_text(json.dumps(key, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    counts = {name: sum(stimulus.system == name for stimulus in stimuli) for name in (*systems, *REFERENCES)}
    size_mb = (out / PAGE).stat().st_size / 1e6
    return {
        "page": str(out / PAGE), "key": str(out / KEY), "items": {k: n for k, n in counts.items() if n},
        "ratings_a_listener": 2 * len(stimuli), "page_mb": round(size_mb, 1),
    }  # fmt: skip
