"""`vclip generate --manifest`: rows of a face and a text into speech, on Ray, whatever dies on the way.

rows -> faces (tasks) -> voices, by one product (driver) -> speech (tasks) -> files, results, rows of a store

Equal faces are found and scored once, and an utterance that several rows ask for is spoken once. A file is named by
what is said, in which voice, for which face; its sidecar is written last and vouches for it. So a run that goes on
where another was killed asks the sidecars what is done; `results.jsonl` is written at the end.
"""

import json
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

import vclip.tts
from pipelines.cluster.session import cpus, start_ray
from pipelines.cluster.tasks import DIED, in_tasks
from pipelines.config import Config, GenerateConfig
from pipelines.files.addresses import recorded
from pipelines.files.output_store import Output
from pipelines.generation.faces import Face, face_encoder_spec, open_encoder
from pipelines.generation.find_faces import Found, find_faces
from pipelines.generation.manifest import Job, Photo, read_jobs
from pipelines.generation.models import Models, check_tts, open_models, with_tts
from pipelines.generation.synthesize import FOLDER, Fate, OpenTTS, Recipe, Speaking, batches_of, files_of, recording
from pipelines.generation.utterances import Spoken, Utterance
from pipelines.generation.voices import Casting, Voice, tell
from pipelines.progress import say, step
from stores import Store
from vclip.errors import InputError

AT_ONCE = 4096  # faces in one product; with 20,000 candidates their scores take 330 MB

Asked = tuple[str, int]  # a face's key and a number of voices


@dataclass(frozen=True)
class Row:
    """One row: its utterances, one for each voice; or none, and the reason."""

    job: Job
    utterances: tuple[Utterance, ...] = ()
    reason: str = ""


def rows_of(jobs: Sequence[Job], faces: Mapping[Photo, Found], models: Models, settings: GenerateConfig) -> list[Row]:
    """Returns the rows with their utterances; all faces that share a seed are scored in one product."""
    sound = [job for job in jobs if not job.reason and isinstance(faces[job.photo], Face)]
    chosen = {}
    for seed in dict.fromkeys(job.seed for job in sound):
        asked = {(faces[job.photo].key, job.voices): faces[job.photo] for job in sound if job.seed == seed}
        chosen[seed] = _choose(asked, models, settings.model_copy(update={"seed": seed}))
    return [_row(job, faces.get(job.photo), chosen.get(job.seed, {})) for job in jobs]


def _row(job: Job, face: Found | None, chosen: Mapping[Asked, list[Voice] | str]) -> Row:
    if job.reason or not isinstance(face, Face):
        return Row(job, reason=job.reason or str(face))
    voices = chosen[face.key, job.voices]
    if isinstance(voices, str):
        return Row(job, reason=voices)
    return Row(job, tuple(Utterance(face, voice, rank, job.text) for rank, voice in enumerate(voices, start=1)))


def _choose(asked: Mapping[Asked, Face], models: Models, settings: GenerateConfig) -> dict[Asked, list[Voice] | str]:
    """Returns the voices of each face, so many as are asked for, or why there are not so many."""
    casting = Casting(models.association, models.generator, models.signature, settings)
    tell(settings, casting.refused)
    chosen: dict[Asked, list[Voice] | str] = {}
    for k in dict.fromkeys(k for _, k in asked):
        rows = [(key, face) for key, face in asked.items() if key[1] == k]
        for start in range(0, len(rows), AT_ONCE):
            part = rows[start : start + AT_ONCE]
            try:
                voices = casting.voices(np.stack([face.vector for _, face in part]), k)
            except InputError as error:
                voices = [str(error)] * len(part)
            chosen.update(zip((key for key, _ in part), voices, strict=True))
    return chosen


RESULTS = "results.jsonl"
TASKS_A_CPU = 8  # at least, so that the last ones end together


@dataclass
class Summary:
    """What a run did."""

    out: str
    results: str
    rows: int = 0  # of the manifest
    states: Counter = field(default_factory=Counter)  # done, failed -> rows
    reasons: Counter = field(default_factory=Counter)  # why rows have failed -> rows
    faces: int = 0  # different ones
    utterances: int = 0  # different ones, of all rows and voices
    spoken: int = 0  # of these, in this run
    already_there: int = 0  # of these, from an earlier one
    speech_s: float = 0.0  # of all utterances
    took_s: float = 0.0

    def to_json(self) -> dict[str, Any]:
        return {k: dict(v) if isinstance(v, Counter) else v for k, v in vars(self).items()}


