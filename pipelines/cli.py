"""The command line. Heavy imports stand inside the commands, so that `vclip --help` answers at once."""

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from pipelines.config import Config


class _OneLineErrors(typer.core.TyperGroup):
    """What the user can mend is one line on stderr and exit code 2, not a traceback."""

    def invoke(self, ctx: Any) -> Any:
        try:
            return super().invoke(ctx)
        except ValueError as error:
            # By name: importing the stores for this would cost every command a second.
            names = {f"{cls.__module__}.{cls.__name__}" for cls in type(error).__mro__}
            if names & {"vclip.errors.InputError", "stores.errors.StoreError"}:
                print(f"vclip: {error}", file=sys.stderr)
                raise SystemExit(2) from None
            raise


app = typer.Typer(
    cls=_OneLineErrors,
    no_args_is_help=True,
    rich_markup_mode="markdown",
    pretty_exceptions_enable=False,
    help="Face-based speaker generation: from noisy video to speech in voices that suit a face.\n\n"
    "The usual way: `ingest` videos (or `import pairs`), `train`, `evaluate`, `fit-speakers`, `distill`, `generate`.",
)
imports = typer.Typer(cls=_OneLineErrors, no_args_is_help=True, help="Bring data of others into a store.")
app.add_typer(imports, name="import")

ConfigFile = Annotated[
    Path | None, typer.Option("--config", "-c", help="YAML file over the defaults, as configs/offline.yaml.")
]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", "-s", help="Override one key: section.key=value; may be repeated.")
]
Json = Annotated[bool, typer.Option("--json", help="Print the result as one JSON object on stdout.")]
StoreUri = Annotated[str, typer.Option("--store", help="Folder or object-store URI of the store.")]
Model = Annotated[Path, typer.Option("--model", "-m", help="Folder of an association model, made by `train`.")]
Speakers = Annotated[Path, typer.Option("--speakers", "-g", help="Folder made by `fit-speakers`.")]


def _config(path: Path | None, overrides: list[str] | None) -> "Config":
    from pipelines.config import Config
    from vclip.config import load

    return load(Config, path, overrides or ())


def _show(result: dict[str, Any], as_json: bool, title: str) -> None:
    """Prints a result: JSON for scripts, a table for people. Lists (curves) are for scripts only."""
    if as_json:
        print(json.dumps(result))
        return
    from rich.console import Console
    from rich.table import Table

    table = Table(title=title, show_header=False, title_justify="left")
    for key, value in result.items():
        if isinstance(value, dict):
            value = "\n".join(f"{name}: {count}" for name, count in value.items())
        if not isinstance(value, list) and value not in (None, ""):
            table.add_row(key, f"{value:.4g}" if isinstance(value, float) else str(value))
    Console().print(table)


