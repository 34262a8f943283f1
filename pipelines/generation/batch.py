"""`vclip generate --manifest`: speech for rows of a face or a kept voice, and a text; on Ray.

rows -> faces (tasks) -> voices, by one matrix product (driver) -> speech (tasks) -> files, results, rows of a store
     -> kept voices, read and checked (driver) -> speech

Equal faces are found and scored once, and an utterance of several rows is spoken once. The name of a file is the
hash of its text, voice and face. Its sidecar is written last, so it shows that the WAV file is complete: a run that
resumes a killed one reads the sidecars. `results.jsonl` is written at the end.
"""

import json
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import vclip.tts
from pipelines.cluster.failures import Failure, Tracebacks
from pipelines.cluster.remote_task import Work
from pipelines.cluster.session import cluster_cpus, start_ray
from pipelines.cluster.tasks import run_tasks
from pipelines.config import BatchConfig, Config
from pipelines.files.addresses import recorded
from pipelines.files.output_store import Output
from pipelines.generation.batch_rows import Row, utterances_of
from pipelines.generation.faces import TargetFace, face_encoder_spec, open_encoder
from pipelines.generation.find_faces import FaceOrReason, find_faces
from pipelines.generation.manifest import Job, Photo, read_jobs
from pipelines.generation.models import Models, open_models
from pipelines.generation.session import SpeechSession
from pipelines.generation.synthesize import (
    FOLDER,
    OpenTTS,
    Outcome,
    SpeechFiles,
    batches_of,
    files_of,
    open_synthesis,
)
from pipelines.generation.utterances import Spoken, Utterance
from pipelines.progress import say, step
from pipelines.voices.collections import collections_of
from pipelines.voices.find import VoiceFinder
from pipelines.wording import count
from stores import Store
from vclip.errors import InputError
from vclip.speakers.voice import Voice

RESULTS = "results.jsonl"
TASKS_PER_CPU = 8  # at least, so that the last tasks finish together


@dataclass(frozen=True)
class BatchSummary:
    """The result of a batch."""

    out: str
    results: str  # path or address of results.jsonl
    rows: int  # of the manifest
    states: Mapping[str, int]  # done, failed -> rows
    reasons: Mapping[str, int]  # why rows failed -> rows
    faces: int  # different faces
    utterances: int  # different utterances of all rows and voices
    spoken: int  # utterances spoken in this run
    already_there: int  # utterances spoken by an earlier run
    speech_s: float  # duration of all utterances
    took_s: float

    def to_json(self) -> dict[str, Any]:
        return asdict(self)


