"""`vclip outliers`: clips whose face and voice do not match, according to an association model.

The cosine of a pair says little by itself, because some faces score high with every voice. So it is normalised by
impostors: the face with other people's voices, and the voice with other people's faces (symmetric normalisation, as
in `vclip.association.scores`). The percentile is the share of mismatched pairs (two people) that score lower; the
percentiles of mismatched clips are uniform.
"""

import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.analysis.clips import clips_with, directions, media_of, write_columns
from pipelines.association.pairs import expect_spaces, open_model
from pipelines.cluster.derived import record_derived
from pipelines.config import Config
from pipelines.html.charts import chart_histogram
from pipelines.html.page import render, thumbnail
from pipelines.ingest.streaming_stats import Histogram, evenly
from pipelines.progress import Step, step, warn
from pipelines.wording import count
from stores import Snapshot, Store
from vclip.association.base import Association
from vclip.association.hashes import hashes_of
from vclip.association.scores import Level
from vclip.errors import InputError
from vclip.files import whole_folder

FACE_PX = 144
BACKGROUND = 1000  # clips that each clip is compared with
FEWEST_PEOPLE = 20  # among them; fewer say nothing
IMPOSTOR_PAIRS = 200_000  # mismatched pairs that percentiles refer to
ROWS = 2048  # scored at a time
_COLUMNS = ("video_id", "video_uri", "start_s", "end_s", "identity")


@dataclass(frozen=True)
class ClipScores:
    """The scores of the face and the voice of each of C clips."""

    cosine: np.ndarray  # (C,) float32, of the model
    score: np.ndarray  # (C,) float32, normalised: in standard deviations above the mean of the impostors
    percentile: np.ndarray  # (C,) float32 in 0..1, share of mismatched pairs that score lower

    def of(self, row: int) -> dict[str, float]:
        """The scores of one clip."""
        return {name: float(getattr(self, name)[row]) for name in ("score", "percentile", "cosine")}


@dataclass(frozen=True)
class OutliersResult:
    """The scores of the clips in numbers, and the store and model that they come from."""

    out: str
    store: str
    version: dict[str, int]
    model: str
    where: str | None
    clips: int
    seen_in_training: int  # clips of people that the model was trained on
    percentile_median: float
    below_half_of_the_strangers: int  # clips with a percentile below one half


def outliers(
    store_uri: str, model_folder: Path, out: Path, config: Config, where: str | None = None, most: int = 40
) -> OutliersResult:
    """Writes outliers.csv (all clips, the lowest score first), outliers.json and outliers.html to `out`.

    Args:
        store_uri: the store.
        model_folder: checkpoint of the association model.
        out: a new or empty folder.
        config: `train.seed` draws the impostors; `train.device` runs the model.
        where: SQL filter over clips.
        most: number of clips on the page.

    Raises:
        InputError, StoreError: no store, no model, other encoders, too few clips, or `out` is not empty.
    """
    model = open_model(model_folder, config)
    return find_outliers(Store.open(store_uri), model, str(model_folder), out, config.train.seed, where, most)


def find_outliers(
    store: Store,
    model: Association,
    model_name: str,
    out: Path,
    seed: int = 0,
    where: str | None = None,
    most: int = 40,
    fewest_people: int = FEWEST_PEOPLE,
) -> OutliersResult:
    """`outliers` for an open store and model, with at least `fewest_people` among the impostors."""
    expect_spaces(model, store)
    snapshot = store.snapshot()
    with whole_folder(out) as folder:
        clips = clips_with(snapshot, ("faces", "voices"), _COLUMNS, where)
        faces = directions(snapshot, "faces", model.face_space, clips, model.embed_faces)
        voices = directions(snapshot, "voices", model.voice_space, clips, model.embed_voices)
        scores = score_clips(faces, voices, _people(clips), seed, fewest_people)
        seen, order = seen_by(model, clips), np.argsort(scores.score, kind="stable")
        result = OutliersResult(
            out=str(out),
            store=store.uri,
            version=snapshot.version,
            model=model_name,
            where=where,
            clips=len(clips),
            seen_in_training=int(seen.sum()),
            percentile_median=float(np.median(scores.percentile)),
            below_half_of_the_strangers=int(np.sum(scores.percentile < 0.5)),
        )
        if seen.any():
            of = f"{seen.sum():,} of {count(len(clips), 'clip')}"
            warn(f"the model was trained on the people of {of}: it may remember them")
        _write(folder, clips, scores, seen, order)
        figures = {name: value for name, value in asdict(result).items() if name != "out"}
        (folder / "outliers.json").write_text(json.dumps(figures, indent=1) + "\n", encoding="utf-8")
        rows = clips.take(pa.array(order[:most])).to_pylist()
        shown = [row | scores.of(i) | {"seen": bool(seen[i])} for row, i in zip(rows, order[:most], strict=True)]
        (folder / "outliers.html").write_text(_page(snapshot, shown, scores, result), encoding="utf-8")
    record_derived(store.uri, "outliers", out)
    return result


