"""`vclip search`: what is like a probe, or suits it, for people or for scripts."""

import csv
import json
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict, fields
from pathlib import Path

from pipelines.config import Config
from pipelines.search import Answer, Hit, Searcher
from stores import Store
from vclip.association.methods import load as load_association
from vclip.errors import InputError

FORMATS = ("table", "json", "csv")
HOW = {
    "memory": "exact, from memory",
    "stream": "exact, by a pass over the table",
    "index": "through the index, which may miss some",
}


def search(
    store_uri: str,
    find: str,
    asked: Mapping[str, Sequence[str] | None],
    model: str | None,
    config: Config,
    k: int,
    where: str | None,
    media: str | None,
    exact: bool,
    memory_gb: float,
    prior: float,
    face_index: int | None,
    format: str,
) -> None:
    """Prints what was found, on stdout.

    Args:
        store_uri: the store.
        find, k, where, media, exact, prior: as `Searcher.find` takes them.
        asked: face, voice or text -> what to search by; of one kind only.
        model: folder of an association model.
        config: its sections `encoders` and `extraction`.
        memory_gb: of vectors.
        face_index: which face of a picture.
        format: table, json (one object) or csv.

    Raises:
        InputError, StoreError: what is asked makes no sense.
    """
    if format not in FORMATS:
        raise InputError(f"format '{format}': expected one of {', '.join(FORMATS)}")
    given = [kind for kind, wanted in asked.items() if wanted]
    if len(given) != 1:
        raise InputError(f"search by {' and '.join(given) or 'nothing'}: expected one of --face, --voice, --text")
    association = load_association(Path(model)) if model else None
    searcher = Searcher(Store.open(store_uri), association, config, int(memory_gb * 2**30))
    if asked["face"]:
        probes = searcher.faces(asked["face"], face_index)
    elif asked["voice"]:
        probes = searcher.voices(asked["voice"])
    else:
        probes = searcher.texts(asked["text"] or ())
    _print(searcher.find(find, probes, k, where, media, exact, prior), format)


def _print(answer: Answer, format: str) -> None:
    if format == "json":
        print(json.dumps(answer.to_json(), ensure_ascii=False))
    elif format == "csv":
        writer = csv.DictWriter(sys.stdout, ["probe", *(field.name for field in fields(Hit))])
        writer.writeheader()
        writer.writerows({"probe": match.probe, **asdict(hit)} for match in answer.matches for hit in match.hits)
    else:
        _print_tables(answer)


def _print_tables(answer: Answer) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table

    own = "face_id" if answer.find == "faces" else "voice_id"
    for match in answer.matches:
        title = f"{answer.find} {'for' if answer.across else 'like'} {match.probe}"
        table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
        columns = {
            "cosine": [f"{hit.cosine:.3f}" for hit in match.hits],
            "match": ["" if hit.probability is None else f"{hit.probability:.0%}" for hit in match.hits],
            own: [getattr(hit, own) for hit in match.hits],
            "identity": [hit.identity or "" for hit in match.hits],
            "gender": [hit.gender or "" for hit in match.hits],
            "seconds": [f"{hit.start_s:.1f}-{hit.end_s:.1f}" for hit in match.hits],
            "video": [hit.video_uri.rpartition("/")[2] for hit in match.hits],
        }
        shown = {name: cells for name, cells in columns.items() if any(cells)}
        for name in shown:
            table.add_column(name, no_wrap=name == own, overflow="fold" if name == own else "ellipsis")
        for row in zip(*shown.values(), strict=True):
            table.add_row(*row)
        Console().print(table)
    count = sum(len(match.hits) for match in answer.matches)
    told = "" if answer.prior is None else f"; match: of each pair by itself, at a prior of {answer.prior:g}"
    print(f"{count} {answer.find}, {HOW[answer.by]}{told}")