def generate_batch(
    manifest: str,
    model_folder: Path | None,
    speakers_folder: Path | None,
    out: str,
    config: Config,
    *,
    voices: int = 3,
    face_index: int | None = None,
    evaluator_folder: Path | None = None,
    store_uri: str | None = None,
    open_tts: OpenTTS = vclip.tts.open_tts,
    language: str = "",
) -> BatchSummary:
    """Speaks every row of a manifest; writes WAV files, their sidecars and `results.jsonl` to `out`.

    Args:
        manifest: the path or address of the manifest; see `pipelines.generation.manifest`.
        model_folder, speakers_folder: made by `train`, and by `fit-speakers` and `distill`; None where all rows name
            kept voices.
        out: a folder that all nodes reach, or an address (`s3://`, `gs://`).
        config: its sections `generate`, `batch`, `extraction`, `encoders` and `remote`.
        voices, face_index: the values for rows that do not give them.
        evaluator_folder: another association model, for the f2v of the speech.
        store_uri: a store that records the generations, and has the faces and the voices that rows name.
        open_tts: opens the TTS that `config.generate.tts` names, here and in the workers.
        language: the language of rows that do not give one; "" for the first language of the TTS.

    Raises:
        InputError, StoreError: the manifest, a model or the store cannot be used, or a file cannot be written. Files
            that were written stay, and a second run resumes.
    """
    started_s = time.monotonic()
    jobs = read_jobs(manifest, voices, face_index, config.generate.seed, config.remote, language)
    photos = {job.photo for job in jobs if not (job.reason or job.voice)}
    models = _models_for(photos, model_folder, speakers_folder, evaluator_folder, config)
    store = Store.open(store_uri) if store_uri else None
    session = SpeechSession(models, config, open_tts)
    output = Output(out, config.remote)
    files = SpeechFiles(output, session.marks)

    kept = _kept_voices({job.voice for job in jobs if not job.reason} - {""}, session, store)
    jobs = [_in_its_language(job, kept.get(job.voice), session) for job in jobs]
    photos = {job.photo for job in jobs if not (job.reason or job.voice)}
    start_ray()
    tracebacks = Tracebacks(out, config.remote)
    faces = _found(photos, models, store, config, tracebacks)
    for job in jobs:
        if job.failure:
            tracebacks.keep(job.failure, f"row {job.row}")
    rows = utterances_of(jobs, faces, kept, session, tracebacks)
    utterances = {utterance.generation_id: utterance for row in rows for utterance in row.utterances}

    command = {"job": "generate", "manifest": recorded(manifest), "out": out}
    session.say_notices()
    with session.recording(store, command) as recorder:
        outcomes: dict[str, Outcome] = {}
        for utterance, spoken in _already_spoken(utterances, files):
            outcomes[utterance.generation_id] = spoken
            if recorder.lacks(utterance.generation_id, files.address(utterance)):
                recorder.add(utterance.record(spoken, session.marks), files.address(utterance))
        already_there = len(outcomes)

        left = [utterance for name, utterance in utterances.items() if name not in outcomes]
        specs = sorted({utterance.voice.tts for utterance in left})
        work = partial(open_synthesis, files, session.worker_synthesizer(), specs)
        for utterance, outcome in _speak(left, work, config.batch, tracebacks):
            outcomes[utterance.generation_id] = outcome
            if isinstance(outcome, Spoken):
                recorder.add(utterance.record(outcome, session.marks), files.address(utterance))
        recorder.flush()

        states, reasons = _write_results(rows, outcomes, files)
        spoken_s = [outcome.seconds for outcome in outcomes.values() if isinstance(outcome, Spoken)]
        summary = BatchSummary(
            out=out,
            results=output.address(RESULTS),
            rows=len(jobs),
            states=dict(states),
            reasons=dict(reasons),
            faces=len({face.key for face in faces.values() if isinstance(face, TargetFace)}),
            utterances=len(utterances),
            spoken=len(spoken_s) - already_there,
            already_there=already_there,
            speech_s=sum(spoken_s),
            took_s=time.monotonic() - started_s,
        )
        recorder.summary = summary.to_json()
    return summary


def _in_its_language(job: Job, kept: Voice | str | None, session: SpeechSession) -> Job:
    """Returns a row with the language that it is spoken in, or with the reason why its TTS cannot speak it."""
    if job.reason or isinstance(kept, str):
        return job
    try:
        return replace(job, language=session.language(job.language, kept.tts if kept else ""))
    except InputError as error:
        return replace(job, failure=Failure.of_input(str(error), error))


def _models_for(
    photos: set[Photo],
    model_folder: Path | None,
    speakers_folder: Path | None,
    evaluator_folder: Path | None,
    config: Config,
) -> Models | None:
    """Returns the models that choose voices for faces, or None if there are no faces."""
    if not photos:
        return None
    if model_folder is None or speakers_folder is None:
        raise InputError("generate: found rows with a face, expected --model and --speakers, which choose its voices")
    models = open_models(model_folder, speakers_folder, evaluator_folder, config.generate)
    # Missing weights are an error before the cluster starts.
    open_encoder(face_encoder_spec(models.association, config), models.association.face_space, "cpu")
    return models


