"""Commands to start with: quickstart, import, ingest."""

from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.app import ConfigFile, Json, Overrides, StoreUri, app, config_of, imports
from pipelines.cli.output import print_json, print_line, print_result, print_table, say_next
from pipelines.cli.runs import ingest_in_words
from pipelines.wording import seconds

if TYPE_CHECKING:
    from pipelines.ingest.job import Summary

TRAIN = ("vclip train --out MODEL",)  # after vectors alone, which have nothing to look at
LOOK_AND_TRAIN = ("vclip browse", *TRAIN)
IMPORT = ("encoders", "extraction", "ingest")  # sections of the configuration
Meta = Annotated[
    Path | None,
    typer.Option("--meta", help="vox1_meta.csv or vox2_meta.csv: labels, and the name of each id."),
]


@app.command()
def quickstart(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for all results.")] = Path("quickstart"),
    videos: Annotated[Path | None, typer.Option(help="Your own folder of videos instead of the sample.")] = None,
    face: Annotated[Path | None, typer.Option(help="Your own photo.")] = None,
    config: ConfigFile = None,
    set: Overrides = None,
) -> None:
    """Run every job once on a small synthetic sample, or on your own videos, and write a page of the results.

    What an earlier quickstart wrote to the folder is replaced.

    Example: `vclip quickstart --out quickstart`, then open quickstart/index.html.
    """
    from pipelines.config import Config
    from pipelines.quickstart.job import quickstart

    result = quickstart(out, videos, face, config_of(config or "offline", set, *Config.model_fields))
    rows = [(step.step, step.result, seconds(step.seconds)) for step in result.steps]
    print_table("quickstart", ("step", "result", "time"), rows)
    if result.synthetic:
        print_line("The sample is synthetic: its people, their voices and the relation between them are made up.")
    print_line(f"Open {result.page} to see the faces and hear the voices.")


