"""`vclip outliers`: clips whose face and voice a model does not believe to be of one person.

A pair's cosine says little by itself, for some faces suit everybody. So it is set against impostors: the face with
other people's voices, and the voice with other people's faces (symmetric normalisation, as in
`vclip.association.scores`). The percentile is the share of pairs of strangers that score less: a clip whose face
and voice are of two strangers has any percentile as likely as any other.
"""

import csv
import html
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipelines.analysis.clip_media import media_of
from pipelines.analysis.clip_vectors import clips_with, directions
from pipelines.association.evaluate import open_model
from pipelines.config import Config
from pipelines.files.whole import whole_folder
from pipelines.html.charts import STYLE, histogram
from pipelines.html.page import data_uri, document, section, tiles
from pipelines.html.thumbnails import thumbnail
from pipelines.ingest.streaming_stats import Histogram, evenly
from pipelines.progress import Step, say, step
from stores import Snapshot, Store
from vclip.association.base import Association
from vclip.association.pairs import hashes_of
from vclip.association.scores import Level
from vclip.errors import InputError, SpaceError

if TYPE_CHECKING:
    from pipelines.analysis.outliers import Suited

FACE_PX = 144
_STYLE = (
    STYLE
    + """
.sheet { display: grid; grid-template-columns: repeat(auto-fill, minmax(12.5rem, 1fr)); gap: 1rem }
.sheet img { width: 144px; height: 144px; border-radius: .4rem } .sheet audio { width: 100%; margin: .5rem 0 }
.sheet p { margin: 0; overflow-wrap: anywhere } .curves { max-width: 26rem }
"""
)


def page(snapshot: Snapshot, shown: Sequence[Mapping[str, Any]], result: Mapping[str, Any], suited: "Suited") -> str:
    """Returns the whole page.

    Args:
        snapshot: where the media are.
        shown: the clips with their figures, the least suited first.
        result: outliers.json.
        suited: of all clips.
    """
    media = {
        item.clip["clip_id"]: (thumbnail(item.face["image"], FACE_PX), item.voice["audio"])
        for item in media_of(snapshot, [row["clip_id"] for row in shown])
    }
    spread = Histogram(evenly(0, 1, 20))
    spread.add_all(suited.percentile)
    said = (
        '<p class="faint">The percentile is the share of other people that suit less well. Pairs of strangers would '
        "fill this picture evenly; true ones stand on the right. Most of what a model knows is gender, so most of "
        "what it finds is a voice of the other one. What is here is to be looked at, not to be deleted.</p>"
    )
    cards = "".join(_card(row, *media[row["clip_id"]]) for row in shown)
    body = [
        _seen(result),
        _tiles(result),
        section("All clips", f'{said}<div class="curves">{histogram("percentile", spread)}</div>'),
        section("The least suited", f'<div class="sheet">{cards}</div>'),
    ]
    lead = f"Store {result['store']}, by model {result['model']}."
    return document("Do face and voice belong together?", lead, "".join(body), _STYLE)


def _seen(result: Mapping[str, Any]) -> str:
    if not result["seen_in_training"]:
        return ""
    return (
        f'<p class="note"><b>{result["seen_in_training"]:,} of {result["clips"]:,} clips had a part in the model\'s '
        "training.</b> It may have learned their mistakes by heart; a model of other people sees them better.</p>"
    )


def _tiles(result: Mapping[str, Any]) -> str:
    shown = [
        (f"{result['clips']:,}", "clips"),
        (f"{result['percentile_median']:.2f}", "percentile in the middle"),
        (f"{result['below_half_of_the_strangers']:,}", "suit less well than half of the strangers"),
    ]
    return tiles(shown)