@app.command()
def ingest(
    inputs: Annotated[
        list[str],
        typer.Argument(
            help="Folders of videos (searched all the way down), files, quoted patterns ('videos/**/*.mp4'), "
            "manifests (.csv, .jsonl, .parquet, .txt), or addresses (s3://, gs://, http://, https://)."
        ),
    ],
    store: StoreUri,
    labels: Annotated[
        Path | None,
        typer.Option(help="Table with a column `file`; its others (identity, gender, ...) become labels."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(help="Folder for report.html and summary.json; STORE.runs/RUN beside a local store."),
    ] = None,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Do failed videos again.")] = False,
    limit: Annotated[int | None, typer.Option(min=1, help="Only the first so many of those still to do.")] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Only say what would be done, and how long it may take.")
    ] = False,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Extract face crops and speech of whoever visibly speaks, embed them, and store them.

    Runs on Ray: on this machine, or on the cluster that `ray job submit` or RAY_ADDRESS names. Run it again to go on
    where it stopped; files that the store knows already are not read again.

    A manifest names a video a row, in its column `file` (or `uri`, `path`): relative to the manifest's folder,
    absolute, or an address. Its other columns become labels: identity, split, gender, age, nationality, language,
    licence and consent have columns in the store, the rest goes into `labels`.

    Buckets take account, region and service from the environment: AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY,
    AWS_REGION, AWS_ENDPOINT_URL; AWS_SKIP_SIGNATURE=true for public ones.

    Example: `vclip ingest videos/ --store work/store --config configs/offline.yaml`

    Example: `vclip ingest s3://corpus/manifest.parquet --store s3://corpus/store`
    """
    from pipelines.report import reported
    from pipelines.videos import ingest_videos, plan_videos

    resolved = _config(config, set)
    if dry_run:
        plan = plan_videos(inputs, store, resolved, labels, retry_failed, limit)
        _show(plan.to_json(), as_json, "what would be done; nothing was")
        return
    with reported(store, resolved, report) as observe:
        summary = ingest_videos(inputs, store, resolved, labels, observe, retry_failed, limit)
    _show_ingest(summary, as_json)


@imports.command("pairs")
def import_pairs(
    table: Annotated[Path, typer.Argument(help="CSV: id, identity, gender, face, voice; files are beside the CSV.")],
    store: StoreUri,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Import pictures with their speech: a face and a voice of each person.

    Example: `vclip import pairs pairs/pairs.csv --store work/pairs --config configs/offline.yaml`
    """
    from pipelines.import_pairs import import_pairs

    _show_ingest(import_pairs(table, store, _config(config, set)), as_json)


def _show_ingest(summary: Any, as_json: bool) -> None:
    if not as_json and not summary.videos:
        print(f"nothing to do: the store {summary.store} knows all {summary.known} inputs under this configuration")
        return
    result = summary.to_json()
    if not as_json:
        result = {
            key: value for key, value in result.items() if value and key != "config"
        }  # a page long, in the JSON
    _show(result, as_json, "ingest")


@app.command()
def inspect(
    video: Annotated[Path, typer.Argument(help="A video.")],
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="MP4 to write: the video, drawn on, with its timeline.")
    ] = None,
    sheet: Annotated[Path | None, typer.Option(help="JPEG to write: the whole video in one picture.")] = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Draw onto a video what extraction saw: shots, faces, who is heard, what was kept, and why the rest was not.

    Without --out and --sheet both are written to the current folder, named after the video.

    Example: `vclip inspect interview.mp4 --out seen.mp4 --sheet seen.jpg`
    """
    from pipelines.inspect import inspect

    if not (out or sheet):
        out, sheet = Path(f"{video.stem}.inspected.mp4"), Path(f"{video.stem}.inspected.jpg")
    result = inspect(video, _config(config, set).extraction, out, sheet)
    if as_json:
        print(json.dumps(result))
    else:
        _show_candidates(result)


def _show_candidates(result: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    table = Table("start", "end", "face", "score", "what became of it", title="candidates", title_justify="left")
    for row in result["candidates"]:
        table.add_row(
            f"{row['start_s']:.2f}", f"{row['end_s']:.2f}", f"#{row['track']}", f"{row['score']:.2f}", row["why"]
        )
    if result["candidates"]:
        Console().print(table)
    said = f": {result['reason']}" if result["reason"] else ""
    print(f"{result['video']}: {result['state']}{said}")
    for path in (result["out"], result["sheet"]):
        if path:
            print(path)


@app.command()
def query(
    store: StoreUri,
    table: Annotated[str, typer.Option(help="videos, clips, faces, voices, speakers, generations, runs.")] = "clips",
    select: Annotated[
        str | None, typer.Option(help="Columns, comma-separated; all but media where left out.")
    ] = None,
    where: Annotated[str | None, typer.Option(help='SQL filter, as in "end_s - start_s > 2".')] = None,
    order: Annotated[str | None, typer.Option(help="Columns to sort by, comma-separated; -column descends.")] = None,
    limit: Annotated[int | None, typer.Option(min=1, help="At most so many rows.")] = None,
    format: Annotated[str, typer.Option(help="table, json, jsonl or csv.")] = "table",
) -> None:
    """Read rows of a store.

    Example: `vclip query --store work/store --table clips --select clip_id,box --where "end_s - start_s > 2"
    --format json`
    """
    from pipelines.query import query

    query(store, table, select, where, order, limit, format)


@app.command()
def train(
    store: StoreUri,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder of the model to write.")],
    where: Annotated[str | None, typer.Option(help="SQL filter over clips, as in \"split = 'train'\".")] = None,
    folds: Annotated[
        int, typer.Option(min=0, help="Also cross-validate over people with so many folds (0: no).")
    ] = 0,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Train the association model on a store's face-voice pairs.

    The model kept is the one with the best verification AUC on held-out people.

    Example: `vclip train --store work/pairs --out work/model --set train.seed=1`
    """
    from pipelines.train import train

    _show(train(store, out, _config(config, set), where, folds), as_json, f"model {out}")


