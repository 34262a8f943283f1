"""`vclip distill`: many speakers speak, on Ray, and a network learns what the TTS makes of their vectors.

What was heard of them is kept beside the signature, in `heard.npz`, as it comes: a job that was killed goes on, and
another fit, or one of more speakers, asks nobody to speak again.
"""

import hashlib
import json
import time
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

import vclip.tts
from pipelines.cluster.failures import Failure, Tracebacks
from pipelines.cluster.session import cluster_cpus, start_ray
from pipelines.cluster.tasks import Work, run_tasks
from pipelines.config import Config
from pipelines.generation.session import check_speaker_space
from pipelines.progress import say, step
from vclip import checkpoint
from vclip.audio import prepare_speech
from vclip.encoders import VOICE_ENCODERS, VoiceEncoder, open_voice_encoder
from vclip.errors import InputError
from vclip.files import whole_file
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.signature import KIND, SignatureConfig, fit_signature
from vclip.tts import TTS
from vclip.tts.base import PredictsVoices

TASK_SPEAKERS = 16
TASKS_A_CPU = 4  # at least, so that the last ones end together
KEEP_EVERY_S = 30.0
MOST_FAILED = 0.1  # of the speakers
PREDICTED_AT_ONCE = 2000

# Everyday sentences that between them hold most sounds of English, for what a TTS makes of a speaker.
SENTENCES = (
    "Please call Stella and ask her to bring these things with her from the store.",
    "The birch canoe slid on the smooth planks while the boy watched from the shore.",
    "We were away a year ago, and nobody knew what the weather would bring.",
    "She had your dark suit in greasy wash water all through the long winter.",
    "A large size in stockings is hard to sell, but the judge bought three.",
    "Few thieves are never sent to the jail that stands beside the river.",
    "Joe took father's green shoe bench out, and then he sat down to think.",
    "They say that it takes both rain and sunshine to make a rainbow in the sky.",
)

OpenTTS = Callable[[str], TTS]