def _card(row: Mapping[str, Any], face: bytes, audio: bytes) -> str:
    image = f'<img src="{data_uri(face, "image/jpeg")}" alt="">' if face else ""
    sound = f'<audio controls preload="none" src="{data_uri(audio, "audio/flac")}"></audio>' if audio else ""
    where = f"{PurePosixPath(row['video_uri']).name}, {row['start_s']:.1f} to {row['end_s']:.1f} s"
    seen = ", seen in training" if row["seen"] else ""
    return (
        f'<div class="card">{image}{sound}<p><b>{row["percentile"]:.1%}</b> <span class="faint">percentile, score '
        f"{row['score']:.2f}{seen}</span></p><p>{html.escape(row['identity'] or 'nobody named')}</p>"
        f'<p class="faint">{html.escape(where)}</p></div>'
    )


BACKGROUND, FEWEST = 1000, 20  # clips that each is set against; fewer people say nothing
STRANGERS = 200_000  # pairs of two people that a percentile is of
ROWS = 2048  # scored at a time
_COLUMNS = ("video_id", "video_uri", "start_s", "end_s", "identity")


@dataclass(frozen=True)
class Suited:
    """How well the face and the voice of each clip suit each other, in the order of the clips."""

    cosine: np.ndarray  # (C,) float32, the model's
    score: np.ndarray  # (C,) float32, normalised: 0 is what impostors have on average, 1 a deviation above
    percentile: np.ndarray  # (C,) float32, share of pairs of strangers that score less


