"""`vclip clusters`: who is who by looks and voice alone, set against the names that are given, and near-duplicates.

Two methods. Average linkage (`vclip.association.clustering`) is what `vclip train` names people by: face and voice
together, with a bound that chance seldom passes. HDBSCAN (Campello et al. 2013; scikit-learn's) knows no bound, only
density, and takes one kind of vector too. Where most people have one clip it makes people of strangers: on 850 real
clips its pairs have a precision of .08 and a recall of 1.00, those of linkage .94 and .92. Where people have five
clips each it does as well, and finds more of those whose clips differ much (docs/analysis.md).
"""

import csv
import html
import json
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa

from pipelines.analysis.clip_media import media_of
from pipelines.analysis.clip_vectors import clips_with, directions
from pipelines.files.whole import whole_folder
from pipelines.html.page import data_uri, document, section, table, tiles
from pipelines.html.thumbnails import thumbnail
from pipelines.progress import step
from stores import Snapshot, Store
from vclip.association.clustering.agglomerative import cluster
from vclip.association.clustering.pair_scores import score_pairs
from vclip.association.clustering.pseudo_identities import seen_at_once
from vclip.association.leaks import near_bound, near_identical
from vclip.association.pairs import Pairs
from vclip.errors import InputError

if TYPE_CHECKING:
    from pipelines.analysis.clusters import Clustered

CLUSTERS, FACES, DUPLICATES = 60, 8, 20  # shown, at most; faces of each cluster
_STYLE = """
.person { display: grid; grid-template-columns: 12rem 1fr; gap: .4rem 1.2rem; align-items: center;
          margin-bottom: .5rem; padding: .6rem 1rem }
.person p { margin: 0; overflow-wrap: anywhere } .faces { display: flex; flex-wrap: wrap; gap: .35rem }
.faces img { width: 64px; height: 64px; border-radius: .35rem; margin: 0 } .person.mixed { border-color: #cf6a55 }
td { font-size: .92rem } @media (max-width: 40rem) { .person { grid-template-columns: 1fr } }
"""


def page(snapshot: Snapshot, found: "Clustered", result: Mapping[str, Any]) -> str:
    """Returns the whole page; `result` is clusters.json."""
    ids, names = found.clips["clip_id"].to_pylist(), found.names()
    shown = [
        np.flatnonzero(found.group == number).tolist() for number in range(min(CLUSTERS, result["of_several_clips"]))
    ]
    pairs = found.duplicates[:DUPLICATES]
    wanted = (
        {ids[row] for rows in shown for row in rows[:FACES]} | {d.clip_id for d in pairs} | {d.other for d in pairs}
    )
    faces = {media.clip["clip_id"]: thumbnail(media.face["image"]) for media in media_of(snapshot, sorted(wanted))}
    people = "".join(
        _person(number, [names[row] for row in rows], [faces.get(ids[row], b"") for row in rows[:FACES]])
        for number, rows in enumerate(shown)
    )
    more = result["of_several_clips"] - len(shown)
    if more > 0:
        people += f'<p class="faint">and {more:,} more, in clusters.csv</p>'
    body = [
        _tiles(result),
        section("People of several clips", people),
        section("Near-duplicates", "".join(_pair(pair, faces) for pair in pairs)),
        section("Against the names", _agreement(result["agreement_with_names"])),
    ]
    lead = f"Store {result['store']}, {result['of']}, by {result['method']}."
    return document("Who is who", lead, "".join(body), _STYLE)


def _tiles(result: Mapping[str, Any]) -> str:
    shown = [
        (f"{result['clips']:,}", "clips"),
        (f"{result['clusters']:,}", "clusters"),
        (f"{result['of_several_clips']:,}", "of several clips"),
        (f"{result['largest']:,}", "clips in the largest"),
        (f"{result['near_duplicates']:,}", "near-duplicate pairs"),
    ]
    return tiles(shown)


def _person(number: int, names: list[str], faces: list[bytes]) -> str:
    counts = Counter(name or "nobody named" for name in names)
    said = "<br>".join(
        f"{html.escape(name)}{f' × {count}' if count > 1 else ''}" for name, count in counts.most_common(3)
    )
    known = set(names) - {""}
    mixed = '<span class="faint">several names</span><br>' if len(known) > 1 else ""
    return (
        f'<div class="card person{" mixed" if mixed else ""}"><p><b>{number}</b> <span class="faint">{len(names)} '
        f"clips</span><br>{mixed}{said}</p>{_faces(faces)}</div>"
    )


def _faces(faces: list[bytes]) -> str:
    images = "".join(f'<img src="{data_uri(face, "image/jpeg")}" alt="">' for face in faces if face)
    return f'<div class="faces">{images}</div>'


def _pair(pair: Any, faces: Mapping[str, bytes]) -> str:
    said = f"{html.escape(pair.clip_id)}<br>{html.escape(pair.other)}"
    return (
        f'<div class="card person"><p><b>{pair.face:.4f}</b> face, <b>{pair.voice:.4f}</b> voice'
        f'<br><span class="faint">{said}</span></p>{_faces([faces[pair.clip_id], faces[pair.other]])}</div>'
    )


