"""Videos into a store."""

from pathlib import Path
from typing import Annotated, Any

import typer

from pipelines.cli.app import ConfigFile, Json, Overrides, StoreUri, app, config_of
from pipelines.cli.output import print_line, print_result


@app.command()
def ingest(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Folders of videos (with subfolders), files, quoted patterns ('videos/**/*.mp4'), "
            "manifests (.csv, .jsonl, .parquet, .txt), or addresses (s3://, gs://, http://, https://)."
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
        int | None, typer.Option(min=1, help="Process at most this many of the videos that are left.")
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
    command again to continue where it stopped; files that the store has already are not read again.

    A manifest has one video per row, in its column `file` (or `uri`, `path`): relative to the manifest's folder,
    absolute, or an address. Its other columns become labels: identity, split, gender, age, nationality, language,
    licence and consent have columns in the store, the others go into `labels`.

    Credentials, region and endpoint of buckets come from the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    AWS_REGION, AWS_ENDPOINT_URL; AWS_SKIP_SIGNATURE=true for public ones.

    Example: `vclip ingest videos/ --store work/store --config offline`

    Example: `vclip ingest s3://corpus/manifest.parquet --store s3://corpus/store`
    """
    from pipelines.ingest.dry_run import plan_videos
    from pipelines.ingest.job import ingest_videos
    from pipelines.ingest.report import reported

    resolved = config_of(config, set, "encoders", "extraction", "ingest", "remote")
    if dry_run:
        plan = plan_videos(inputs, store, resolved, labels, retry_failed, limit)
        print_result(plan.to_json(), as_json, "Dry run: nothing was written")
        return
    with reported(store, resolved, report) as observe:
        summary = ingest_videos(inputs, store, resolved, labels, observe, retry_failed, limit)
    show_ingest(summary, as_json)


def show_ingest(summary: Any, as_json: bool) -> None:
    """Prints the summary of an ingest or import, a `pipelines.ingest.job.Summary`."""
    if not as_json and not summary.videos:
        gone = f"; {summary.deleted:,} more were deleted from it on request" if summary.deleted else ""
        inputs = "the input" if summary.known == 1 else f"all {summary.known:,} inputs"
        print_line(f"nothing to do: the store {summary.store} has {inputs} under this configuration{gone}")
        return
    result = summary.to_json()
    if not as_json:
        # The configuration is a page long; it is in the JSON.
        result = {key: value for key, value in result.items() if value and key != "config"}
    print_result(result, as_json, "ingest")
