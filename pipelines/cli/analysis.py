"""Commands that analyse a store: export, stats, clusters, outliers, map, card."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.app import ConfigFile, Json, Model, NewFolder, Overrides, StoreUri, Where, app, config_of, names_of
from pipelines.cli.in_words import clusters_in_words, export_in_words, map_in_words, outliers_in_words
from pipelines.cli.output import print_json, print_line, print_result, print_table
from pipelines.wording import count, number, seconds

if TYPE_CHECKING:
    from pipelines.analysis.stats import StoreStatistics


@app.command()
def export(
    store: StoreUri,
    out: NewFolder,
    format: Annotated[
        str,
        typer.Option(
            help="For rows: parquet, csv, json (one object per line). For clips with media: webdataset, datasets."
        ),
    ],
    table: Annotated[str, typer.Option(help="Table: videos, clips, faces, voices, speakers, ...")] = "clips",
    select: Annotated[
        str | None, typer.Option(help="Columns of the table, comma-separated (default: all but media).")
    ] = None,
    where: Annotated[str | None, typer.Option(help="SQL filter over the table or the clips.")] = None,
    sql: Annotated[
        str | None, typer.Option(help="Export the rows of this query instead, as `vclip query --sql` takes it.")
    ] = None,
    media: Annotated[bool, typer.Option("--media", help="Include the images or the audio of the rows.")] = False,
    shard_mb: Annotated[float, typer.Option(min=0.001, help="Size of a shard of clips, in MB.")] = 256.0,
    as_json: Json = False,
) -> None:
    """Export rows or clips as files that other tools read.

    `webdataset` writes tar shards with a face (jpg), speech (flac) and labels (json) for each clip; `datasets` writes
    the layout of Hugging Face, for `datasets.load_dataset(folder)`. Each clip contributes its best face and its
    longest speech segment. The folder appears complete or not at all.

    Example: `vclip export --store work/store --format webdataset --where "end_s - start_s > 2" --out work/shards`
    """
    from pipelines.analysis.export import export

    result = export(
        store, out, format, table=table, select=names_of(select), where=where, sql=sql, media=media, shard_mb=shard_mb
    )
    print_result(result if as_json else export_in_words(result), as_json, f"export of {store}")


@app.command()
def stats(
    store: StoreUri,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="HTML page to write.")] = None,
    as_json: Json = False,
) -> None:
    """Summarise a store: videos, clips, people, labels, quality, and why some videos gave no clips.

    Example: `vclip stats --store work/store --out work/stats.html`
    """
    from pipelines.analysis.stats import stats

    result = stats(store, out)
    if as_json:
        print_json(result)
        return
    _show_stats(result)
    if out:
        print_line(str(out))


def _show_stats(result: "StoreStatistics") -> None:
    videos, clips, people = result.videos, result.clips, result.people
    states = ", ".join(f"{number:,} {state}" for state, number in videos.states.items())
    unnamed = f"{count(people.clips_of_unknown, 'clip')} without an identity" if people.clips_of_unknown else ""
    rows = [
        ("videos", f"{videos.count:,}", f"{seconds(videos.duration_s)}; {states}"),
        ("clips", f"{clips.count:,}", seconds(clips.seconds)),
        *((name, f"{number:,}", "") for name, number in result.rows.items()),
        ("people", f"{people.count:,}", unnamed),
        *(
            (name, f"{label.known:,}", f"{count(label.different, 'value')}; {label.unknown:,} clips unknown")
            for name, label in result.labels.items()
            if label.known
        ),
        *((f"split {name or 'none'}", f"{split.clips:,}", count(split.people, "person", "people"))
          for name, split in result.splits.items() if any(result.splits)),
    ]  # fmt: skip
    print_table(f"store {result.store}", ("", "number", ""), rows)
    if unknown := [name for name, label in result.labels.items() if not label.known]:
        print_line(f"unknown for every clip: {', '.join(unknown)}")
    measured = [(name, it) for name, it in result.measures.items() if it.count]
    rows = [(name, f"{it.count:,}", *map(number, it.quantiles), f"{it.unknown:,}") for name, it in measured]
    print_table("", ("measure", "values", "5%", "median", "95%", "unknown"), rows)
    rows = [(f"{n:,}", state, why) for state, kinds in videos.reasons.items() for why, n in kinds.items()]
    print_table("", ("videos", "state", "reason"), rows)


@app.command()
def clusters(
    store: StoreUri,
    out: NewFolder,
    of: Annotated[
        str, typer.Option(help="both, faces or voices; faces or voices alone need --method hdbscan.")
    ] = "both",
    method: Annotated[str, typer.Option(help="average or hdbscan.")] = "average",
    where: Where = None,
    duplicates: Annotated[
        bool, typer.Option("--duplicates/--no-duplicates", help="Also search for near-identical clips.")
    ] = True,
    as_json: Json = False,
) -> None:
    """Cluster clips into people by face and voice, compare with the labels, and find duplicate clips.

    Use `average`, average-linkage clustering, which also gives `vclip train` its pseudo-identities. On 850 real
    clips, most of people with one clip, 94 % of the pairs that it joins are of one person, but only 8 % of those of
    `hdbscan`, which finds dense regions among strangers. `hdbscan` is for people with several clips each, where it
    may find more, and for faces or voices alone; it takes at most 20,000 clips.

    Example: `vclip clusters --store work/store --out work/clusters`

    Example: `vclip clusters --store work/store --of voices --method hdbscan --out work/voices`
    """
    from pipelines.analysis.clusters import clusters

    result = clusters(store, out, of, method, where, duplicates)
    agreement = result.agreement_with_names
    print_result(result if as_json else clusters_in_words(result), as_json, f"clusters of {store}")
    if as_json:
        return
    for sentence in result.in_words():
        print_line(sentence)
    if agreement:
        named = f"{count(agreement.clips, 'clip')} of {count(agreement.people, 'person', 'people')}"
        print_line(f"Compared with the identities of {named}:\n" + "\n".join(agreement.in_words()))


@app.command()
def outliers(
    store: StoreUri,
    model: Model,
    out: NewFolder,
    where: Where = None,
    most: Annotated[int, typer.Option(min=1, help="Number of clips that the page shows.")] = 40,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Find clips whose face and voice do not match according to a model: mislabelled or wrongly associated ones.

    The score of each clip is compared with impostors: its face with the voices of others, its voice with the faces of
    others. The page shows the lowest ones, with their audio. Use a model that was not trained on these clips; it
    remembers the ones that it has seen.

    Example: `vclip outliers --store work/store --model work/model --out work/outliers`
    """
    from pipelines.analysis.outliers import outliers

    result = outliers(store, model, out, config_of(config, set, "train.device", "train.seed"), where, most)
    print_result(result if as_json else outliers_in_words(result), as_json, f"outliers of {store}")