def _agreement(found: Mapping[str, Any] | None) -> str:
    if not found:
        return '<p class="faint">The store names nobody, so nothing can be compared.</p>'
    said = (
        f"Of the {found['clips']:,} clips that name one of {found['people']:,} people. Names may be wrong too: the "
        "clusters with a red edge hold several."
    )
    figures = {"precision of pairs": "precision", "recall of pairs": "recall", "B-cubed F1": "b_cubed_f1"}
    rows = [
        {"": words, "value": "–" if found[name] is None else f"{found[name]:.3f}"} for words, name in figures.items()
    ]
    return f'<p class="faint">{said}</p>{table(["", "value"], rows)}'


@dataclass(frozen=True)
class Duplicate:
    """Two clips that are near-identical."""

    clip_id: str
    other: str
    face: float  # cosine of their faces
    voice: float  # and of their voices


def near_duplicates(clip_ids: Sequence[str], faces: np.ndarray, voices: np.ndarray) -> list[Duplicate]:
    """Returns the pairs of clips whose faces, and whose voices, are near-identical, the most alike first.

    Near-identical is what `vclip.association.leaks` takes for one picture or one recording. All clips are compared
    with all, exactly: time grows with the square of their number.

    Args:
        clip_ids: of C clips.
        faces: (C, d_face) float32, unit norm.
        voices: (C, d_voice) float32, unit norm.
    """
    found, bound = [], near_bound(voices, voices)
    with step("looking for near-duplicates", len(clip_ids), "clips") as looking:
        for row, other, face in near_identical(faces, faces):  # each row finds itself at least, unless it is zero
            if row > looking.done:
                looking.set(row)
            if row < other and (voice := float(voices[row] @ voices[other])) >= bound:
                found.append(Duplicate(clip_ids[row], clip_ids[other], face, voice))
        looking.set(len(clip_ids))
    return sorted(found, key=lambda pair: -(pair.face + pair.voice))


OF = ("both", "faces", "voices")
METHODS = ("linkage", "hdbscan")
MOST_HDBSCAN = 20_000  # clips: scikit-learn compares all with all
_COLUMNS = ("video_id", "start_s", "end_s", "identity", "gender", "nationality", "age")


@dataclass(frozen=True)
class Clustered:
    """What was found."""

    clips: pa.Table  # C clips in the order of their ids, with _COLUMNS
    group: np.ndarray  # (C,) int64, numbered from the largest group on
    duplicates: list[Duplicate]

    def names(self) -> np.ndarray:
        """Returns the identity (C,) str that the store gives each clip; empty where it gives none."""
        return self.clips["identity"].fill_null("").to_numpy().astype(str)


def clusters(
    store_uri: str,
    out: Path,
    of: str = "both",
    method: str = "linkage",
    where: str | None = None,
    duplicates: bool = True,
) -> dict[str, Any]:
    """Writes clusters.csv, duplicates.csv, clusters.json and clusters.html to `out`, and returns the figures.

    Args:
        store_uri: the store.
        out: a new or empty folder.
        of: both, faces or voices.
        method: linkage (of both only) or hdbscan.
        where: SQL filter over clips.
        duplicates: also looks for clips that are near-identical in face and voice.

    Raises:
        InputError, StoreError: no store, too few clips or too many, an unknown method, or `out` is not empty.
    """
    _check(of, method)
    store = Store.open(store_uri)
    snapshot = store.snapshot()
    with whole_folder(out) as folder:
        tables = ("faces", "voices") if of == "both" or duplicates else (of,)
        clips = clips_with(snapshot, tables, _COLUMNS, where)
        vectors = {table: directions(snapshot, table, None, clips) for table in tables}
        spaces = {"faces": store.face_space, "voices": store.voice_space}
        with step(f"grouping by {method}", len(clips), "clips") as grouping:
            group = _largest_first(_GROUPED[method](clips, vectors, spaces, of))
            grouping.set(len(clips))
        copies = near_duplicates(clips["clip_id"].to_pylist(), **vectors) if duplicates else []
        found = Clustered(clips, group, copies)
        result = {
            "store": store_uri,
            "version": snapshot.version,
            "of": of,
            "method": method,
            "where": where,
            **_figures(found),
        }
        _write(folder, found, result)
        (folder / "clusters.html").write_text(page(snapshot, found, result), encoding="utf-8")
    return {"out": str(out), **result}


def _check(of: str, method: str) -> None:
    if of not in OF:
        raise InputError(f"--of '{of}': expected one of {', '.join(OF)}")
    if method not in METHODS:
        raise InputError(f"--method '{method}': expected one of {', '.join(METHODS)}")
    if method == "linkage" and of != "both":
        raise InputError(f"--method linkage weighs faces and voices together: found --of {of}; use --method hdbscan")