@app.command()
def ingest(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Folders of videos (with subfolders), files, quoted patterns ('videos/**/*.mp4'), "
            "manifests (.csv, .tsv, .json, .jsonl, .parquet, .txt), or addresses (s3://, gs://, http://, https://)."
        ),
    ],
    store: StoreUri,
    labels: Annotated[
        Path | None,
        typer.Option(help="Table with a column `file`; its other columns (identity, gender, ...) become labels."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Folder for report.html and summary.json (default: STORE.runs/RUN beside a local store)."),
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Process failed videos again.")] = False,
    limit: Annotated[
        int | None, typer.Option(min=1, help="Process at most this many of the remaining videos.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done and how long it may take; write nothing.")
    ] = False,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Extract face crops and speech of the active speaker from videos, embed them, and store them.

    The job runs on Ray: on this machine, or on the cluster that `ray job submit` or RAY_ADDRESS names. Run the
    command again to continue where it stopped; files that the store already has are not read again.

    A manifest has one video per row, in its column `file` (or `uri`, `path`): relative to the manifest's folder,
    absolute, or an address. Its other columns become labels: identity, split, gender, age, nationality, language,
    licence and consent have columns in the store, the others go into `labels`.

    Credentials, region and endpoint of buckets come from the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    AWS_REGION, AWS_ENDPOINT_URL; AWS_SKIP_SIGNATURE=true for public buckets.

    Example: `vclip ingest videos/ --store work/store --config offline`

    Example: `vclip ingest s3://corpus/manifest.parquet --store s3://corpus/store`
    """
    from pipelines.ingest.dry_run import plan_videos
    from pipelines.ingest.job import ingest_videos
    from pipelines.ingest.report import reported

    resolved = config_of(config, set, "encoders", "extraction", "ingest", "remote")
    if dry_run:
        plan = plan_videos(inputs, store, resolved, labels, retry_failed, limit)
        if as_json:
            print_json(plan)
            return
        print_line(plan.sentence())
        print_table("", (), plan.rows(), box="ROUNDED")
        print_line("Dry run: nothing was written.")
        return
    with reported(store, resolved, report) as observe:
        summary = ingest_videos(inputs, store, resolved, labels, observe, retry_failed, limit)
    _show_summary(summary, as_json, LOOK_AND_TRAIN)


@imports.command("pairs")
def import_pairs(
    table: Annotated[
        Path, typer.Argument(help="Table: id, identity, face, voice, and labels; paths are relative to it.")
    ],
    store: StoreUri,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Import photos with speech: a face and a voice of each person.

    A pair whose photo shows no face, or whose audio cannot be read, becomes a row with the reason. Run the command
    again to continue where it stopped.

    Example: `vclip import pairs pairs/pairs.csv --store work/pairs --config offline`
    """
    from pipelines.ingest.importers.pairs import import_pairs

    _show_summary(import_pairs(table, store, config_of(config, set, *IMPORT)), as_json, LOOK_AND_TRAIN)


@imports.command("voxceleb")
def import_voxceleb(
    folders: Annotated[list[Path], typer.Argument(help="Root folders of audio, of images, or of both.")],
    store: StoreUri,
    meta: Meta = None,
    files: Annotated[int, typer.Option(min=1, help="Maximum number of images, and of audio files, per clip.")] = 8,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Import VoxCeleb1 or VoxCeleb2 folder trees: one clip per identity and video.

    The layouts are `id10001/VIDEO/00001.wav` (or .m4a) for audio, `NAME/1.6/VIDEO/0005175.jpg` or
    `id10001/VIDEO/0005175.jpg` for images, and `id00012/VIDEO/00001.mp4` for face tracks; the folders above do not
    matter. Run the command again to continue where it stopped.

    Example: `vclip import voxceleb vox1/wav vox1/unzippedFaces --meta vox1_meta.csv --store work/vox1`

    Example: `vclip import voxceleb vox2/dev --meta vox2_meta.csv --store work/vox2 --files 4`
    """
    from pipelines.ingest.importers.voxceleb import import_voxceleb

    summary = import_voxceleb(folders, store, config_of(config, set, *IMPORT), meta, files)
    _show_summary(summary, as_json, LOOK_AND_TRAIN)


@imports.command("features")
def import_features(
    faces: Annotated[Path, typer.Option("--faces", help="Face vectors by name: .npz, .pkl or .parquet.")],
    voices: Annotated[Path, typer.Option("--voices", help="Voice vectors by name: .npz, .pkl or .parquet.")],
    store: StoreUri,
    face_space: Annotated[
        str, typer.Option(help="Name of the space of the face vectors: encoder/weights/preprocessing.")
    ],
    voice_space: Annotated[str, typer.Option(help="Name of the space of the voice vectors.")],
    table: Annotated[
        Path | None, typer.Option(help="Table: id, identity, face, voice, and labels; face and voice name vectors.")
    ] = None,
    meta: Meta = None,
    as_json: Json = False,
) -> None:
    """Import precomputed vectors; the store will hold no images and no audio.

    A .npz file holds the arrays `names` (n,) and `vectors` (n, dim), or one array per name; a .pkl file a dictionary
    of names and vectors, with plain data only; a .parquet file the columns `name` and `vector`. Without a table, a
    face and a voice of one name form a clip, or all vectors of one VoxCeleb identity and video.

    Example: `vclip import features --faces face_input.pkl --voices voice_input.pkl --meta vox1_meta.csv
    --store work/features --face-space inception-v1/vggface2 --voice-space ecapa/vox2`
    """
    from pipelines.ingest.importers.features import import_features

    _show_summary(import_features(faces, voices, store, face_space, voice_space, table, meta), as_json, TRAIN)


def _show_summary(summary: "Summary", as_json: bool, then: tuple[str, ...]) -> None:
    if not as_json and not summary.videos:
        deleted = f"; {summary.deleted:,} more were deleted from it on request" if summary.deleted else ""
        inputs = "the input" if summary.known == 1 else f"all {summary.known:,} inputs"
        print_line(f"nothing to do: the store {summary.store} has {inputs} under this configuration{deleted}")
        return
    print_result(summary if as_json else ingest_in_words(summary.to_json()), as_json, "ingest")
    if summary.rows["clips"] and not as_json:
        say_next(*(f"{command} --store {quote(summary.store)}" for command in then))
