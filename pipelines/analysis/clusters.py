"""`vclip clusters`: clips grouped into people by face and voice, compared with the identities, and near-duplicates.

Two methods:
- `average` is average-linkage clustering by face and voice together (`vclip.association.clustering`), up to a bound
  that clips of two people seldom pass by chance. `vclip train` gets its pseudo-identities from it.
- `hdbscan` (Campello et al. 2013; scikit-learn's) has no such bound, only density, and also takes faces or voices
  alone. Where most people have one clip it joins strangers: on 850 real clips its pairs have a precision of .08 and
  a recall of 1.00; those of `average` have .94 and .92. Where people have five clips each it does as well, and finds
  more of those whose clips differ much (docs/analysis.md).
"""

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines.analysis.agreement import Agreement, agreement
from pipelines.analysis.clips import clips_with, directions, media_of, write_columns
from pipelines.analysis.near_duplicates import Duplicate, near_duplicates
from pipelines.cluster.derived import record_derived
from pipelines.html.page import render, thumbnail
from pipelines.progress import step
from stores import Snapshot, Store
from vclip.association.clustering.agglomerative import cluster
from vclip.association.clustering.pair_scores import score_pairs
from vclip.association.clustering.pseudo_identities import seen_at_once
from vclip.association.pairs import Pairs
from vclip.errors import InputError
from vclip.files import whole_folder

OF = ("both", "faces", "voices")
METHODS = ("average", "hdbscan")
FORMER_METHODS = {"linkage": "average"}  # former name -> name, for scripts that still give it
MOST_HDBSCAN = 20_000  # clips: scikit-learn compares all with all
SHOWN_CLUSTERS, SHOWN_FACES, SHOWN_NAMES, SHOWN_DUPLICATES = 60, 8, 3, 20  # on the page; faces, names of a cluster
ONE_FOR_ALL = 0.5  # share of the clips above which one cluster is hardly a person among others
FEWEST_CLIPS = 10  # to say so of them
_COLUMNS = ("video_id", "start_s", "end_s", "identity", "gender", "nationality", "age")


@dataclass(frozen=True)
class ClustersResult:
    """Clusters and near-duplicates in numbers, and the clips that they are of."""

    out: str
    store: str
    version: dict[str, int]
    of: str  # both | faces | voices
    method: str  # average | hdbscan
    where: str | None
    clips: int
    clusters: int
    of_several_clips: int  # clusters
    largest: int  # clips in the largest cluster
    near_duplicates: int  # pairs
    agreement_with_names: Agreement | None  # None if no clip has an identity

    def in_words(self) -> list[str]:
        """Sentences that say what a cluster is, and whether these can be people."""
        found = []
        if self.method == "average":
            found.append(
                "Clips share a cluster where face and voice are both more alike than those of two people; one in "
                "twenty of the pairs above this bound is expected to be wrong. A person seen once is a cluster by "
                "itself."
            )
        if self.clips >= FEWEST_CLIPS and self.largest > ONE_FOR_ALL * self.clips:
            found.append(
                f"One cluster holds {self.largest:,} of {self.clips:,} clips. Either they show one person, or the "
                "encoders cannot tell these people apart, like those of the quickstart's sample, who were made from "
                "one portrait and one voice. If you know the people, name them in the manifest of `vclip ingest` or "
                "by `vclip edit label --name identity`; `vclip train` and `vclip evaluate` use the names."
            )
        return found


@dataclass(frozen=True)
class ClusteredClips:
    """C clips and their clusters."""

    clips: pa.Table  # in the order of their ids, with _COLUMNS
    group: np.ndarray  # (C,) int64, numbered from the largest cluster on
    duplicates: list[Duplicate]

    def names(self) -> np.ndarray:
        """The identity of each clip, (C,) str; empty if unknown."""
        return self.clips["identity"].fill_null("").to_numpy().astype(str)


def clusters(
    store_uri: str,
    out: Path,
    of: str = "both",
    method: str = "average",
    where: str | None = None,
    duplicates: bool = True,
    most_hdbscan: int = MOST_HDBSCAN,
) -> ClustersResult:
    """Clusters the clips of a store; writes clusters.csv, duplicates.csv, clusters.json and clusters.html to `out`.

    Args:
        store_uri: the store.
        out: a new or empty folder.
        of: both, faces or voices.
        method: average (of both only) or hdbscan.
        where: SQL filter over clips.
        duplicates: whether to look for clips that are near-identical in face and voice.
        most_hdbscan: most clips for HDBSCAN, whose time and memory grow with their square.

    Raises:
        InputError, StoreError: no store, too few clips or too many, an unknown method, or `out` is not empty.
    """
    method = FORMER_METHODS.get(method, method)
    _check(of, method)
    store = Store.open(store_uri)
    snapshot = store.snapshot()
    with whole_folder(out) as folder:
        tables = ("faces", "voices") if of == "both" or duplicates else (of,)
        clips = clips_with(snapshot, tables, _COLUMNS, where)
        vectors = {table: directions(snapshot, table, None, clips) for table in tables}
        spaces = {"faces": store.face_space, "voices": store.voice_space}
        with step(f"clustering ({method})", len(clips), "clips") as grouping:
            if method == "hdbscan" and len(clips) > most_hdbscan:
                raise InputError(
                    f"--method hdbscan: found {len(clips):,} clips, expected at most {most_hdbscan:,}, because it "
                    "compares all with all; narrow them with --where, or use --method average"
                )
            group = _largest_first(_CLUSTERINGS[method](clips, vectors, spaces, of))
            grouping.set(len(clips))
        copies = near_duplicates(clips["clip_id"].to_pylist(), **vectors) if duplicates else []
        clustered = ClusteredClips(clips, group, copies)
        size, names = np.bincount(group), clustered.names()
        named = names != ""
        result = ClustersResult(
            out=str(out),
            store=store_uri,
            version=snapshot.version,
            of=of,
            method=method,
            where=where,
            clips=len(group),
            clusters=len(size),
            of_several_clips=int(np.sum(size > 1)),
            largest=int(size.max(initial=0)),
            near_duplicates=len(copies),
            agreement_with_names=agreement(group[named], names[named]) if named.any() else None,
        )
        _write(folder, clustered, result)
        (folder / "clusters.html").write_text(_page(snapshot, clustered, result), encoding="utf-8")
    record_derived(store_uri, "clusters", out)
    return result