def _linked(clips: pa.Table, vectors: Mapping[str, np.ndarray], spaces: Mapping[str, str], of: str) -> np.ndarray:
    video = np.unique(clips["video_id"].to_numpy().astype(str), return_inverse=True)[1]
    times = (clips[name].to_numpy() for name in ("start_s", "end_s"))
    return cluster(
        score_pairs(_pairs(clips, vectors), spaces["faces"], spaces["voices"]),
        video,
        None,
        seen_at_once(video, *times),
    )


def _dense(clips: pa.Table, vectors: Mapping[str, np.ndarray], spaces: Mapping[str, str], of: str) -> np.ndarray:
    """Returns the groups of HDBSCAN over unit vectors; what it calls noise are groups of one."""
    from sklearn.cluster import HDBSCAN

    if len(clips) > MOST_HDBSCAN:
        raise InputError(
            f"--method hdbscan: found {len(clips):,} clips, expected at most {MOST_HDBSCAN:,}, for it compares all "
            "with all; narrow them with --where, or use --method linkage"
        )
    if of == "both":
        like = score_pairs(_pairs(clips, vectors), spaces["faces"], spaces["voices"])
        points = np.hstack([like.faces, like.voices])
        points /= np.linalg.norm(points, axis=1, keepdims=True)
    else:
        points = vectors[of]
    group = HDBSCAN(min_cluster_size=2, min_samples=1, copy=True).fit(points).labels_.astype(np.int64)
    alone = group < 0
    group[alone] = group.max(initial=-1) + 1 + np.arange(np.sum(alone))
    return group


_GROUPED: Mapping[str, Callable[..., np.ndarray]] = {"linkage": _linked, "hdbscan": _dense}


def _pairs(clips: pa.Table, vectors: Mapping[str, np.ndarray]) -> Pairs:
    """Returns the clips as pairs of their mean directions; nobody has a name."""
    each = np.arange(len(clips))
    ids, videos = (clips[name].to_numpy().astype(str) for name in ("clip_id", "video_id"))
    nothing = np.full(len(clips), "")
    return Pairs(vectors["faces"], each, vectors["voices"], each, ids, videos, nothing, nothing)


def _largest_first(group: np.ndarray) -> np.ndarray:
    """Returns the groups numbered by size, and those of one size by their first clip."""
    _, first, number, size = np.unique(group, return_index=True, return_inverse=True, return_counts=True)
    rank = np.empty(len(size), np.int64)
    rank[np.lexsort((first, -size))] = np.arange(len(size))
    return rank[number]


def _figures(found: Clustered) -> dict[str, Any]:
    size = np.bincount(found.group)
    names = found.names()
    named = names != ""
    return {
        "clips": len(found.group),
        "clusters": len(size),
        "of_several_clips": int(np.sum(size > 1)),
        "largest": int(size.max(initial=0)),
        "near_duplicates": len(found.duplicates),
        "agreement_with_names": agreement(found.group[named], names[named]) if named.any() else None,
    }


def agreement(group: np.ndarray, person: np.ndarray) -> dict[str, float]:
    """Returns how well groups (C,) agree with the given people (C,).

    Pairs: of those in one group, how many are of one person (precision), and of those of one person, how many are in
    one group (recall); null where there is no such pair. B-cubed F1 (Bagga and Baldwin, 1998) weighs clips alike.
    """
    number = np.unique(person, return_inverse=True)[1].astype(np.int64)
    group = np.unique(group, return_inverse=True)[1].astype(np.int64)
    together = np.unique(group * (number.max() + 1) + number, return_inverse=True)[1]
    sizes = [np.bincount(value) for value in (together, group, number)]
    both, grouped, same = (int(np.sum(size * (size - 1) // 2)) for size in sizes)
    in_both, in_group, in_person = (size[value] for size, value in zip(sizes, (together, group, number), strict=True))
    precision, recall = float(np.mean(in_both / in_group)), float(np.mean(in_both / in_person))
    return {
        "clips": len(group),
        "people": len(sizes[2]),
        "pairs_of_one_person": same,
        "precision": both / grouped if grouped else None,
        "recall": both / same if same else None,
        "b_cubed_f1": 2 * precision * recall / (precision + recall),
    }


def _write(folder: Path, found: Clustered, result: Mapping[str, Any]) -> None:
    (folder / "clusters.json").write_text(json.dumps(result, indent=1) + "\n", encoding="utf-8")
    size = np.bincount(found.group)
    columns = {
        name: found.clips[name].to_pylist() for name in ("clip_id", "video_id", "start_s", "end_s", "identity")
    }
    order = np.argsort(found.group, kind="stable").tolist()
    rows = ((found.group[i], size[found.group[i]], *(values[i] for values in columns.values())) for i in order)
    _csv(folder / "clusters.csv", ("cluster", "clips", *columns), rows)
    _csv(
        folder / "duplicates.csv",
        ("clip_id", "other_clip_id", "face_cosine", "voice_cosine"),
        ((d.clip_id, d.other, round(d.face, 5), round(d.voice, 5)) for d in found.duplicates),
    )


def _csv(path: Path, head: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(head)
        writer.writerows(rows)