def outliers(
    store_uri: str, model_folder: Path, out: Path, config: Config, where: str | None = None, most: int = 40
) -> dict[str, Any]:
    """Writes outliers.csv (all clips, the least suited first), outliers.json and outliers.html; returns the figures.

    Args:
        store_uri: the store.
        model_folder: the checkpoint.
        out: a new or empty folder.
        config: its `train.seed` draws the impostors, `train.device` is where the model runs.
        where: SQL filter over clips.
        most: how many the page shows.

    Raises:
        InputError, StoreError: no store, no model, other encoders, too few clips, or `out` is not empty.
    """
    model, store = open_model(model_folder, config), Store.open(store_uri)
    for expected, found in ((model.face_space, store.spaces("faces")), (model.voice_space, store.spaces("voices"))):
        if expected not in found:
            raise SpaceError(", ".join(found), expected, f"store {store_uri} with this model")
    snapshot = store.snapshot()
    with whole_folder(out) as folder:
        clips = clips_with(snapshot, ("faces", "voices"), _COLUMNS, where)
        faces = directions(snapshot, "faces", model.face_space, clips, model.embed_faces)
        voices = directions(snapshot, "voices", model.voice_space, clips, model.embed_voices)
        suited = suit(faces, voices, _people(clips), config.train.seed)
        seen, order = seen_by(model, clips), np.argsort(suited.score, kind="stable")
        result = {
            "store": store_uri,
            "version": snapshot.version,
            "model": str(model_folder),
            "where": where,
            "clips": len(clips),
            "seen_in_training": int(seen.sum()),
            "percentile_median": float(np.median(suited.percentile)),
            "below_half_of_the_strangers": int(np.sum(suited.percentile < 0.5)),
        }
        if seen.any():
            say(f"{seen.sum()} of {len(clips)} clips had a part in the model's training: it may remember them")
        _write(folder, clips, suited, seen, order)
        (folder / "outliers.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
        rows = clips.take(pa.array(order[:most])).to_pylist()
        shown = [{**row, **_figures(suited, seen, i)} for row, i in zip(rows, order[:most].tolist(), strict=True)]
        (folder / "outliers.html").write_text(page(snapshot, shown, result, suited), encoding="utf-8")
    return {"out": str(out), **result}


def suit(faces: np.ndarray, voices: np.ndarray, person: np.ndarray, seed: int = 0) -> Suited:
    """Returns how well the face and the voice of each clip suit each other.

    Args:
        faces, voices: (C, d) float32, unit norm, in the model's space.
        person: (C,) int; clips of one are no impostors of each other.
        seed: draws the impostors.

    Raises:
        InputError: fewer than FEWEST people among the impostors.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(faces))[:BACKGROUND]
    if len(np.unique(person[chosen])) < FEWEST:
        raise InputError(f"outliers: found {len(np.unique(person))} people, expected {FEWEST} to set a pair against")
    with step("setting pairs against impostors", 2 * len(faces), "vectors") as scoring:
        by_face = _level(faces, voices[chosen], person, person[chosen], scoring)
        by_voice = _level(voices, faces[chosen], person, person[chosen], scoring)

    def score(face: np.ndarray, voice: np.ndarray) -> np.ndarray:
        cosine = _cosines(faces, voices, face, voice)
        normed = (
            ((cosine - level.mean[row]) / level.std[row]) for level, row in ((by_face, face), (by_voice, voice))
        )
        return sum(normed) / 2

    each = np.arange(len(faces))
    one, other = rng.integers(0, len(faces), (2, STRANGERS))
    strangers = person[one] != person[other]
    impostors, own = np.sort(score(one[strangers], other[strangers])), score(each, each)
    below = sum(np.searchsorted(impostors, own, side) for side in ("left", "right")) / 2  # ties count half
    return Suited(_cosines(faces, voices, each, each), own, (below / len(impostors)).astype(np.float32))


def _cosines(faces: np.ndarray, voices: np.ndarray, face: np.ndarray, voice: np.ndarray) -> np.ndarray:
    """Returns the cosines (n,) float32 of rows of faces (n,) with rows of voices (n,)."""
    parts = (slice(start, start + ROWS) for start in range(0, len(face), ROWS))
    return np.concatenate([np.einsum("nd,nd->n", faces[face[part]], voices[voice[part]]) for part in parts])


def _level(vectors: np.ndarray, impostors: np.ndarray, person: np.ndarray, whose: np.ndarray, scoring: Step) -> Level:
    """Returns what each vector (C, d) scores with the impostors (b, d) that are not of its own person."""
    mean, std = np.empty(len(vectors), np.float32), np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), ROWS):
        part = slice(start, start + ROWS)
        scores, others = vectors[part] @ impostors.T, person[part, None] != whose
        count = others.sum(axis=1)
        mean[part] = np.sum(scores * others, axis=1) / count
        std[part] = np.sqrt(np.sum((scores - mean[part, None]) ** 2 * others, axis=1) / count)
        scoring.advance(len(scores))
    return Level(mean, np.maximum(std, 1e-9))


def seen_by(model: Association, clips: pa.Table) -> np.ndarray:
    """Returns which clips (C,) bool had a part in the model's training, or are of somebody who had."""
    identity = clips["identity"].fill_null("").to_numpy().astype(str)
    seen = np.isin(hashes_of("clip", clips["clip_id"].to_numpy().astype(str)), model.seen)
    return seen | ((identity != "") & np.isin(hashes_of("identity", identity), model.seen))


def _people(clips: pa.Table) -> np.ndarray:
    """Returns the number (C,) of each clip's person; clips of one video that name nobody may be of one person."""
    names = zip(clips["identity"].to_pylist(), clips["video_id"].to_pylist(), strict=True)
    return np.unique([f"i{name}" if name else f"v{video}" for name, video in names], return_inverse=True)[1]


def _figures(suited: Suited, seen: np.ndarray, i: int) -> dict[str, Any]:
    return {
        "score": float(suited.score[i]),
        "percentile": float(suited.percentile[i]),
        "cosine": float(suited.cosine[i]),
        "seen": bool(seen[i]),
    }


def _write(folder: Path, clips: pa.Table, suited: Suited, seen: np.ndarray, order: np.ndarray) -> None:
    columns: Mapping[str, list] = {name: clips[name].to_pylist() for name in clips.column_names}
    with (folder / "outliers.csv").open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(("score", "percentile", "cosine", "seen_in_training", *columns))
        for i in order.tolist():
            figures = (round(float(value[i]), 4) for value in (suited.score, suited.percentile, suited.cosine))
            writer.writerow((*figures, int(seen[i]), *(values[i] for values in columns.values())))