def _check(of: str, method: str) -> None:
    if of not in OF:
        raise InputError(f"--of '{of}': expected one of {', '.join(OF)}")
    if method not in METHODS:
        raise InputError(f"--method '{method}': expected one of {', '.join(METHODS)}")
    if method == "average" and of != "both":
        raise InputError(f"--method average clusters by face and voice: found --of {of}; use --method hdbscan")


def _average(clips: pa.Table, vectors: Mapping[str, np.ndarray], spaces: Mapping[str, str], of: str) -> np.ndarray:
    video = np.unique(clips["video_id"].to_numpy().astype(str), return_inverse=True)[1]
    times = (clips[name].to_numpy() for name in ("start_s", "end_s"))
    scores = score_pairs(_pairs(clips, vectors), spaces["faces"], spaces["voices"])
    return cluster(scores, video, None, seen_at_once(video, *times))


def _hdbscan(clips: pa.Table, vectors: Mapping[str, np.ndarray], spaces: Mapping[str, str], of: str) -> np.ndarray:
    """The clusters (C,) of HDBSCAN over unit vectors; each clip that it calls noise is a cluster of one."""
    from sklearn.cluster import HDBSCAN

    if of == "both":
        scores = score_pairs(_pairs(clips, vectors), spaces["faces"], spaces["voices"])
        points = np.hstack([scores.faces, scores.voices])
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    else:
        points = vectors[of]
    if len(points) == 1:  # which scikit-learn refuses
        return np.zeros(1, np.int64)
    # Not in the constructor, where scikit-learn declares `copy` as str.
    model = HDBSCAN(min_cluster_size=2, min_samples=1).set_params(copy=True)
    group = model.fit(points).labels_.astype(np.int64)
    alone = group < 0
    group[alone] = group.max(initial=-1) + 1 + np.arange(np.sum(alone))
    return group


_CLUSTERINGS: Mapping[str, Callable[..., np.ndarray]] = {"average": _average, "hdbscan": _hdbscan}


def _pairs(clips: pa.Table, vectors: Mapping[str, np.ndarray]) -> Pairs:
    """The clips as pairs of their mean directions, without identities."""
    each = np.arange(len(clips))
    ids, videos = (clips[name].to_numpy().astype(str) for name in ("clip_id", "video_id"))
    nothing = np.full(len(clips), "")
    return Pairs(vectors["faces"], each, vectors["voices"], each, ids, videos, nothing, nothing)


def _largest_first(group: np.ndarray) -> np.ndarray:
    """The clusters numbered by size, and clusters of one size by their first clip."""
    _, first, number, size = np.unique(group, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(size), np.int64)
    rank[np.lexsort((first, -size))] = np.arange(len(size))
    return rank[number]


def _page(snapshot: Snapshot, clustered: ClusteredClips, result: ClustersResult) -> str:
    """The faces of the largest clusters, the near-duplicates, and the agreement with the identities."""
    ids, names = clustered.clips["clip_id"].to_pylist(), clustered.names().tolist()
    shown = min(SHOWN_CLUSTERS, result.of_several_clips)
    clusters = [np.flatnonzero(clustered.group == number).tolist() for number in range(shown)]
    pairs = clustered.duplicates[:SHOWN_DUPLICATES]
    wanted = {ids[row] for rows in clusters for row in rows[:SHOWN_FACES]}
    wanted |= {clip_id for pair in pairs for clip_id in (pair.clip_id, pair.other)}
    faces = {media.clip["clip_id"]: thumbnail(media.face["image"]) for media in media_of(snapshot, sorted(wanted))}
    return render(
        "clusters.html",
        result=result,
        clusters=[
            {
                "size": len(rows),
                "names": Counter(names[row] for row in rows).most_common(SHOWN_NAMES),
                "more": max(len({names[row] for row in rows}) - SHOWN_NAMES, 0),
                "mixed": len({names[row] for row in rows} - {""}) > 1,
                "faces": [faces.get(ids[row], b"") for row in rows[:SHOWN_FACES]],
            }
            for rows in clusters
        ],
        duplicates=[(pair, [faces.get(pair.clip_id, b""), faces.get(pair.other, b"")]) for pair in pairs],
    )


def _write(folder: Path, found: ClusteredClips, result: ClustersResult) -> None:
    about = {name: value for name, value in asdict(result).items() if name != "out"}
    (folder / "clusters.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    order = np.argsort(found.group, kind="stable")
    group, rows = found.group[order], found.clips.take(pa.array(order))
    columns = {"cluster": group.tolist(), "clips": np.bincount(group)[group].tolist()}
    columns |= {name: rows[name].to_pylist() for name in ("clip_id", "video_id", "start_s", "end_s", "identity")}
    write_columns(folder / "clusters.csv", columns)
    pairs = {
        "clip_id": [pair.clip_id for pair in found.duplicates],
        "other_clip_id": [pair.other for pair in found.duplicates],
        "face_cosine": [round(pair.face, 5) for pair in found.duplicates],
        "voice_cosine": [round(pair.voice, 5) for pair in found.duplicates],
    }
    write_columns(folder / "duplicates.csv", pairs)
