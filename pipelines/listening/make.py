"""`vclip listening-test make`: a page to hand out to listeners, and the key to it.

Each item of the page is a face and audio under a random name, in the order of the names; only the key says which
system made it. Every listener rates every item twice: the audio by itself, and the audio with the face.
"""

import json
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import vclip
from pipelines.analysis.clips import ClipMedia, clips_with, media_of
from pipelines.cluster.derived import record_derived
from pipelines.config import Config
from pipelines.ingest.embed import decode_image
from pipelines.listening.page import page
from pipelines.listening.speech import FaceImages, Stimulus, audio_files, image_file, read_system
from pipelines.progress import say, step
from pipelines.wording import count
from stores import Store
from vclip.audio import read_audio
from vclip.errors import InputError
from vclip.files import whole_folder
from vclip.marking.marks import Marks

PAGE, KEY = "test.html", "key.json"
TRUE, RANDOM = "true pair", "random pair"
REFERENCES = (TRUE, RANDOM)
LONGEST_S = 8.0  # of a recording; what comes after is cut off


@dataclass(frozen=True)
class ListeningTest:
    """A listening test on disk."""

    page: str  # path of the page for listeners
    key: str  # path of the key, which they must not see
    items: dict[str, int]  # system or reference -> items
    ratings_a_listener: int
    page_mb: float


def make(
    systems: Mapping[str, Path],
    out: Path,
    config: Config,
    store_uri: str | None = None,
    where: str | None = None,
    items: int = 10,
    pairs: int = 10,
    seed: int = 0,
) -> ListeningTest:
    """Writes test.html and key.json.

    Args:
        systems: name -> where the speech of the system is; see `pipelines.listening.speech`.
        out: a new or empty folder.
        config: its sections `extraction` and `remote`, to find the faces in the photos, and `marks`.
        store_uri: a store whose true and random pairs are added to the items; None adds none.
        where: SQL filter over its clips.
        items: per system, at most.
        pairs: true pairs, and random pairs, at most.
        seed: of the draw of items and pairs. Names and order of the items are random each time.

    Raises:
        InputError, StoreError: speech, faces or the store cannot be used, or `out` is not empty.
    """
    if reserved := sorted({*systems} & {*REFERENCES}):
        raise InputError(f"system '{reserved[0]}': found the name of a reference, expected another")
    marks = Marks.of(config.marks)
    if notice := marks.notice():
        say(f"marks: {notice}")
    with whole_folder(out) as folder:
        images, stimuli = FaceImages(config), []
        with step("gather", len(systems) + bool(store_uri), "systems") as progress:
            for name, path in systems.items():
                stimuli += read_system(name, path, items, seed, images)
                progress.advance(note=name)
            if store_uri:
                stimuli += read_references(store_uri, where, pairs, seed)
                progress.advance(note="references")
        test, names = secrets.token_hex(8), [secrets.token_hex(8) for _ in stimuli]
        files = zip(names, stimuli, audio_files(stimuli, marks.signer), strict=True)
        shown = {name: (image_file(stimulus.image), audio) for name, stimulus, audio in files}
        key = {
            "test": test,
            "vclip": vclip.__version__,
            "systems": {name: str(path) for name, path in systems.items()},
            "store": store_uri,
            "where": where,
            "seed": seed,
            "items": {
                name: {"system": stimulus.system, "face": stimulus.face, **stimulus.sources}
                for name, stimulus in zip(names, stimuli, strict=True)
            },
        }
        (folder / PAGE).write_text(page(test, shown), encoding="utf-8")
        (folder / KEY).write_text(json.dumps(key, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    record_derived(store_uri, "listening test", out)
    counts = {name: sum(stimulus.system == name for stimulus in stimuli) for name in (*systems, *REFERENCES)}
    return ListeningTest(
        page=str(out / PAGE),
        key=str(out / KEY),
        items={name: count for name, count in counts.items() if count},
        ratings_a_listener=2 * len(stimuli),
        page_mb=round((out / PAGE).stat().st_size / 1e6, 1),
    )


def read_references(store_uri: str, where: str | None, most: int, seed: int) -> list[Stimulus]:
    """Returns true pairs and as many random ones, one clip per person: the ends of the scale.

    Nobody is in both: a voice heard twice, with two faces, would tell the listener which items are recordings.

    Args:
        store_uri: the store whose people are shown.
        where: SQL filter over clips.
        most: pairs of either kind, at most; fewer where the store has fewer people.
        seed: draws people and their clips.

    Raises:
        InputError, StoreError: the store cannot be read, or fewer than four people have images and speech.
    """
    snapshot, rng = Store.open(store_uri).snapshot(), np.random.default_rng(seed)
    clips = clips_with(snapshot, ("faces", "voices"), ("identity", "video_id"), where).to_pylist()
    person = {clip["clip_id"]: clip["identity"] or clip["video_id"] for clip in clips}
    drawn = {person[clip]: clip for clip in rng.permutation(list(person)).tolist()}
    names = rng.permutation(sorted(drawn)).tolist()
    media = {person[item.clip["clip_id"]]: item for item in media_of(snapshot, [drawn[n] for n in names[: 2 * most]])}
    usable = [
        media[name] for name in names if name in media and media[name].face["image"] and media[name].voice["audio"]
    ]
    pairs = min(most, len(usable) // 2)
    if pairs < 2:
        people = count(len(usable), "person", "people")
        raise InputError(f"store {store_uri}: found {people} with images and speech, expected 4 or more")
    own, others = usable[:pairs], usable[pairs : 2 * pairs]
    true = [_stimulus(TRUE, one, one) for one in own]
    return true + [_stimulus(RANDOM, one, other) for one, other in zip(others, others[1:] + others[:1], strict=True)]


def _stimulus(kind: str, face: ClipMedia, voice: ClipMedia) -> Stimulus:
    audio, rate = read_audio(voice.voice["audio"])
    sources = {"face_id": face.face["face_id"], "voice_id": voice.voice["voice_id"]}
    image = decode_image(face.face["image"])
    return Stimulus(kind, face.face["face_id"], image, audio[: int(LONGEST_S * rate)], rate, sources)
