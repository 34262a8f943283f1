"""Commands that make speakers: fit-speakers, distill."""

from pathlib import Path
from shlex import quote
from typing import Annotated

import typer

from pipelines.cli.app import ConfigFile, FaceSpace, Json, Overrides, Speakers, VoiceSpace, app, config_of
from pipelines.cli.output import print_result, say_next

DISTILL = ("signature", "encoders.voice", "generate.tts", "batch.task_cpus", "remote")  # keys of the configuration


@app.command("fit-speakers")
def fit_speakers(
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write.")],
    speech: Annotated[
        Path | None,
        typer.Option(help="Folder of speech, with a CSV (file, speaker, gender) or a subfolder per speaker."),
    ] = None,
    store: Annotated[str | None, typer.Option("--store", help="Or a store, whose voices are the speakers.")] = None,
    tts: Annotated[
        str | None,
        typer.Option(
            "--tts", help="Or a TTS, whose built-in speakers are used; with --speech, it embeds the speech."
        ),
    ] = None,
    record: Annotated[
        str | None,
        typer.Option("--record", help="With --tts: a store whose table `speakers` receives them."),
    ] = None,
    face_space: FaceSpace = None,
    voice_space: VoiceSpace = None,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Fit the speaker generator (a Gaussian mixture) to known speakers, from one of --speech, --store, --tts.

    A TTS with a speaker space of its own learns from --speech too, if it has `embed_speech`: give both options.

    Example: `vclip fit-speakers --speech LibriSpeech/train-clean-100 --out work/speakers`

    Example: `vclip fit-speakers --tts morph --record work/store --out work/speakers`
    """
    from pipelines.cli.in_words import generator_in_words
    from pipelines.generation.fit_speakers import fit_speakers

    resolved = config_of(config, set, "encoders.voice", "speakers")
    metrics = fit_speakers(out, resolved, speech, store, tts, record, face_space, voice_space)
    print_result(metrics if as_json else generator_in_words(metrics), as_json, f"speaker generator {out}")
    if not as_json:
        say_next(f"vclip distill --speakers {quote(str(out))} --out {quote(str(out))}")


@app.command()
def distill(
    speakers: Speakers,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder to write; may be the same.")],
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Learn the TTS signature, which predicts the voice that the TTS makes of a speaker vector, without synthesis.

    Example: `vclip distill --speakers work/speakers --out work/speakers`
    """
    from pipelines.cli.in_words import signature_in_words
    from pipelines.generation.distill import distill

    metrics = distill(speakers, out, config_of(config, set, *DISTILL))
    print_result(metrics if as_json else signature_in_words(metrics), as_json, f"TTS signature {out}")
    if not as_json:
        say_next(f"vclip generate --face PHOTO --text TEXT --model MODEL --speakers {quote(str(out))} --out FOLDER")
