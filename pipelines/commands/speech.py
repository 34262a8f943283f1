"""New speakers and their speech."""

import json
from pathlib import Path
from typing import Annotated

import typer

from pipelines.commands.shared import ConfigFile, Json, Model, Overrides, Speakers, app, config_of, show


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

    show(fit_speakers(out, config_of(config, set), speech, store, tts), as_json, f"speaker generator {out}")


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

    show(distill(speakers, out, config_of(config, set)), as_json, f"TTS signature {out}")


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

    result = generate(face, text, model, speakers, out, config_of(config, set), voices, face_index, evaluator, store)
    if as_json:
        print(json.dumps({"files": result}))
    else:
        for row in result:
            print(f"{row['wav']}  score {row['score']:.3f}  {row['seconds']:.1f} s")
