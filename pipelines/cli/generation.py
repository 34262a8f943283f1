"""Commands on generated speech: fit-speakers, distill, generate, evaluate-generation, verify."""

from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from pipelines.cli.app import (
    ConfigFile,
    FaceIndex,
    FaceSpace,
    Json,
    Overrides,
    Speakers,
    StoreUri,
    VoicesFrom,
    VoiceSpace,
    Where,
    app,
    config_of,
    with_voices_from,
)
from pipelines.cli.output import interval, print_json, print_line, print_result, print_table
from pipelines.wording import count
from vclip.errors import InputError

if TYPE_CHECKING:
    from pipelines.generation.evaluate import GenerationEvaluation
    from pipelines.generation.generate import GeneratedFile

DISTILL = ("signature", "encoders.voice", "generate.tts", "batch.task_cpus", "remote")  # keys of the configuration
GENERATE = ("generate", "encoders.face", "extraction.tracks.detector", "batch", "remote", "marks")


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
        typer.Option("--manifest", help="Or a table of faces or voices and texts, run on Ray."),
    ] = None,
    language: Annotated[
        str,
        typer.Option("--language", help="Language of the text, as in de or pt-BR. Default: the first of the TTS."),
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
            manifest, model, speakers, out, resolved, voices, face_index, evaluator, store, language=language
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
        face or (), text, model, speakers, Path(out), resolved, voices, face_index, evaluator, store, same_person,
        prompt or (), language,
    )  # fmt: skip
    _print_files(result, as_json)


def _print_files(files: "Sequence[GeneratedFile]", as_json: bool) -> None:
    if as_json:
        print_json({"files": files})
        return
    for file in files:
        score = "" if file.score is None else f"score {file.score:.3f}  "
        print_line(f"{file.wav}  {score}{file.seconds:.1f} s")


@app.command("evaluate-generation")
def evaluate_generation(
    store: StoreUri,
    speakers: Speakers,
    model: Annotated[
        Path | None, typer.Option("--model", "-m", help="Association model that chooses the voices.")
    ] = None,
    evaluator: Annotated[
        Path | None, typer.Option(help="Another one that scores them. Without these two, both are trained first.")
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
    a 95 % interval: f2v, the evaluator's score of the speech with the face; v2v, the cosine with the person's own
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
        store, speakers, resolved, model, evaluator, people, voices, where, out, face_space, voice_space
    )
    if as_json:
        print_json(result)
    else:
        _print_evaluation(result)


@app.command()
def verify(
    files: Annotated[list[Path], typer.Argument(help="WAV files that `generate` wrote, or other audio files.")],
    trust: Annotated[
        Path | None, typer.Option(help="PEM file of certificates: the issuers of signatures that you trust.")
    ] = None,
    as_json: Json = False,
) -> None:
    """Show the marks that speech files carry, and check that their audio still matches them.

    Three layers are read: the provenance label, the C2PA signature (with `vclip[c2pa]`) and the watermark that the
    label names, or any installed one if there is no label. The exit code is 2 if a file carries neither label nor
    signature, or was changed. The label is no signature: anybody can remove it or write a false one. A signature by a
    self-made certificate shows that a file is unchanged, and not who made it.

    Example: `vclip verify work/speech/photo_voice1_0a1b2c3d.wav`
    """
    from vclip.marking.verify import verify

    verified, problems = [], []
    for file in files:
        try:
            found = verify(file, trust)
        except InputError as error:
            problems.append(str(error))
            continue
        problems += [f"speech file {file}: {problem}" for problem in found.problems]
        layers = {name: asdict(getattr(found, name)) for name in ("label", "signature", "watermark")}
        own = {"file": str(file), "holds": not found.problems, "problems": found.problems, "layers": layers}
        verified.append(found.provenance | own)
    if as_json:
        print_json({"files": verified})
    else:
        for row in verified:
            print_result(_summary(row), False, row["file"])
    if problems:
        raise InputError(problems[0] + (f" (and {len(problems) - 1} more)" if len(problems) > 1 else ""))


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
    print_line(f"below each figure: its 95 % interval, from {result.draws} draws of people")
    if result.warning:
        print_line(f"WARNING: {result.warning}")


def _summary(row: dict[str, Any]) -> dict[str, Any]:
    """The entries of a file's provenance that are printed for people."""
    named = row.get("models")
    named = named if isinstance(named, dict) else {}  # anybody may have written the label
    models = {name: of.get("sha256", of.get("name")) for name, of in named.items() if isinstance(of, dict)}
    names = ("synthetic", "notice", "text", "voice_name", "prompt", "face", "face_sha256", "voice", "score", "seed",
             "nearest_known_cosine")  # fmt: skip
    check = {name: f"{found['state'].upper()}: {found['says']}" for name, found in row["layers"].items()}
    if row["problems"]:
        check["problems"] = "; ".join(row["problems"])
    return check | {name: row[name] for name in names if name in row} | {"models": models}
