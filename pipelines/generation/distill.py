"""`vclip distill`: measures the voices that a TTS makes of speaker vectors, on Ray, and fits a signature to them.

speaker vectors -> speech and its mean voice embedding (tasks) -> heard.npz -> signature (driver)

A generator has a signature for each TTS, each in a folder that holds both.

The measured voices are cached beside the signature, in `heard.npz`, while they arrive. A killed job resumes from
there, and a fit with other settings or more speakers synthesises only what is missing.
"""

import hashlib
import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any
from zipfile import BadZipFile

import numpy as np

import vclip.tts
from pipelines.cluster.failures import Failure, Tracebacks
from pipelines.cluster.remote_task import Work
from pipelines.cluster.session import cluster_cpus, start_ray
from pipelines.cluster.tasks import run_tasks
from pipelines.config import Config
from pipelines.generation.models import check_speaker_space
from pipelines.progress import say, step, warn
from pipelines.wording import count
from vclip import checkpoint
from vclip.audio import prepare_speech
from vclip.encoders import VOICE_ENCODERS, open_voice_encoder
from vclip.errors import InputError
from vclip.files import replaced_folder, whole_file
from vclip.speakers.generator import KIND as GENERATOR
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.signature import KIND, SignatureConfig, SignatureMetrics, fit_signature
from vclip.tts import TTS
from vclip.tts.base import PredictsVoices

TASK_SPEAKERS = 4  # few: with a slow TTS, each takes many seconds, and progress is seen only as tasks end
TASKS_PER_CPU = 4  # at least, so that the last tasks finish together
SAVE_EVERY_S = 30.0
MAX_FAILED = 0.1  # of the speakers
# Speakers that are spoken by default. Of the gap between requested and obtained voice, the signature of `morph`
# closed .647 with 450 spoken beside the predicted ones, .641 with 200, .634 with 100 (150 others, one seed).
SPOKEN, SPOKEN_BESIDE_PREDICTED = 600, 150
PREDICTED_AT_ONCE = 2000

# The voice of a speaker is measured on these sentences, which together contain most phonemes of English.
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