@app.command()
def evaluate(
    store: StoreUri,
    model: Model,
    where: Annotated[str | None, typer.Option(help="SQL filter over clips, as in \"split = 'test'\".")] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="Folder for evaluation.json and roc.png.")] = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Measure a model on people that it was not trained on: AUC with its interval, EER, same-gender AUC.

    Example: `vclip evaluate --store work/test --model work/model --out work/evaluation`
    """
    from pipelines.evaluate import evaluate

    _show(evaluate(store, model, _config(config, set), where, out), as_json, f"model {model} on {store}")


@app.command("fit-speakers")
def fit_speakers(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    speech: Annotated[
        Path | None, typer.Option(help="Folder of speech: a CSV (file, speaker, gender), or a folder per speaker.")
    ] = None,
    store: Annotated[
        str | None, typer.Option("--store", help="Or a store, whose own voices are the speakers.")
    ] = None,
    tts: Annotated[str | None, typer.Option("--tts", help="Or a TTS, whose known speakers they are.")] = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Fit the speaker generator (PCA and a Gaussian mixture) to known speakers.

    Example: `vclip fit-speakers --speech LibriSpeech/train-clean-100 --out work/speakers`
    """
    from pipelines.speakers import fit_speakers

    _show(fit_speakers(out, _config(config, set), speech, store, tts), as_json, f"speaker generator {out}")


@app.command()
def distill(
    speakers: Speakers,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write; may be the same.")],
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Learn the TTS signature: what the TTS makes of a speaker vector, so that candidates need not be spoken.

    Example: `vclip distill --speakers work/speakers --out work/speakers`
    """
    from pipelines.speakers import distill

    _show(distill(speakers, out, _config(config, set)), as_json, f"TTS signature {out}")


@app.command()
def generate(
    face: Annotated[list[Path], typer.Option("--face", "-f", help="Photo with a face; may be repeated.")],
    text: Annotated[list[str], typer.Option("--text", "-t", help="What to say; may be repeated.")],
    model: Model,
    speakers: Speakers,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the WAV files and their JSON sidecars.")],
    voices: Annotated[int, typer.Option("-k", "--voices", min=1, help="How many different voices per face.")] = 3,
    face_index: Annotated[
        int | None, typer.Option(help="Which face of a photo with several, from the left, from 0; else the largest.")
    ] = None,
    evaluator: Annotated[
        Path | None, typer.Option(help="Another association model, to judge the spoken voices by (f2v).")
    ] = None,
    store: Annotated[str | None, typer.Option("--store", help="Also record the generations in this store.")] = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Speak text in new voices that suit a face.

    Every file says that it is synthetic, from which models and for which face. A voice that suits a face is not that
    person's voice.

    Example: `vclip generate --face photo.jpg --text "Hello there." --model work/model --speakers work/speakers -k 3
    --out work/speech`
    """
    from pipelines.generate import generate

    result = generate(face, text, model, speakers, out, _config(config, set), voices, face_index, evaluator, store)
    if as_json:
        print(json.dumps({"files": result}))
    else:
        for row in result:
            print(f"{row['wav']}  score {row['score']:.3f}  {row['seconds']:.1f} s")


@app.command()
def quickstart(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for everything that is made.")] = Path(
        "quickstart"
    ),
    videos: Annotated[Path | None, typer.Option(help="Your own folder of videos, instead of the sample.")] = None,
    face: Annotated[Path | None, typer.Option(help="Your own photo.")] = None,
    config: ConfigFile = None,
    set: Overrides = None,
) -> None:
    """Run the whole way once, on a small synthetic sample or on your own videos, and show it on a page.

    Example: `vclip quickstart --out quickstart`, then open quickstart/index.html.
    """
    from pipelines.quickstart import OFFLINE, quickstart

    quickstart(out, videos, face, _config(config, set if config else [*OFFLINE, *(set or [])]))


if __name__ == "__main__":
    app()
