"""Clusters as a page: the faces of each, the largest first, and what the names say."""

import html
from collections import Counter
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

import numpy as np

from pipelines.analysis.clip_media import media_of
from pipelines.markup import data_uri, document, section, table, tiles
from pipelines.thumbnails import thumbnail
from stores import Snapshot

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
