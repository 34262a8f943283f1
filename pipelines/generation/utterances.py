"""One text in one voice for one face: its name, its speech, and what is told of it."""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from pipelines.config import GenerateConfig
from pipelines.generation.faces import Subject
from pipelines.generation.voices import Voice
from stores import generation_id
from vclip.association.base import Association
from vclip.audio import prepare_speech
from vclip.encoders import VoiceEncoder, open_voice_encoder, spec_of_space
from vclip.speakers.metrics import f2v
from vclip.tts import TTS
from vclip.tts.wav import StreamedSpeech

HEARD_S = 60.0
NOTICE = "Synthetic speech. The voice was made to suit the {}; it is nobody's own voice."


@dataclass(frozen=True)
class Utterance:
    """What is to be spoken."""

    face: Subject
    voice: Voice
    rank: int  # of the voice among those chosen for the face, from 1
    text: str

    @cached_property
    def generation_id(self) -> str:
        """Of this text in this voice for this face, whenever and wherever it is spoken."""
        return generation_id(self.face.key, self.text, self.voice.speaker)


class Judge:
    """Hears how well what was spoken suits the face, by a model that did not choose the voice."""

    def __init__(self, evaluator: Association):
        self._evaluator = evaluator
        spec = spec_of_space(evaluator.voice_space, evaluator.encoders)
        self._listener: VoiceEncoder = open_voice_encoder(spec, "cpu")

    def f2v(self, face: Subject, speech: StreamedSpeech) -> float:
        """Returns the cosine of a face with speech, under the evaluator; of long speech its beginning is heard."""
        samples = prepare_speech(speech.head(HEARD_S), speech.sample_rate_hz, self._listener.sample_rate_hz)
        heard = self._listener.embed([samples])
        return float(f2v(self._evaluator, face.vectors, heard, [0] * len(face.vectors))[0])


@dataclass(frozen=True)
class Spoken:
    """What was measured on an utterance's speech."""

    seconds: float
    scores: Mapping[str, float]  # those that speech is needed for


def speak(utterance: Utterance, tts: TTS, judge: Judge | None) -> tuple[StreamedSpeech, Spoken]:
    """Returns the speech, and what was measured on it.

    Raises:
        InputError: the TTS cannot speak the text.
    """
    speech = StreamedSpeech(tts.parts(utterance.text, utterance.voice.speaker), tts.sample_rate_hz)
    scores = {"f2v": judge.f2v(utterance.face, speech)} if judge else {}
    return speech, Spoken(speech.seconds, scores)


def provenance(
    utterance: Utterance, spoken: Spoken, settings: GenerateConfig, models: Mapping[str, Any]
) -> dict[str, Any]:
    """Returns what a file says of itself; `write_speech` adds that it is synthetic, and the hash of its samples."""
    face, voice = utterance.face, utterance.voice
    return {
        "notice": NOTICE.format(face.called),
        "generation_id": utterance.generation_id,
        "text": utterance.text,
        **face.told,
        "voice": utterance.rank,
        "score": voice.score,
        "scores": {settings.score: voice.score, "log_likelihood": voice.log_likelihood, **spoken.scores},
        "nearest_known_cosine": voice.nearest_known,
        "seconds": spoken.seconds,
        "seed": voice.seed,
        "models": dict(models),
        "generate": {**settings.model_dump(), "seed": voice.seed},
        "speaker_vector": [round(float(v), 6) for v in voice.speaker],
    }


def store_row(said: Mapping[str, Any], run_id: str, space: str, audio_uri: str) -> dict[str, Any]:
    """Returns the row of the table `generations` for an utterance with this provenance.

    Args:
        said: its provenance.
        run_id: of the job.
        space: of the speaker vector.
        audio_uri: where the WAV file lies.
    """
    same = ("generation_id", "text", "speaker_vector", "score", "scores", "models")
    tts = said["models"]["tts"]["name"]
    return {name: said[name] for name in same} | {
        "face": said["face"] if "face" in said else f"prompt: {said['prompt']}",
        "run_id": run_id, "tts": tts, "space": space, "audio_uri": audio_uri,
    }  # fmt: skip
