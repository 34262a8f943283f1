"""Searching a store."""

from typing import Annotated

import typer

from pipelines.cli.app import ConfigFile, Overrides, StoreUri, app, config_of


@app.command()
def search(
    store: StoreUri,
    find: Annotated[str, typer.Option(help="What to find: faces or voices.")],
    face: Annotated[
        list[str] | None, typer.Option(help="By a face: a picture, a face_id or a .npy of vectors; may be repeated.")
    ] = None,
    voice: Annotated[
        list[str] | None, typer.Option(help="By a voice: speech, a voice_id or a .npy of vectors; may be repeated.")
    ] = None,
    text: Annotated[
        list[str] | None, typer.Option(help="By a text, where the face encoder is CLIP; may be repeated.")
    ] = None,
    model: Annotated[
        str | None, typer.Option("--model", "-m", help="Association model; to compare faces with voices.")
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="How many to find for each.")] = 10,
    where: Annotated[str | None, typer.Option(help="SQL filter over clips, as in \"gender = 'f'\".")] = None,
    media: Annotated[
        str | None, typer.Option(help='SQL filter over the faces or voices searched, as in "quality > 0.5".')
    ] = None,
    exact: Annotated[bool, typer.Option("--exact", help="Ask no index, whatever the size.")] = False,
    memory_gb: Annotated[float, typer.Option(min=0, help="Vectors that take more are not read into memory.")] = 4.0,
    prior: Annotated[float, typer.Option(help="Probability of a match before anything is compared.")] = 0.5,
    face_index: Annotated[
        int | None, typer.Option(min=0, help="Which face of a picture with several, from the left; else the largest.")
    ] = None,
    format: Annotated[str, typer.Option(help="table, json (one object) or csv.")] = "table",
    config: ConfigFile = None,
    set: Overrides = None,
) -> None:
    """Find the faces or voices of a store that are most like a face, a voice or a text, or suit it best.

    Like is compared with like by the cosine of their vectors. Faces are compared with voices through a model, clip by
    clip: with cosines and, for each pair by itself, the probability that both are one person's.

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
