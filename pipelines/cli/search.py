"""Searching a store."""

import csv
import json
import sys
from dataclasses import asdict, fields
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.app import ConfigFile, Overrides, StoreUri, app, config_of
from pipelines.cli.output import check_format, print_line, print_table
from pipelines.wording import count

if TYPE_CHECKING:
    from pipelines.search import Answer

FORMATS = ("table", "json", "csv")
METHOD_TEXT = {
    "memory": "exact, from memory",
    "stream": "exact, by a pass over the table",
    "index": "through the index, which may miss some",
}


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
    text: Annotated[
        list[str] | None, typer.Option(help="Search by a text, if the face encoder is CLIP; may be repeated.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Association model, to compare faces with voices.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Number of hits per query.")] = 10,
    where: Annotated[str | None, typer.Option(help="SQL filter over clips, as in \"gender = 'f'\".")] = None,
    media: Annotated[
        str | None, typer.Option(help='SQL filter over the faces or voices searched, as in "quality > 0.5".')
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Do not use an index, whatever the size.")] = False,
    memory_gb: Annotated[float, typer.Option(min=0, help="Vectors larger than this are not read into memory.")] = 4.0,
    prior: Annotated[float, typer.Option(help="Prior probability of a match.")] = 0.5,
    face_index: Annotated[
        int | None,
        typer.Option(min=0, help="Which face of a photo with several, from the left (default: the largest)."),
    ] = None,
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
    """
    from pipelines.search.job import search

    check_format(format, FORMATS)
    resolved = config_of(config, set, "encoders", "extraction.tracks.detector")
    queries = {"face": face, "voice": voice, "text": text}
    answer = search(store, find, queries, model, resolved, k, where, media, exact, memory_gb, prior, face_index)
    _print(answer, format)


def _print(answer: "Answer", format: str) -> None:
    from pipelines.search import Hit

    if format == "json":
        print(json.dumps(answer.to_json(), ensure_ascii=False))
    elif format == "csv":
        writer = csv.DictWriter(sys.stdout, ["probe", *(field.name for field in fields(Hit))])
        writer.writeheader()
        writer.writerows({"probe": match.probe, **asdict(hit)} for match in answer.matches for hit in match.hits)
    else:
        _print_tables(answer)


def _print_tables(answer: "Answer") -> None:
    own = "face_id" if answer.find == "faces" else "voice_id"
    for match in answer.matches:
        columns = {
            "cosine": [f"{hit.cosine:.3f}" for hit in match.hits],
            "match": ["" if hit.probability is None else f"{hit.probability:.0%}" for hit in match.hits],
            own: [getattr(hit, own) or "" for hit in match.hits],
            "identity": [hit.identity or "" for hit in match.hits],
            "gender": [hit.gender or "" for hit in match.hits],
            "seconds": [f"{hit.start_s:.1f}-{hit.end_s:.1f}" for hit in match.hits],
            "video": [hit.video_uri.rpartition("/")[2] for hit in match.hits],
        }
        shown = {name: cells for name, cells in columns.items() if any(cells)}
        title = f"{answer.find} {'for' if answer.across else 'like'} {match.probe}"
        print_table(title, list(shown), list(zip(*shown.values(), strict=True)), whole=own)
    hits = count(sum(len(match.hits) for match in answer.matches), answer.find.removesuffix("s"))
    prior = "" if answer.prior is None else f"; match: of each pair by itself, at a prior of {answer.prior:g}"
    print_line(f"{hits}, {METHOD_TEXT[answer.by]}{prior}")