def score_clips(
    faces: np.ndarray,
    voices: np.ndarray,
    person: np.ndarray,
    seed: int = 0,
    fewest_people: int = FEWEST_PEOPLE,
    rows: int = ROWS,
) -> ClipScores:
    """The normalised scores of C clips.

    Args:
        faces, voices: (C, d) float32, unit norm, in the space of the model.
        person: (C,) int; clips of one person are not impostors of each other.
        seed: draws the impostors.
        fewest_people: fewest people among the impostors.
        rows: clips to score at a time.

    Raises:
        InputError: fewer people among the impostors.
    """
    rng = np.random.default_rng(seed)
    chosen = rng.permutation(len(faces))[:BACKGROUND]
    people = len(np.unique(person[chosen]))
    if people < fewest_people:
        drawn = f" in {len(chosen):,} clips drawn at random" if len(chosen) < len(faces) else ""
        raise InputError(
            f"outliers: found {count(people, 'person', 'people')}{drawn}, expected at least {fewest_people} "
            "to compare each pair with others"
        )
    with step("comparing pairs with impostors", 2 * len(faces), "vectors") as scoring:
        by_face = _level(faces, voices[chosen], person, person[chosen], rows, scoring)
        by_voice = _level(voices, faces[chosen], person, person[chosen], rows, scoring)

    def score(face: np.ndarray, voice: np.ndarray) -> np.ndarray:
        cosine = _cosines(faces, voices, face, voice, rows)
        of_face = (cosine - by_face.mean[face]) / by_face.std[face]
        of_voice = (cosine - by_voice.mean[voice]) / by_voice.std[voice]
        return (of_face + of_voice) / 2

    each = np.arange(len(faces))
    one, other = rng.integers(0, len(faces), (2, IMPOSTOR_PAIRS))
    different = person[one] != person[other]
    impostors, own = np.sort(score(one[different], other[different])), score(each, each)
    below = (
        np.searchsorted(impostors, own, "left") + np.searchsorted(impostors, own, "right")
    ) / 2  # ties count half
    percentile = (below / len(impostors)).astype(np.float32)
    return ClipScores(_cosines(faces, voices, each, each, rows), own, percentile)


def seen_by(model: Association, clips: pa.Table) -> np.ndarray:
    """Whether the model was trained on each clip or on another clip of its identity; (C,) bool."""
    identity = clips["identity"].fill_null("").to_numpy().astype(str)
    seen = np.isin(hashes_of("clip", clips["clip_id"].to_numpy().astype(str)), model.seen)
    return seen | ((identity != "") & np.isin(hashes_of("identity", identity), model.seen))


def _cosines(faces: np.ndarray, voices: np.ndarray, face: np.ndarray, voice: np.ndarray, rows: int) -> np.ndarray:
    """The cosines (n,) float32 of rows of faces (n,) with rows of voices (n,)."""
    parts = (slice(start, start + rows) for start in range(0, len(face), rows))
    return np.concatenate([np.einsum("nd,nd->n", faces[face[part]], voices[voice[part]]) for part in parts])


def _level(
    vectors: np.ndarray, impostors: np.ndarray, person: np.ndarray, whose: np.ndarray, rows: int, scoring: Step
) -> Level:
    """Mean and deviation of the scores of each vector (C, d) with the impostors (b, d) of other people."""
    mean, std = np.empty(len(vectors), np.float32), np.empty(len(vectors), np.float32)
    for start in range(0, len(vectors), rows):
        part = slice(start, start + rows)
        scores, others = vectors[part] @ impostors.T, person[part, None] != whose
        number = others.sum(axis=1)
        mean[part] = np.sum(scores * others, axis=1) / number
        std[part] = np.sqrt(np.sum((scores - mean[part, None]) ** 2 * others, axis=1) / number)
        scoring.advance(len(scores))
    return Level(mean, np.maximum(std, 1e-9))


def _people(clips: pa.Table) -> np.ndarray:
    """The number (C,) of each clip's person; clips without an identity that share a video count as one person."""
    names = zip(clips["identity"].to_pylist(), clips["video_id"].to_pylist(), strict=True)
    return np.unique([f"i{name}" if name else f"v{video}" for name, video in names], return_inverse=True)[1]


def _write(folder: Path, clips: pa.Table, scores: ClipScores, seen: np.ndarray, order: np.ndarray) -> None:
    columns = {
        name: [round(float(value), 4) for value in getattr(scores, name)[order]]
        for name in ("score", "percentile", "cosine")
    }
    columns["seen_in_training"] = seen[order].astype(int).tolist()
    write_columns(folder / "outliers.csv", columns | clips.take(pa.array(order)).to_pydict())


def _page(snapshot: Snapshot, shown: list[dict[str, Any]], scores: ClipScores, result: OutliersResult) -> str:
    media = {item.clip["clip_id"]: item for item in media_of(snapshot, [row["clip_id"] for row in shown])}
    histogram = Histogram(evenly(0, 1, 20))
    histogram.add_all(scores.percentile)
    return render(
        "outliers.html",
        result=result,
        chart=chart_histogram("percentile", histogram.edges, histogram.counts, result.percentile_median),
        clips=[
            row
            | {
                "face": thumbnail(media[row["clip_id"]].face["image"], FACE_PX),
                "audio": media[row["clip_id"]].voice["audio"],
            }
            for row in shown
        ],
    )
