"""`vclip evaluate-generation`: how well generated voices suit faces."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.app import ConfigFile, Json, Overrides, Speakers, StoreUri, app, config_of
from pipelines.cli.output import interval, print_json, print_line, print_table

if TYPE_CHECKING:
    from pipelines.generation.evaluate import GenerationEvaluation


@app.command("evaluate-generation")
def evaluate_generation(
    store: StoreUri,
    speakers: Speakers,
    model: Annotated[Path | None, typer.Option("--model", "-m", help="Association model that chooses.")] = None,
    evaluator: Annotated[
        Path | None, typer.Option(help="Another one that evaluates them; without both, both are trained for this.")
    ] = None,
    people: Annotated[int, typer.Option(min=2, help="People of the store to evaluate on, at most.")] = 100,
    voices: Annotated[int, typer.Option("-k", "--voices", min=1, help="Voices of each system per face.")] = 3,
    where: Annotated[str | None, typer.Option(help="SQL filter over clips, as in \"split = 'test'\".")] = None,
    face_space: Annotated[
        str | None, typer.Option(help="Space of the face vectors, if the store has several and no model is given.")
    ] = None,
    voice_space: Annotated[
        str | None, typer.Option(help="Space of the voice vectors, if the store has several and no model is given.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for generation.json and generation.png.")
    ] = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Measure how well voices made for faces suit them, by another model, beside baselines.

    For people that neither model was trained on, every system chooses voices, the TTS speaks them, and what is heard
    is measured: f2v (with the face, by the evaluator), v2v (with the person's own voice), how alike one person's
    voices are, the quality of the speech (1 to 5, as DNSMOS predicts it), and the likelihood of the vectors under a
    mixture over known speakers; with 95 % intervals.

    Example: `vclip evaluate-generation --store work/pairs --speakers work/speakers --out work/generation`

    Example: `vclip evaluate-generation --store work/test --speakers work/speakers --model work/model --evaluator
    work/evaluator`
    """
    from pipelines.generation.evaluate import evaluate_generation

    resolved = config_of(config, set, "generate", "train")
    result = evaluate_generation(
        store, speakers, resolved, model, evaluator, people, voices, where, out, face_space, voice_space
    )
    if as_json:
        print_json(result)
    else:
        _print(result)


def _print(result: "GenerationEvaluation") -> None:
    measures = {"f2v": 3, "v2v": 3, "log_likelihood": 0, "alike": 3, "quality": 2}
    head = ("", "f2v", "v2v", "log-likelihood", "alike", "quality")
    rows = [
        (row["system"], *(interval(row[name], digits) for name, digits in measures.items())) for row in result.systems
    ]
    print_table(f"{result.people} people, {result.voices} voices each", head, rows)
    differences = [
        (name, *(interval(difference[measure], measures[measure], "+") for measure in ("f2v", "log_likelihood")))
        for name, difference in result.differences.items()
    ]
    print_table("", ("difference, the same people", "f2v", "log-likelihood"), differences)
    print_line(f"below each figure: its 95 % interval, from {result.draws} draws of people")
    if result.warning:
        print_line(f"WARNING: {result.warning}")
