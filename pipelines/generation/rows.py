"""The rows of a manifest with what is to be spoken for each, or why it cannot be."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from pipelines.config import GenerateConfig
from pipelines.generation.faces import Found
from pipelines.generation.manifest import Job, Photo
from pipelines.generation.models import Models
from pipelines.generation.portraits import Face
from pipelines.generation.utterances import Utterance
from pipelines.generation.voices import Casting, Voice, tell
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
