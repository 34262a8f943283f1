"""The command `evaluate-generation`, which measures how well voices suit faces."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.app import (
    ConfigFile,
    FaceSpace,
    Json,
    Overrides,
    Speakers,
    StoreUri,
    VoiceSpace,
    Where,
    app,
    config_of,
)
from pipelines.cli.output import interval, print_json, print_line, print_table
from pipelines.wording import count

if TYPE_CHECKING:
    from pipelines.generation.evaluate import GenerationEvaluation


@app.command("evaluate-generation")
def evaluate_generation(
    store: StoreUri,
    speakers: Speakers,
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="Association model that chooses the voices.")
    ] = None,
    evaluator: Annotated[
        Path | None,
        typer.Option(help="Another association model, which scores them. If neither is given, both are trained."),
    ] = None,
    people: Annotated[int, typer.Option(min=2, help="Maximum number of people to evaluate on.")] = 100,
    voices: Annotated[
        int, typer.Option("-k", "--voices", min=1, help="Number of voices of each system per face.")
    ] = 3,
    where: Where = None,
    face_space: FaceSpace = None,
    voice_space: VoiceSpace = None,
    out: Annotated[
        Path | None, typer.Option("--out", "-o", help="Folder for generation.json and generation.png.")
    ] = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Measure how well generated voices suit faces according to a separate model, beside baselines.

    For people that neither model was trained on, every system chooses voices and the TTS speaks them. Each figure has
    a 95% interval: f2v, the evaluator's score of the speech with the face; v2v, the cosine with the person's own
    voice; how alike the voices of one person are; the deviation of F0 from the person's own voice, in semitones
    (median over people); the quality of the speech (1 to 5, predicted by DNSMOS); and the likelihood of the speaker
    vectors under a mixture over known speakers.

    Example: `vclip evaluate-generation --store work/pairs --speakers work/speakers --out work/generation`

    Example: `vclip evaluate-generation --store work/test --speakers work/speakers --model work/model --evaluator
    work/evaluator`
    """
    from pipelines.generation.evaluate import evaluate_generation

    resolved = config_of(config, set, "generate", "train")
    result = evaluate_generation(
        store,
        speakers,
        resolved,
        model_folder=model,
        evaluator_folder=evaluator,
        people=people,
        voices=voices,
        where=where,
        out=out,
        face_space=face_space,
        voice_space=voice_space,
    )
    if as_json:
        print_json(result)
    else:
        _print_evaluation(result)


def _print_evaluation(result: "GenerationEvaluation") -> None:
    measures = {"f2v": 3, "v2v": 3, "log_likelihood": 0, "alike": 3, "pitch": 1, "quality": 2}
    head = ("", "f2v", "v2v", "log-likelihood", "alike", "F0, semitones", "DNSMOS")
    shown = result.to_json()
    rows = [
        (row["system"], *(interval(row[name], digits) for name, digits in measures.items()))
        for row in shown["systems"]
    ]
    title = f"{count(result.people, 'person', 'people')}, {count(result.voices, 'voice')} each"
    print_table(title, head, rows)
    differences = [
        (name, *(interval(difference[measure], measures[measure], "+") for measure in ("f2v", "log_likelihood")))
        for name, difference in shown["differences"].items()
    ]
    print_table("", ("difference, the same people", "f2v", "log-likelihood"), differences)
    print_line(f"below each figure: its 95% interval, from {count(result.draws, 'draw')} of people")
    if result.warning:
        print_line(f"WARNING: {result.warning}")
