"""Utterances: one text in one voice for one target. Their identifiers, and the provenance of their speech files."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipelines.config import GenerateConfig
from pipelines.generation.faces import Target
from pipelines.generation.voices import Voice
from stores import generation_id
from vclip.marking.marks import NO_MARKS, Marks

PHOTO_HASHES = ("face_sha256", "face_content_hash")  # fields of a provenance record that say which file it was
NOTICE = "Synthetic speech. The voice was made to suit the {}; it is nobody's own voice."


@dataclass(frozen=True)
class Utterance:
    """A text to speak in a voice that was chosen for a target."""

    target: Target
    voice: Voice
    rank: int  # rank of the voice among those chosen for the target, from 1
    text: str
    language: str = "en"  # one of the languages of the TTS

    @cached_property
    def generation_id(self) -> str:
        """The identifier of this text in this voice for this target; equal in every run."""
        return generation_id(self.target.key, self.text, self.voice.speaker.tolist(), self.language)


@dataclass(frozen=True)
class Spoken:
    """The measurements on the speech of an utterance."""

    seconds: float
    scores: Mapping[str, float]  # the scores that are measured on the speech: f2v


@dataclass(frozen=True)
class Provenance:
    """The part of the provenance that all speech files of a run share."""

    settings: GenerateConfig
    models: Mapping[str, Any]  # name -> folder and SHA-256, or name and versions of the TTS; and the spaces
    marks: Marks = NO_MARKS

    def record(self, utterance: Utterance, spoken: Spoken) -> dict[str, Any]:
        """Returns the provenance record of a speech file, without the label and the hash of the samples."""
        voice = utterance.voice
        return {
            "notice": NOTICE.format(utterance.target.noun),
            "generation_id": utterance.generation_id,
            "text": utterance.text,
            "language": utterance.language,
            **utterance.target.provenance,
            "voice": utterance.rank,
            "score": voice.score,
            "scores": {self.settings.score: voice.score, "log_likelihood": voice.log_likelihood, **spoken.scores},
            "nearest_known_cosine": voice.nearest_known,
            "seconds": spoken.seconds,
            "seed": voice.seed,
            "models": dict(self.models),
            "generate": self._generate(utterance),
            "marks": self.marks.record(),
            "speaker_vector": [round(float(v), 6) for v in voice.speaker],
        }

    def made(self, utterance: Utterance, record: Mapping[str, Any]) -> bool:
        """Returns whether a record names the models, settings and marks of this run for the utterance.

        The folders of the models do not count, because a model may have been moved.
        """
        same_models = _without_folders(record["models"]) == _without_folders(self.models)
        same_marks = record.get("marks", NO_MARKS.record()) == self.marks.record()  # none in version 0.1
        return same_models and same_marks and record["generate"] == self._generate(utterance)

    def _generate(self, utterance: Utterance) -> dict[str, Any]:
        return {**self.settings.model_dump(), "seed": utterance.voice.seed}


def _without_folders(models: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {key: value for key, value in of.items() if key != "folder"} if isinstance(of, Mapping) else of
        for name, of in models.items()
    }


def generation_row(record: Mapping[str, Any], row_id: str, run_id: str, space: str, audio_uri: str) -> dict[str, Any]:
    """Returns the row of the table `generations` for one file of an utterance.

    Args:
        record: the provenance record of the file.
        row_id: the id of the row.
        run_id: the run that writes the row.
        space: the space of the speaker vector.
        audio_uri: the absolute path or the address of the WAV file.

    Returns:
        The row; its `models` also hold the hashes of the photos, by which a deletion finds speech made from them.
    """
    same = ("text", "speaker_vector", "score", "scores")
    photos = record.get("photos") or ([record] if "face_sha256" in record else [])
    hashes = [photo.get(name) for photo in photos for name in PHOTO_HASHES]
    models = {**record["models"], "photos": list(filter(None, hashes))}
    return {name: record[name] for name in same} | {
        "models": models,
        "generation_id": row_id,
        "face": record["face"] if "face" in record else f"prompt: {record['prompt']}",
        "run_id": run_id,
        "tts": record["models"]["tts"]["name"],
        "space": space,
        "audio_uri": audio_uri,
    }
