"""What bounds the scale: people of a store with their own voices, and other people with each other's."""

import numpy as np

from pipelines.analysis.clip_media import ClipMedia, media_of
from pipelines.analysis.views import clips_with
from pipelines.embedding import decode_image
from pipelines.listening.stimuli import Stimulus
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