@app.command("map")
def draw_map(
    store: StoreUri,
    out: Annotated[
        Path,
        typer.Option("--out", "-o", help="Image to write, .png or .svg; a table of its points is written beside it."),
    ],
    of: Annotated[str, typer.Option(help="faces or voices.")] = "faces",
    method: Annotated[str, typer.Option(help="pca, or umap if umap-learn is installed.")] = "pca",
    colour: Annotated[
        str | None,
        typer.Option(
            "--color",
            "--colour",
            help="Column to colour by: a label, such as gender, or a measure of faces or voices, such as snr_db.",
        ),
    ] = None,
    where: Where = None,
    as_json: Json = False,
) -> None:
    """Project the faces or voices of clips onto a plane, coloured by a column.

    Example: `vclip map --store work/store --of voices --color gender --out work/voices.png`
    """
    from pipelines.analysis.maps import draw_map

    result = draw_map(store, out, of, method, colour, where)
    print_result(result if as_json else map_in_words(result), as_json, f"map of {store}")


@app.command()
def card(
    store: StoreUri,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for README.md and card.html.")],
    as_json: Json = False,
) -> None:
    """Write a dataset card: contents, how the store was made, labels, licences, consent and limits.

    Fields that only you know are marked TO FILL IN.

    Example: `vclip card --store work/store --out work/card`
    """
    from pipelines.analysis.card import card

    result = card(store, out)
    if as_json:
        print_json(result)
        return
    for file in result.files:
        print_line(file)
