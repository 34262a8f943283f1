"""The command `generate`, which speaks in voices that suit a face or were kept."""

from collections.abc import Sequence
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING, Annotated

import typer

from pipelines.cli.app import (
    ConfigFile,
    FaceIndex,
    Json,
    Overrides,
    VoicesFrom,
    app,
    config_of,
    with_voices_from,
)
from pipelines.cli.output import print_json, print_line, print_result, say_next
from vclip.errors import InputError

if TYPE_CHECKING:
    from pipelines.generation.generate import GeneratedFile

# Keys of the configuration.
GENERATE = ("generate", "encoders.face", "extraction.tracks.detector", "batch", "remote", "marks")


@app.command()
def generate(
    out: Annotated[
        str,
        typer.Option("--out", "-o", help="Folder for WAV files and sidecars; with --manifest, s3:// or gs:// too."),
    ],
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="Association model, made by `train`; for faces.")
    ] = None,
    speakers: Annotated[
        Path | None, typer.Option("--speakers", "-g", help="Folder made by `fit-speakers`; for faces.")
    ] = None,
    face: Annotated[
        list[Path] | None, typer.Option("--face", "-f", help="Photo with a face; may be repeated.")
    ] = None,
    same_person: Annotated[
        bool,
        typer.Option("--same-person", help="All photos show one person. Default: each shows a different person."),
    ] = False,
    prompt: Annotated[
        list[str] | None,
        typer.Option("--prompt", help="Experimental: words instead of a photo; needs a model of CLIP faces."),
    ] = None,
    voice: Annotated[
        list[str] | None,
        typer.Option("--voice", help="Instead of a face: a kept voice, by its name or file; may be repeated."),
    ] = None,
    voices_from: VoicesFrom = None,
    text: Annotated[list[str] | None, typer.Option("--text", "-t", help="Text to speak; may be repeated.")] = None,
    manifest: Annotated[
        str | None,
        typer.Option("--manifest", help="Instead: a table of faces or voices and texts, run on Ray."),
    ] = None,
    language: Annotated[
        str,
        typer.Option("--language", help="Language of the text, as in de or pt-BR. Default: the TTS's first."),
    ] = "",
    voices: Annotated[int, typer.Option("-k", "--voices", min=1, help="Number of different voices per person.")] = 3,
    face_index: FaceIndex = None,
    evaluator: Annotated[
        Path | None, typer.Option(help="Another association model, which scores the speech (f2v).")
    ] = None,
    store: Annotated[str | None, typer.Option("--store", help="Also record the generations in this store.")] = None,
    announce: Annotated[
        bool, typer.Option("--announce", help="Begin with a spoken notice that the voice is synthetic.")
    ] = False,
    config: ConfigFile = None,
    set: Overrides = None,
    as_json: Json = False,
) -> None:
    """Speak text in new voices that suit a face, or in a voice that was made before.

    Every file carries its provenance: that it is synthetic, which models made it and for which face (`vclip verify`
    shows it). It is signed (C2PA) if `vclip[c2pa]` is installed, with marks.certificate and marks.key or with a
    self-made certificate; `--set marks.watermark=perth` adds an imperceptible watermark. A voice that suits a face is
    not that person's voice. Candidates too similar to a known speaker are refused.

    `--voice` speaks in a voice that was made before, and needs no face and no models. It is a WAV file by `generate`,
    its sidecar, a voice file, or a name given by `vclip voices keep` and looked up in --voices-from or --store. The
    same voice and text give the same samples as the first time.

    A manifest has a row for each face and text. It runs on Ray: on this machine, or on the cluster that
    `ray job submit` or RAY_ADDRESS names. `face` is a photo: a path relative to the manifest's folder, an absolute
    path or an address (s3://, gs://, http://, https://). Instead of it, `face_id` names a face of --store, and
    `voice` a kept voice. Further columns are optional: `id` is copied to the results; `language` overrides the
    command's option, and for a face `voices`, `face_index` and `seed` do too.

    `--prompt` is experimental and was not tested with trained weights. CLIP embeds the words in place of a face, so
    they can describe what somebody looks like, but hardly a voice.

    ```
    face,text,voices,id
    ann.jpg,"Hello, it is me.",1,greeting-1
    s3://photos/bob.png,Good night.,3,
    ```

    Run a manifest again to resume; no speech is made twice. OUT/results.jsonl, written at the end, has a line for
    each row and voice with its scores and WAV file, or the reason why the row failed.

    Example: `vclip generate --face photo.jpg --text "Hello there." --model work/model --speakers work/speakers -k 3
    --out work/speech`

    Example: `vclip generate --face ann1.jpg --face ann2.jpg --same-person --text "Hello there." --model work/model
    --speakers work/speakers --out work/speech`

    Example: `vclip generate --voice ann --voices-from work/voices --text "Good night." --out work/speech`

    Example: `vclip generate --prompt "an old man with a deep voice" --text "Hello there." --model work/clip-model
    --speakers work/speakers --out work/speech`

    Example: `vclip generate --manifest jobs.csv -k 1 --model work/model --speakers work/speakers --out work/batch
    --store work/store --config batch`
    """
    set = [*(set or ()), *(["marks.announce=true"] if announce else ())]
    resolved = with_voices_from(config_of(config, set, *GENERATE), voices_from)
    if manifest is not None:
        if face or text or prompt or same_person or voice:
            raise InputError(
                "generate: found --manifest beside --face, --same-person, --prompt, --voice or --text; expected it "
                "alone"
            )
        from pipelines.generation.batch import generate_batch

        summary = generate_batch(
            manifest,
            model,
            speakers,
            out,
            resolved,
            voices=voices,
            face_index=face_index,
            evaluator_folder=evaluator,
            store_uri=store,
            language=language,
        ).to_json()
        print_result(summary if as_json else {k: v for k, v in summary.items() if v}, as_json, "generate")
        return
    if not (face or prompt or voice) or not text:
        raise InputError(
            "generate: found no --face (or --prompt or --voice) or no --text, expected both, or --manifest"
        )
    if voice and (face or prompt or face_index is not None or evaluator):
        raise InputError(
            "generate: found --voice beside --face, --prompt, --face-index or --evaluator; expected it alone"
        )
    if prompt and (face or face_index is not None or evaluator):
        raise InputError("generate: found --prompt beside --face, --face-index or --evaluator, which are for photos")
    if same_person and len(face or ()) < 2:
        raise InputError(f"--same-person: found {len(face or ())} --face, expected several photos of one person")
    if "://" in out:
        raise InputError(f"--out {out}: expected a folder; addresses are for --manifest")
    from pipelines.generation.generate import generate, speak

    if voice:
        _print_files(speak(voice, text, Path(out), resolved, store, language), as_json)
        return
    if model is None or speakers is None:
        raise InputError(
            "generate: found no --model or no --speakers, expected both, which choose a voice for a face"
        )
    result = generate(
        face or (), text, model, speakers, Path(out), resolved, k=voices, face_index=face_index,
        evaluator_folder=evaluator, store_uri=store, same_person=same_person, prompts=prompt or (), language=language,
    )  # fmt: skip
    _print_files(result, as_json)
    if result and not as_json:
        say_next(f"vclip voices keep {quote(str(result[0].wav))} --name NAME --to FOLDER")


def _print_files(files: "Sequence[GeneratedFile]", as_json: bool) -> None:
    if as_json:
        print_json({"files": files})
        return
    for file in files:
        score = "" if file.score is None else f"score {file.score:z.3f}  "
        print_line(f"{file.wav}  {score}{file.seconds:.1f} s")