def distill(speakers: Path, out: Path, config: Config, open_tts: OpenTTS = vclip.tts.open_tts) -> SignatureMetrics:
    """Measures the voices of many speaker vectors, fits the signature to them and writes it to `out`/signature.

    Args:
        speakers: a folder with a speaker generator.
        out: the folder to write; may be the same. Another one gets a copy of the generator.
        config: its sections `signature`, `generate.tts`, `encoders.voice`, `batch.task_cpus` and `remote`.
        open_tts: opens the TTS that `generate.tts` names, here and in the workers.

    Returns:
        The metrics of the signature.

    Raises:
        InputError: `speakers` has no generator, `out` has another one, the generator's space is not the speaker space
            of the TTS, or the TTS fails for more than a tenth of the speakers. The voices measured so far are kept in
            `heard.npz`.
    """
    out, config = Path(out), config.with_tts()
    checkpoint.check_free(out / "signature", KIND)
    drawn_by = Path(speakers) / "generator"
    generator = SpeakerGenerator.load(drawn_by)
    _check_generator_of(out, drawn_by)
    settings = config.signature
    if settings.sentences > len(SENTENCES):
        raise InputError(f"signature.sentences = {settings.sentences}: expected at most {len(SENTENCES)}")
    tts = open_tts(config.generate.tts)
    check_speaker_space(generator, tts.space, tts.name)
    encoder = open_voice_encoder(config.encoders.voice, "cpu")
    sentences = SENTENCES[: settings.sentences]
    predicted = predicted_voices(tts, encoder.space, generator, settings)
    count = settings.speakers or (SPOKEN_BESIDE_PREDICTED if predicted else SPOKEN)
    # At most half are known speakers, because a search predicts the voices of drawn ones only.
    shuffled = np.random.default_rng(settings.seed).permutation(generator.bank.vectors)
    known = shuffled[: count // 2]
    vectors = np.concatenate([known, generator.sample(count - len(known), settings.seed)])
    # The keys of `settings` are part of the hashes in heard.npz: renaming one would discard the measured voices.
    measured = MeasuredVoices(
        out / "heard.npz", {"tts": {tts.name: dict(tts.made_of)}, "by": encoder.space, "said": sentences}
    )
    work = partial(_open_measurement, config.generate.tts, config.encoders.voice, sentences, open_tts)
    tracebacks = Tracebacks(str(out), config.remote)
    said = f"{len(sentences)} sentences each by {config.generate.tts}"
    vectors, voices = _measure_voices(vectors, measured, work, config.batch.task_cpus, tracebacks, said)
    before = f"before them a fit to {len(predicted[0]):,} predicted voices" if predicted else ""
    with step("fit signature", settings.max_epochs, "epochs", note=before) as progress:
        signature, metrics = fit_signature(
            tts.name, tts.space, encoder.space, vectors, voices, settings,
            lambda epoch, _, cosine: progress.set(epoch, f"dev cosine {cosine:.3f}"), predicted,
        )  # fmt: skip
    encoders = {encoder.space: VOICE_ENCODERS.record(config.encoders.voice)}
    made_by = {"encoders": encoders, "config": config.model_dump(), "speakers": str(speakers)}
    if not (out / "generator" / "config.json").is_file():
        with replaced_folder(out / "generator", f"folder {out / 'generator'}") as draft:
            shutil.copytree(drawn_by, draft, dirs_exist_ok=True)
    signature.save(out / "signature", metrics.to_json(), made_by)
    return metrics


def _check_generator_of(out: Path, drawn_by: Path) -> None:
    """Raises InputError if the folder to write has another generator than the one that draws the speakers."""
    own = out / "generator"
    checkpoint.check_free(own, GENERATOR)
    if (own / "config.json").is_file() and checkpoint.digest(own) != checkpoint.digest(drawn_by):
        raise InputError(f"--out {out}: found another speaker generator than {drawn_by}, expected it or none")


def predicted_voices(
    tts: TTS, voice_space: str, generator: SpeakerGenerator, settings: SignatureConfig
) -> tuple[np.ndarray, np.ndarray] | None:
    """Returns drawn speakers and the voices that a TTS predicts for them without synthesising speech.

    Args:
        tts: the TTS.
        voice_space: the space that the voices must be in.
        generator: draws the speakers.
        settings: `predicted` is the number of speakers, 0 for none.

    Returns:
        Speaker vectors (m, d_in) and voices (m, d_out), both float32 of unit norm, or None if the TTS predicts no
        voices in this space.
    """
    if not settings.predicted or not isinstance(tts, PredictsVoices) or tts.predicted_space != voice_space:
        return None
    drawn = generator.sample(settings.predicted, settings.seed + 1)
    voices = []
    with step("predict", len(drawn), "speakers") as progress:
        for part in np.array_split(drawn, max(1, len(drawn) // PREDICTED_AT_ONCE)):
            voices.append(tts.predict_voices(part))
            progress.advance(len(part))
    return drawn, np.concatenate(voices)


class MeasuredVoices:
    """A file of the mean voices of speakers. A hash of the speaker vector and the settings identifies each.

    Args:
        path: the file, which is read if it exists.
        settings: the TTS, the encoder and the sentences.

    Raises:
        InputError: the file is damaged.
    """

    def __init__(self, path: Path, settings: Mapping[str, Any]):
        self._path, self._settings = path, json.dumps(settings, sort_keys=True).encode()
        self._saved_s = time.monotonic()
        self._voices: dict[str, np.ndarray] = {}
        if path.is_file():
            try:
                with np.load(path, allow_pickle=False) as file:
                    self._voices = dict(zip(file["of"].tolist(), file["voices"], strict=True))
            except (OSError, ValueError, KeyError, BadZipFile) as error:
                raise InputError(f"{path}: unreadable ({error}); delete it to measure all voices again") from None

    def of(self, speaker: np.ndarray) -> np.ndarray | None:
        """Returns the voice (d_out,) of a speaker (d_in,), or None if it was not measured."""
        return self._voices.get(self._hash(speaker))

    def add(self, speaker: np.ndarray, voice: np.ndarray) -> None:
        """Adds the voice (d_out,) of a speaker (d_in,), and saves the file every SAVE_EVERY_S.

        Voices by an encoder of another size, which one file cannot hold as well, are discarded.
        """
        if next(iter(self._voices.values()), voice).shape != voice.shape:
            self._voices = {}
        self._voices[self._hash(speaker)] = voice
        if time.monotonic() - self._saved_s > SAVE_EVERY_S:
            self.save()

    def save(self) -> None:
        """Writes the file as a whole; does nothing if no voice was measured."""
        if not self._voices:
            return
        with whole_file(self._path) as draft:
            np.savez(draft, of=np.array(list(self._voices), str), voices=np.stack(list(self._voices.values())))
        self._saved_s = time.monotonic()

    def _hash(self, speaker: np.ndarray) -> str:
        vector = np.ascontiguousarray(speaker, np.float32).tobytes()
        return hashlib.sha256(self._settings + vector).hexdigest()[:32]


def _open_measurement(
    tts_spec: str, encoder_spec: str, sentences: Sequence[str], open_tts: OpenTTS
) -> Work[np.ndarray, np.ndarray | Failure]:
    """Returns the function that measures the mean voice (d_out,) of one speaker vector (d_in,)."""
    tts, encoder = open_tts(tts_spec), open_voice_encoder(encoder_spec, "cpu")

    def mean_voice(speaker: np.ndarray, again: bool) -> np.ndarray | Failure:
        try:
            speech = (tts.synthesize(text, speaker) for text in sentences)
            waves = [prepare_speech(wave, tts.sample_rate_hz, encoder.sample_rate_hz) for wave in speech]
            return encoder.embed(waves).mean(axis=0)
        except InputError as error:
            return Failure(str(error))

    return mean_voice


def _measure_voices(
    vectors: np.ndarray,
    measured: MeasuredVoices,
    open_work: Callable[[], Work[np.ndarray, np.ndarray | Failure]],
    task_cpus: float,
    tracebacks: Tracebacks,
    said: str,
) -> tuple[np.ndarray, np.ndarray]:
    """Returns the speakers (n, d_in) whose voices were measured, and their voices (n, d_out).

    Raises:
        InputError: the TTS failed for more than MAX_FAILED of the speakers.
    """
    missing = [vector for vector in vectors if measured.of(vector) is None]
    if len(missing) < len(vectors):
        done = len(vectors) - len(missing)
        say(f"resuming: the voices of {done:,} of {count(len(vectors), 'speaker')} are already measured")
    reasons: list[str] = []
    if missing:
        start_ray()
        tasks = TASKS_PER_CPU * max(1, int(cluster_cpus()))
        size = max(1, min(TASK_SPEAKERS, -(-len(missing) // tasks)))
        batches = (missing[start : start + size] for start in range(0, len(missing), size))
        try:
            with step("speak", len(missing), "speakers", note=said) as progress:
                for speaker, voice in run_tasks(batches, open_work, "speak", task_cpus):
                    if isinstance(voice, Failure):
                        tracebacks.keep(voice, "a speaker")
                        reasons.append(voice.reason)
                    else:
                        measured.add(speaker, voice)
                    progress.advance()
        finally:
            measured.save()
    failed = count(len(reasons), "speaker")
    if len(reasons) > MAX_FAILED * len(vectors):
        raise InputError(f"distill: no speech for {failed} of {len(vectors)}; the first: {reasons[0]}")
    if reasons:
        warn(f"no speech for {failed}, left out; the first: {reasons[0]}")
    voices = [measured.of(vector) for vector in vectors]
    usable = [voice is not None for voice in voices]
    return vectors[usable], np.stack([voice for voice in voices if voice is not None])
