"""The rows of a batch with their utterances: a voice is chosen for each face, or a kept voice is taken."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.cluster.failures import Failure, Tracebacks
from pipelines.generation.choice import ChosenVoice
from pipelines.generation.faces import TargetFace
from pipelines.generation.find_faces import FaceOrReason
from pipelines.generation.manifest import Job, Photo
from pipelines.generation.session import SpeechSession
from pipelines.generation.utterances import Utterance
from vclip.errors import InputError
from vclip.speakers.voice import Voice

FACES_AT_ONCE = 4096  # in one matrix product; with 20,000 candidates their scores take 330 MB

FaceAndCount = tuple[str, int]  # a face's key and a number of voices


@dataclass(frozen=True)
class Row:
    """One row of the manifest with its utterances, one for each voice, or the reason why there are none."""

    job: Job
    utterances: tuple[Utterance, ...] = ()
    reason: str = ""


def utterances_of(
    jobs: Sequence[Job],
    faces: Mapping[Photo, FaceOrReason],
    kept: Mapping[str, Voice | str],
    session: SpeechSession,
    tracebacks: Tracebacks,
) -> list[Row]:
    """Returns the rows with their utterances. All faces with the same seed are scored together."""
    usable: dict[int, dict[FaceAndCount, TargetFace]] = {}
    for job in jobs:
        face = None if job.reason or job.voice else faces[job.photo]
        if isinstance(face, TargetFace):
            usable.setdefault(job.seed, {})[face.key, job.voices] = face
    chosen = {seed: _choose_voices(wanted, session, seed, tracebacks) for seed, wanted in usable.items()}
    return [
        _row_of_voice(job, kept[job.voice])
        if job.voice and not job.reason
        else _row(job, faces.get(job.photo), chosen.get(job.seed, {}), session)
        for job in jobs
    ]


def _choose_voices(
    wanted: Mapping[FaceAndCount, TargetFace], session: SpeechSession, seed: int, tracebacks: Tracebacks
) -> dict[FaceAndCount, list[ChosenVoice] | str]:
    """Returns the requested number of voices for each face, or the reason why there are fewer."""
    chosen: dict[FaceAndCount, list[ChosenVoice] | str] = {}
    for k in dict.fromkeys(k for _, k in wanted):
        rows = [(key, face) for key, face in wanted.items() if key[1] == k]
        for start in range(0, len(rows), FACES_AT_ONCE):
            part = rows[start : start + FACES_AT_ONCE]
            voices = _chosen([face.vector for _, face in part], k, session, seed, tracebacks)
            chosen.update(zip((key for key, _ in part), voices, strict=True))
    return chosen


def _chosen(
    vectors: Sequence[np.ndarray], k: int, session: SpeechSession, seed: int, tracebacks: Tracebacks
) -> Sequence[list[ChosenVoice] | str]:
    """Returns k voices for each face; where all together raise, each face is tried on its own."""
    try:
        chooser = session.chooser(seed)
        try:
            return chooser.choose(np.stack(vectors), k)
        except InputError as error:
            return [str(error)] * len(vectors)
    except InputError:
        raise  # no voice can be chosen for any face
    except Exception as error:
        if len(vectors) > 1:
            return [one for vector in vectors for one in _chosen([vector], k, session, seed, tracebacks)]
        failure = Failure.of_defect(error)
        tracebacks.keep(failure, f"voices for a face, seed {seed}")
        return [failure.reason]


def _row(
    job: Job,
    face: FaceOrReason | None,
    chosen: Mapping[FaceAndCount, list[ChosenVoice] | str],
    session: SpeechSession,
) -> Row:
    if job.reason or not isinstance(face, TargetFace):
        return Row(job, reason=job.reason or str(face))
    voices = chosen[face.key, job.voices]
    if isinstance(voices, str):
        return Row(job, reason=voices)
    ranked = [(session.voice(face, voice, rank), face) for rank, voice in enumerate(voices, start=1)]
    return Row(job, tuple(Utterance(voice, job.text, job.language, face) for voice, face in ranked))


def _row_of_voice(job: Job, voice: Voice | str) -> Row:
    return Row(job, reason=voice) if isinstance(voice, str) else Row(job, (Utterance(voice, job.text, job.language),))