def _found(
    photos: set[Photo], models: Models | None, store: Store | None, config: Config, tracebacks: Tracebacks
) -> Mapping[Photo, FaceOrReason]:
    if models is None:
        return {}
    spec, space = face_encoder_spec(models.association, config), models.association.face_space
    return find_faces(photos, spec, space, store, config, tracebacks)


def _kept_voices(values: set[str], session: SpeechSession, store: Store | None) -> dict[str, Voice | str]:
    """Returns the voices that rows name, each ready to speak, or the reason why it is not."""
    shelves = collections_of(session.config, store) if values else []
    finder, found = VoiceFinder(shelves, session.config.remote), dict[str, Voice | str]()
    known = [bank for shelf in shelves for bank in shelf.known_speakers()]
    for value in sorted(values):
        try:
            found[value] = session.kept(finder.find(value).voice, known)
        except InputError as error:
            found[value] = str(error)
    return found


def _already_spoken(utterances: Mapping[str, Utterance], files: SpeechFiles) -> Iterator[tuple[Utterance, Spoken]]:
    """Yields the utterances that an earlier run with the same models and settings has spoken."""
    names = set(files.output.names(FOLDER))
    found = [utterance for utterance in utterances.values() if names.issuperset(files_of(utterance))]
    if found:
        say(f"resuming: {len(found):,} of {count(len(utterances), 'utterance')} have their files already")
    yield from files.written(found)


def _speak(
    left: Sequence[Utterance],
    open_work: Callable[[], Work[Utterance, Spoken | Failure]],
    batch: BatchConfig,
    tracebacks: Tracebacks,
) -> Iterator[tuple[Utterance, Outcome]]:
    tasks = TASKS_PER_CPU * max(1, int(cluster_cpus()))
    batches, seconds = batches_of(left, batch.task_utterances, tasks), 0.0
    with step("speak", len(left), "utterances") as progress:
        for utterance, outcome in run_tasks(batches, open_work, "speak", batch.task_cpus):
            seconds += outcome.seconds if isinstance(outcome, Spoken) else 0.0
            progress.advance(note=f"{seconds / 60:.1f} min of speech")
            if isinstance(outcome, Failure):
                tracebacks.keep(outcome, f"utterance {utterance.generation_id}")
                yield utterance, outcome.reason
            else:
                yield utterance, outcome


def _write_results(
    rows: Sequence[Row], outcomes: Mapping[str, Outcome], files: SpeechFiles
) -> tuple[Counter[str], Counter[str]]:
    """Writes a line for each voice of each row, or one with the reason; returns the rows per state and per reason."""
    written: list[str] = []
    states: Counter[str] = Counter()
    reasons: Counter[str] = Counter()
    for row in rows:
        lines = [_line(utterance, outcomes[utterance.generation_id], files) for utterance in row.utterances]
        lines = lines or [{"state": "failed", "reason": row.reason}]
        own = {"row": row.job.row, "id": row.job.id, "face": str(row.job.photo), "text": row.job.text}
        own |= {"voice_name": recorded(row.job.voice)} if row.job.voice else {}
        written += [json.dumps(own | line, ensure_ascii=False) for line in lines]
        failed = [line["reason"] for line in lines if line["reason"]]
        states["failed" if failed else "done"] += 1
        reasons.update(failed[:1])
    files.output.write(RESULTS, [("\n".join(written) + "\n").encode("utf-8", "backslashreplace")])
    return states, reasons


def _line(utterance: Utterance, outcome: Outcome, files: SpeechFiles) -> dict[str, Any]:
    if isinstance(outcome, str):
        return {"voice": utterance.rank, "state": "failed", "reason": outcome}
    record = utterance.record(outcome, files.marks)
    same = {name: record.get(name) for name in ("voice", "language", "score", "scores", "seconds", "generation_id")}
    return {"state": "done", "reason": "", "wav": files.address(utterance), **same}