def generate_batch(
    manifest: str,
    model_folder: Path,
    speakers_folder: Path,
    out: str,
    config: Config,
    voices: int = 3,
    face_index: int | None = None,
    evaluator_folder: Path | None = None,
    store_uri: str | None = None,
    open_tts: OpenTTS = vclip.tts.open_tts,
) -> Summary:
    """Speaks every row of a manifest; writes WAV files, their sidecars and `results.jsonl` to `out`.

    Args:
        manifest: its path or address; see `pipelines.generation.manifest`.
        model_folder, speakers_folder: made by `train`, and by `fit-speakers` and `distill`.
        out: a folder that all nodes reach, or an address (`s3://`, `gs://`).
        config: its sections `generate`, `batch`, `extraction` and `remote`.
        voices, face_index: of rows that do not say.
        evaluator_folder: another association model, for the f2v of what was spoken.
        store_uri: a store that records the generations, and has the faces that rows name by id.
        open_tts: opens the TTS that `config.generate.tts` names, here and in the workers.

    Raises:
        InputError, StoreError: the manifest, a model or the store cannot be used, or nothing can be written. What is
            written stays, and a second run goes on.
    """
    started_s = time.monotonic()
    settings = config.generate
    jobs = read_jobs(manifest, voices, face_index, settings.seed, config.remote)
    models = open_models(model_folder, speakers_folder, evaluator_folder, config)
    store = Store.open(store_uri) if store_uri else None
    spec, space = face_encoder_spec(models.association, config), models.association.face_space
    open_encoder(spec, space)  # missing weights are told before a cluster is asked for anything
    tts = open_tts(settings.tts)
    check_tts(models.generator, tts)
    recipe = Recipe(settings, with_tts(models.named, tts), Output(out, config.remote))
    summary = Summary(out, recipe.output.address(RESULTS), rows=len(jobs))
    start_ray()
    faces = find_faces({job.photo for job in jobs if not job.reason}, spec, space, store, config)
    rows = rows_of(jobs, faces, models, settings)
    utterances = {u.generation_id: u for row in rows for u in row.utterances}
    summary.faces = len({face.key for face in faces.values() if isinstance(face, Face)})
    summary.utterances = len(utterances)
    command = {"job": "generate", "manifest": recorded(manifest), "out": out}
    with recording(store, command, config, recipe, tts.space) as recorder:
        fates: dict[str, Fate] = {}
        for utterance, found in _there(utterances, recipe):
            fates[utterance.generation_id] = found
            recorder.add(utterance, found, new=False)
        summary.already_there = len(fates)
        left = [utterance for name, utterance in utterances.items() if name not in fates]
        for utterance, fate in _speak(left, Speaking(recipe, open_tts, models.evaluator), config):
            fates[utterance.generation_id] = fate
            recorder.add(utterance, fate, new=True)
        spoken = [fate for fate in fates.values() if isinstance(fate, Spoken)]
        summary.spoken = len(spoken) - summary.already_there
        summary.speech_s = sum(fate.seconds for fate in spoken)
        recorder.flush()
        _write_results(rows, fates, recipe, summary)
        summary.took_s = time.monotonic() - started_s
        recorder.summary = summary.to_json()
    return summary


def _there(utterances: Mapping[str, Utterance], recipe: Recipe) -> Iterator[tuple[Utterance, Spoken]]:
    """Yields what an earlier run has spoken."""
    names = set(recipe.output.names(FOLDER))
    there = [utterance for utterance in utterances.values() if names.issuperset(files_of(utterance))]
    if there:
        say(f"{len(there)} of {len(utterances)} utterances have files already")
    yield from recipe.already_spoken(there)


def _speak(left: Sequence[Utterance], speaking: Speaking, config: Config) -> Iterator[tuple[Utterance, Fate]]:
    tasks = TASKS_A_CPU * max(1, int(cpus(round(time.monotonic()))))
    batches, seconds = batches_of(left, config.batch.task_utterances, tasks), 0.0
    with step("speak", len(left), "utterances") as progress:
        for utterance, fate in in_tasks(batches, speaking, "speak", config.batch.task_cpus):
            seconds += fate.seconds if isinstance(fate, Spoken) else 0.0
            progress.advance(note=f"{seconds / 60:.1f} min of speech")
            yield utterance, DIED if fate is None else fate


def _write_results(rows: Sequence[Row], fates: Mapping[str, Fate], recipe: Recipe, summary: Summary) -> None:
    """Writes a line for each voice of each row, or one with the reason; counts rows."""
    lines = []
    for row in rows:
        told = [_line(utterance, fates[utterance.generation_id], recipe) for utterance in row.utterances]
        told = told or [{"state": "failed", "reason": row.reason}]
        own = {"row": row.job.row, "id": row.job.id, "face": str(row.job.photo), "text": row.job.text}
        lines += [json.dumps(own | line, ensure_ascii=False) for line in told]
        reasons = [line["reason"] for line in told if line["reason"]]
        summary.states["failed" if reasons else "done"] += 1
        summary.reasons.update(reasons[:1])
    recipe.output.write(RESULTS, [("\n".join(lines) + "\n").encode()])


def _line(utterance: Utterance, fate: Fate, recipe: Recipe) -> dict[str, Any]:
    if isinstance(fate, str):
        return {"voice": utterance.rank, "state": "failed", "reason": fate}
    said = recipe.provenance(utterance, fate)
    told = {name: said[name] for name in ("voice", "score", "scores", "seconds", "generation_id")}
    return {"state": "done", "reason": "", "wav": recipe.output.address(files_of(utterance)[0]), **told}
