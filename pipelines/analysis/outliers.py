"""`vclip outliers`: clips whose face and voice a model does not believe to be of one person.

A pair's cosine says little by itself, for some faces suit everybody. So it is set against impostors: the face with
other people's voices, and the voice with other people's faces (symmetric normalisation, as in
`vclip.association.score_norm`). The percentile is the share of pairs of strangers that score less: a clip whose face
and voice are of two strangers has any percentile as likely as any other.
"""

import csv
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.analysis.outliers_page import page
from pipelines.analysis.views import clips_with, directions
from pipelines.analysis.whole_folder import whole_folder
from pipelines.config import Config
from pipelines.evaluate import open_model
from pipelines.progress import Step, say, step
from stores import Store
from vclip.association.pairs import hashes_of
from vclip.association.protocol import Association
from vclip.association.score_norm import Level
from vclip.errors import InputError, SpaceError

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
