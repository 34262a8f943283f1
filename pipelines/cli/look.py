"""Commands that look into a video or a store: inspect, query, search, browse."""

import csv
import json
import sys
from collections.abc import Sequence
from dataclasses import asdict, fields
from datetime import datetime
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.app import (
    ConfigFile,
    FaceIndex,
    Json,
    Overrides,
    StoreUri,
    Tag,
    Version,
    Where,
    app,
    at_of,
    config_of,
    names_of,
)
from pipelines.cli.output import print_json, print_line, print_table
from pipelines.wording import count, percent
from vclip.errors import InputError
from vclip.files import fitting

if TYPE_CHECKING:
    import pyarrow as pa

    from pipelines.inspection.job import Inspection
    from pipelines.search import Answer

METHOD_TEXT = {
    "memory": "exact, from memory",
    "stream": "exact, by a pass over the table",
    "index": "through the index, which may miss some",
}


@app.command()
def inspect(
    video: Annotated[Path, typer.Argument(help="Video to inspect.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="MP4 to write: the video with an overlay and a timeline.")
    ] = None,
    sheet: Annotated[
        Path | None, typer.Option(help="JPEG to write: a contact sheet of the whole video, with the timeline.")
    ] = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Draw the extraction onto a video: shots, faces, active speaker, clips, and why the rest was dropped.

    Without --out and --sheet, both are written to the current folder and named after the video.

    Example: `vclip inspect interview.mp4 --out inspected.mp4 --sheet inspected.jpg`
    """
    from pipelines.inspection.job import inspect

    if not (out or sheet):
        out, sheet = (Path(fitting(video.stem, f".inspected{ending}")) for ending in (".mp4", ".jpg"))
    result = inspect(video, config_of(config, set, "extraction").extraction, out, sheet)
    if as_json:
        print_json(result)
    else:
        _show_candidates(result)


@app.command()
def query(
    store: StoreUri,
    sql: Annotated[
        str | None,
        typer.Option(help="A query in DuckDB's SQL over all tables, instead of --table and its options."),
    ] = None,
    table: Annotated[
        str, typer.Option(help="videos, clips, faces, voices, speakers, generations, edits, runs.")
    ] = "clips",
    select: Annotated[str | None, typer.Option(help="Columns, comma-separated (default: all but media).")] = None,
    where: Annotated[str | None, typer.Option(help='SQL filter, as in "end_s - start_s > 2".')] = None,
    order: Annotated[
        str | None, typer.Option(help="Columns to sort by, comma-separated; -column sorts descending.")
    ] = None,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Maximum number of rows to print (default: all; 20 in a table).")
    ] = None,
    tag: Tag = None,
    version: Version = None,
    format: Annotated[str, typer.Option(help="table, json, jsonl or csv.")] = "table",
    raw: Annotated[bool, typer.Option("--raw", help="Show rows as ingested, without corrections by hand.")] = False,
) -> None:
    """Read rows of a store.

    The table on the screen has six columns and the first 20 rows unless --select and --limit are given, and names
    columns without a value in these rows below; json, jsonl and csv have all.

    Example: `vclip query --store work/store --table clips --select clip_id,box --where "end_s - start_s > 2"
    --format json`

    In SQL, each table has its name and no media columns; faces_media and voices_media have them. SQL can join and
    aggregate; it cannot write, or read files.

    Example: `vclip query --store work/store --sql "SELECT identity, count(*) AS clips, sum(end_s - start_s) AS
    seconds FROM clips GROUP BY identity ORDER BY clips DESC LIMIT 10"`

    Example: `vclip query --store work/store --tag paper-v1 --table clips`
    """
    from pipelines.analysis.query import query, query_some, query_sql
    from stores.schema import KEYS

    if sql is not None and (select or where or order or limit or table != "clips"):
        raise InputError(
            "query: found --sql beside --table, --select, --where, --order or --limit; expected it alone"
        )
    _check_format(format, ("table", "json", "jsonl", "csv"))
    if sql is not None:
        with query_sql(store, sql, at_of(tag, version), raw) as reader:
            _print_rows(reader, format)
        return
    asked = (store, table, names_of(select), where, names_of(order) or (), limit, at_of(tag, version), raw)
    if format == "table":
        _print_some(*query_some(*asked), whole=KEYS.get(table, ""), chosen=select is not None)
    else:
        _print_rows(query(*asked), format)


@app.command()
def search(
    store: StoreUri,
    find: Annotated[str, typer.Option(help="What to find: faces or voices.")],
    face: Annotated[
        list[str] | None,
        typer.Option(help="Search by a face: a photo, a face_id or a .npy file of vectors; may be repeated."),
    ] = None,
    voice: Annotated[
        list[str] | None,
        typer.Option(help="Search by a voice: a speech file, a voice_id or a .npy file of vectors; may be repeated."),
    ] = None,
    face_of: Annotated[
        list[str] | None, typer.Option(help="Search by all faces of an identity in the store; may be repeated.")
    ] = None,
    voice_of: Annotated[
        list[str] | None, typer.Option(help="Search by all voices of an identity in the store; may be repeated.")
    ] = None,
    same_person: Annotated[
        bool, typer.Option("--same-person", help="All --face, or all --voice, are of one person, searched for once.")
    ] = False,
    text: Annotated[
        list[str] | None, typer.Option(help="Search by a text, if the face encoder is CLIP; may be repeated.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Association model, to compare faces with voices.")
    ] = None,
    centre: Annotated[
        bool, typer.Option("--centre", help="Centre on the store's mean face and voice, if it is of another domain.")
    ] = False,
    k: Annotated[int, typer.Option("-k", min=1, help="Number of hits per query.")] = 10,
    where: Where = None,
    media: Annotated[
        str | None, typer.Option(help='SQL filter over the faces or voices searched, as in "quality > 0.5".')
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Compare every vector; do not use an index.")] = False,
    memory_gb: Annotated[
        float, typer.Option(min=0, help="Read the vectors into memory if they take at most this many GB.")
    ] = 4.0,
    prior: Annotated[float, typer.Option(help="Prior probability of a match.")] = 0.5,
    face_index: FaceIndex = None,
    format: Annotated[str, typer.Option(help="table, json (one object) or csv.")] = "table",
    config: ConfigFile = None,
    set: Overrides = None,
) -> None:
    """Find the faces or voices of a store that are most similar to a face, a voice or a text, or match it best.

    Faces are compared with faces, and voices with voices, by the cosine of their vectors. Faces are compared with
    voices through a model, clip by clip: each hit has a cosine and the probability that both belong to one person.

    Example: `vclip search --store work/store --find faces --face photo.jpg -k 5`

    Example: `vclip search --store work/pairs --find voices --face photo.jpg --model work/model
    --where "gender = 'f'"`

    Example: `vclip search --store work/store --find faces --voice-of id10270 --model work/model`
    """
    from pipelines.search.job import search

    _check_format(format, ("table", "json", "csv"))
    resolved = config_of(config, set, "encoders", "extraction.tracks.detector")
    queries = {"face": face, "voice": voice, "text": text, "face-of": face_of, "voice-of": voice_of}
    answer = search(
        store,
        find,
        queries,
        model,
        resolved,
        k=k,
        where=where,
        media=media,
        exact=exact,
        memory_gb=memory_gb,
        prior=prior,
        face_index=face_index,
        same_person=same_person,
        centre=centre,
    )
    filters = {"--where": where, "--media": media}
    _print_answer(answer, format, " and ".join(f'{name} "{text}"' for name, text in filters.items() if text))


@app.command()
def browse(
    store: StoreUri,
    model: Annotated[
        Path | None,
        typer.Option("--model", "-m", help="Folder of an association model, to find voices that suit a face."),
    ] = None,
    speakers: Annotated[
        Path | None, typer.Option("--speakers", "-g", help="Folder made by `fit-speakers`, to speak in new voices.")
    ] = None,
    host: Annotated[
        str, typer.Option(help="Address to listen on; anything but 127.0.0.1 opens the page to the network.")
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(min=0, max=65535, help="Port; 0 takes a free one.")] = 8765,
    config: ConfigFile = None,
    set: Overrides = None,
) -> None:
    """Browse a store in a web page: play clips, find neighbours, see a map, match voices to a photo, correct labels.

    Example: `vclip browse --store work/store --model work/model --speakers work/speakers`
    """
    from pipelines.browsing.job import browse

    resolved = config_of(config, set, "encoders", "extraction.tracks.detector", "generate", "marks")
    browse(store, model, speakers, host, port, resolved)


def _check_format(format: str, known: Sequence[str]) -> None:
    if format not in known:
        raise InputError(f"format '{format}': expected one of {', '.join(known)}")


def _show_candidates(result: "Inspection") -> None:
    from pipelines.extraction.types import outcome_in_words

    extraction = result.extraction
    rows = [
        (f"{one.start_s:.2f}", f"{one.end_s:.2f}", f"#{one.track}", f"{one.score:.2f}", outcome_in_words(one.outcome))
        for one in extraction.candidates
    ]
    print_table("candidates", ("start", "end", "face", "score", "outcome"), rows)
    reason = f": {extraction.reason}" if extraction.reason else ""
    print_line(f"{result.video}: {extraction.state}{reason}")
    for path in (result.out, result.sheet):
        if path:
            print_line(str(path))


def _print_rows(reader: "pa.RecordBatchReader", format: str) -> None:
    """Prints rows; JSON and CSV are streamed, a table is laid out as a whole."""
    from pipelines.analysis.query import plain_rows, write_csv

    rows = plain_rows(reader)
    if format == "json":
        lines = (json.dumps(row, ensure_ascii=False) for row in rows)
        print(f"[{next(lines, '')}", end="")
        for line in lines:
            print(f", {line}", end="")
        print("]")
    elif format == "jsonl":
        for row in rows:
            print(json.dumps(row, ensure_ascii=False))
    elif format == "csv":
        write_csv(sys.stdout, reader.schema.names, rows)
    else:
        cells = [[_short(row[name]) for name in reader.schema.names] for row in rows]
        print_table("", reader.schema.names, cells, one_line=True)
        print_line(count(len(cells), "row"))


def _print_some(rows: "pa.Table", found: int, whole: str, chosen: bool) -> None:
    """Prints the first of the rows found.

    Args:
        rows: the first rows.
        found: the number of all.
        whole: the column that is never cut.
        chosen: whether the user chose the columns; otherwise those without a value leave their room to the others.
    """
    names = rows.schema.names
    empty = [name for name in names if len(rows) and not chosen and rows[name].null_count == len(rows)]
    names = [name for name in names if name not in empty]
    print_table("", names, [[_short(row[name]) for name in names] for row in rows.to_pylist()], whole, one_line=True)
    more = "" if len(rows) == found else f"{len(rows):,} of "
    if empty:
        print_line(f"no value in these rows: {', '.join(empty)}")
    hint = "; --limit, --select and --format show more" if more else ""
    print_line(f"{more}{count(found, 'row')}{hint}")


def _short(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.4g}"
    if isinstance(value, list):
        if value and all(isinstance(item, dict) and "uri" in item for item in value):
            return ", ".join(map(_short, value))
        shown = ", ".join(_short(v) for v in value[:4])
        return f"[{shown}{f', ... {len(value)}' if len(value) > 4 else ''}]"
    if isinstance(value, datetime):
        return f"{value:%Y-%m-%d %H:%M}"
    if isinstance(value, bytes):
        return f"{len(value):,} bytes"
    if isinstance(value, dict) and "uri" in value:
        return _short(value["uri"])
    text = "" if value is None else str(value)
    if "://" in text or text.startswith("/"):
        return PurePosixPath(text).name  # addresses differ in their ends
    return text if len(text) <= 60 else f"{text[:57]}..."


def _print_answer(answer: "Answer", format: str, filters: str) -> None:
    from pipelines.search import Hit

    if format == "json":
        print(json.dumps(answer.to_json(), ensure_ascii=False))
    elif format == "csv":
        writer = csv.DictWriter(sys.stdout, ["probe", *(field.name for field in fields(Hit))])
        writer.writeheader()
        writer.writerows({"probe": match.probe, **asdict(hit)} for match in answer.matches for hit in match.hits)
    else:
        _print_hits(answer, filters)


def _print_hits(answer: "Answer", filters: str) -> None:
    if not any(match.hits for match in answer.matches):
        print_line(f"0 {answer.find}: {f'{filters} leaves' if filters else 'the store has'} none to compare with")
        return
    own = "face_id" if answer.find == "faces" else "voice_id"
    for match in answer.matches:
        columns = {
            "cosine": [f"{hit.cosine:z.3f}" for hit in match.hits],
            "match": ["" if hit.probability is None else percent(hit.probability) for hit in match.hits],
            own: [getattr(hit, own) or "" for hit in match.hits],
            "identity": [hit.identity or "" for hit in match.hits],
            "gender": [hit.gender or "" for hit in match.hits],
            "seconds": [f"{hit.start_s:.1f}-{hit.end_s:.1f}" for hit in match.hits],
            "video": [hit.video_uri.rpartition("/")[2] for hit in match.hits],
        }
        shown = {name: cells for name, cells in columns.items() if any(cells)}
        title = (
            f"{answer.find} {'for' if answer.across else 'like'} {match.probe}{', centred' if answer.centred else ''}"
        )
        print_table(title, list(shown), list(zip(*shown.values(), strict=True)), whole=own)
    hits = count(sum(len(match.hits) for match in answer.matches), answer.find.removesuffix("s"))
    match = "match: the probability that both are one person, of each pair by itself, at a prior of"
    print_line(f"{hits}, {METHOD_TEXT[answer.by]}" + ("" if answer.prior is None else f"; {match} {answer.prior:g}"))