def distill(speakers: Path, out: Path, config: Config, open_tts: OpenTTS = vclip.tts.open_tts) -> dict[str, Any]:
    """Speaks with many speakers, learns what comes out, and writes `out`/signature; returns its metrics.

    Args:
        speakers: a folder with the generator.
        out: the folder to write, often the same.
        config: its sections `signature`, `generate.tts`, `encoders.voice` and `batch.task_cpus`.
        open_tts: opens the TTS that `generate.tts` names, here and in the workers.

    Raises:
        InputError: no generator in `speakers`, its space is not the one that the TTS takes, or the TTS fails for many
            of them. What was heard stays.
    """
    out = Path(out)
    checkpoint.check_free(out / "signature", KIND)
    generator = SpeakerGenerator.load(Path(speakers) / "generator")
    settings = config.signature
    if settings.sentences > len(SENTENCES):
        raise InputError(f"signature.sentences = {settings.sentences}: expected at most {len(SENTENCES)}")
    tts = open_tts(config.generate.tts)
    check_speaker_space(generator, tts.space, tts.name)
    encoder = open_voice_encoder(config.encoders.voice)
    sentences = SENTENCES[: settings.sentences]
    # At most half are known speakers: retrieval will ask about drawn ones only.
    shuffled = np.random.default_rng(settings.seed).permutation(generator.bank.vectors)
    known = shuffled[: settings.speakers // 2]
    vectors = np.concatenate([known, generator.sample(settings.speakers - len(known), settings.seed)])
    heard = Heard(out / "heard.npz", {"tts": {tts.name: dict(tts.made_of)}, "by": encoder.space, "said": sentences})
    work = partial(_open_speaking, config.generate.tts, config.encoders.voice, sentences, open_tts)
    tracebacks = Tracebacks(str(out), config.remote)
    vectors, voices = _speak(vectors, heard, work, config.batch.task_cpus, tracebacks)
    predicted = predicted_voices(tts, encoder.space, generator, settings)
    with step("fit signature", settings.max_epochs, "epochs") as progress:
        signature, metrics = fit_signature(
            tts.name, tts.space, encoder.space, vectors, voices, settings,
            lambda epoch, _, cosine: progress.set(epoch, f"dev cosine {cosine:.3f}"), predicted,
        )  # fmt: skip
    encoders = {encoder.space: VOICE_ENCODERS.record(config.encoders.voice)}
    made_by = {"encoders": encoders, "config": config.model_dump(), "speakers": str(speakers)}
    signature.save(out / "signature", metrics, made_by)
    return metrics


def _mean_voice(tts: TTS, encoder: VoiceEncoder, speaker: np.ndarray, sentences: Sequence[str]) -> np.ndarray:
    """Returns the mean embedding (dim,) of what a TTS says with one speaker vector."""
    spoken = (tts.synthesize(text, speaker) for text in sentences)
    waves = [prepare_speech(wave, tts.sample_rate_hz, encoder.sample_rate_hz) for wave in spoken]
    return encoder.embed(waves).mean(axis=0)


def predicted_voices(
    tts: TTS, voice_space: str, generator: SpeakerGenerator, settings: SignatureConfig
) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns drawn speakers (m, dim) and the voices (m, d_out) that a TTS predicts for them; None if it cannot."""
    if not settings.predicted or not isinstance(tts, PredictsVoices) or tts.predicted_space != voice_space:
        return None
    drawn = generator.sample(settings.predicted, settings.seed + 1)
    told = []
    with step("predict", len(drawn), "speakers") as progress:
        for part in np.array_split(drawn, max(1, len(drawn) // PREDICTED_AT_ONCE)):
            told.append(tts.predict_voices(part))
            progress.advance(len(part))
    return drawn, np.concatenate(told)


class Heard:
    """The mean voices of speakers who have spoken, in a file.

    Args:
        path: of the file.
        how: what decides the voices, but for the speaker: those of another TTS or of other sentences are others.
    """

    def __init__(self, path: Path, how: dict[str, Any]):
        self._path, self._how, self._kept_s = path, json.dumps(how, sort_keys=True).encode(), time.monotonic()
        self._voices: dict[str, np.ndarray] = {}
        if path.is_file():
            try:
                with np.load(path, allow_pickle=False) as file:
                    self._voices = dict(zip(file["of"].tolist(), file["voices"], strict=True))
            except (OSError, ValueError, KeyError, BadZipFile) as error:
                raise InputError(f"{path}: unreadable ({error}); delete it, and all speakers speak again") from None

    def of(self, speaker: np.ndarray) -> np.ndarray | None:
        """Returns the voice (d_out,) of a speaker (d_in,), if it was heard."""
        return self._voices.get(self._name(speaker))

    def add(self, speaker: np.ndarray, voice: np.ndarray) -> None:
        """Notes a voice; now and then all are written."""
        self._voices[self._name(speaker)] = voice
        if time.monotonic() - self._kept_s > KEEP_EVERY_S:
            self.keep()

    def keep(self) -> None:
        """Writes the file, whole or not at all."""
        if not self._voices:
            return
        with whole_file(self._path) as draft:
            np.savez(draft, of=np.array(list(self._voices), str), voices=np.stack(list(self._voices.values())))
        self._kept_s = time.monotonic()

    def _name(self, speaker: np.ndarray) -> str:
        vector = np.ascontiguousarray(speaker, np.float32).tobytes()
        return hashlib.sha256(self._how + vector).hexdigest()[:32]


def _open_speaking(tts_spec: str, encoder_spec: str, sentences: Sequence[str], open_tts: OpenTTS) -> Work:
    tts, encoder = open_tts(tts_spec), open_voice_encoder(encoder_spec)

    def mean_voice(speaker: np.ndarray, again: bool) -> np.ndarray | Failure:
        try:
            return _mean_voice(tts, encoder, speaker, sentences)
        except InputError as error:
            return Failure(str(error))

    return mean_voice


def _speak(
    vectors: np.ndarray, heard: Heard, open_work: Callable[[], Work], task_cpus: float, tracebacks: Tracebacks
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the speakers (n, dim) who gave a voice, and their voices (n, d_out).

    Raises:
        InputError: it failed for many.
    """
    left = [vector for vector in vectors if heard.of(vector) is None]
    if len(left) < len(vectors):
        say(f"{len(vectors) - len(left)} of {len(vectors)} speakers have spoken already")
    reasons: list[str] = []
    if left:
        start_ray()
        tasks = TASKS_A_CPU * max(1, int(cluster_cpus()))
        size = max(1, min(TASK_SPEAKERS, -(-len(left) // tasks)))
        batches = (left[start : start + size] for start in range(0, len(left), size))
        try:
            with step("speak", len(left), "speakers") as progress:
                for speaker, voice in run_tasks(batches, open_work, "speak", task_cpus):
                    if isinstance(voice, Failure):
                        tracebacks.keep(voice, "a speaker")
                        reasons.append(voice.reason)
                    else:
                        heard.add(speaker, voice)
                    progress.advance()
        finally:
            heard.keep()
    if len(reasons) > MOST_FAILED * len(vectors):
        raise InputError(f"distill: {len(reasons)} of {len(vectors)} speakers gave no voice, the first: {reasons[0]}")
    if reasons:
        say(f"{len(reasons)} speakers gave no voice and are left out, the first: {reasons[0]}")
    voices = [heard.of(vector) for vector in vectors]
    there = [voice is not None for voice in voices]
    return vectors[there], np.stack([voice for voice in voices if voice is not None])
