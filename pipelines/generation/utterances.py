"""Utterances: one text in one voice. Their identifiers, and the provenance of their speech files."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipelines.generation.faces import Target, target_key
from stores import generation_id
from vclip.marking.marks import NO_MARKS, Marks
from vclip.speakers.voice import Voice, made_for

PHOTO_HASHES = ("face_sha256", "face_content_hash")  # fields of a provenance record that say which file it was


@dataclass(frozen=True)
class Spoken:
    """The measurements on the speech of an utterance."""

    seconds: float
    scores: Mapping[str, float]  # the scores that are measured on the speech: f2v


@dataclass(frozen=True)
class Utterance:
    """A text to speak in a voice, which was chosen for a target now or kept from an earlier choice."""

    voice: Voice
    text: str
    language: str = "en"  # one of the languages of the TTS
    target: Target | None = None  # None for a kept voice

    @cached_property
    def generation_id(self) -> str:
        """The identifier of this text in this voice for its target; equal in every run, and for a kept voice."""
        return generation_id(target_key(self.voice.provenance), self.text, self.voice.speaker.tolist(), self.language)

    @property
    def rank(self) -> int | None:
        """The rank of the voice among those that were chosen for the target, from 1; None if it was not chosen."""
        return self.voice.provenance.get("voice")

    def record(self, spoken: Spoken, marks: Marks = NO_MARKS) -> dict[str, Any]:
        """Returns the provenance record of the speech file, without the label and the hash of the samples."""
        label = self.voice.label
        about = {"generation_id": self.generation_id, "text": self.text, "language": self.language}
        about |= {"seconds": spoken.seconds, "marks": marks.record()}
        return {**label, **about, "scores": {**label.get("scores", {}), **spoken.scores}}

    def is_made(self, record: Mapping[str, Any], marks: Marks = NO_MARKS) -> bool:
        """Returns whether a record names the voice, models, settings and marks of this run for the utterance.

        The folders of the models do not count, because a model may have been moved.
        """
        label = self.voice.label
        same_models = _without_folders(record["models"]) == _without_folders(label["models"])
        same_marks = record.get("marks", NO_MARKS.record()) == marks.record()  # none in version 0.1
        same = (record.get(name) == label.get(name) for name in ("voice_sha256", "generate"))
        return same_models and same_marks and all(same)


def _without_folders(models: Mapping[str, Any]) -> dict[str, Any]:
    return {
        name: {key: value for key, value in of.items() if key != "folder"} if isinstance(of, Mapping) else of
        for name, of in models.items()
    }


def generation_row(record: Mapping[str, Any], row_id: str, run_id: str, audio_uri: str) -> dict[str, Any]:
    """Returns the row of the table `generations` for one file of an utterance.

    Args:
        record: the provenance record of the file.
        row_id: the id of the row.
        run_id: the run that writes the row.
        audio_uri: the absolute path or the address of the WAV file.

    Returns:
        The row; its `models` also hold the hashes of the photos, by which a deletion finds speech made from them.
    """
    same = ("text", "speaker_vector", "scores")
    return {name: record[name] for name in same} | {
        "score": record.get("score"),
        "language": record.get("language"),  # none in version 0.1
        "models": {**record["models"], "photos": photo_hashes(record)},
        "generation_id": row_id,
        "face": made_for(record),
        "run_id": run_id,
        "tts": record["models"]["tts"]["name"],
        "space": record["speaker_space"],
        "audio_uri": audio_uri,
    }


def photo_hashes(record: Mapping[str, Any]) -> list[str]:
    """Returns the hashes of the photos that a voice was made for."""
    photos = record.get("photos") or ([record] if "face_sha256" in record else [])
    return list(filter(None, (photo.get(name) for photo in photos for name in PHOTO_HASHES)))
