"""Searching a store."""

from typing import Annotated

import typer

from pipelines.cli.app import ConfigFile, Overrides, StoreUri, app, config_of


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

    asked, resolved = (
        {"face": face, "voice": voice, "text": text},
        config_of(config, set, "encoders", "extraction.tracks.detector"),
    )
    search(store, find, asked, model, resolved, k, where, media, exact, memory_gb, prior, face_index, format)
