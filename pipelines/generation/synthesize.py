"""Speech of utterances, in this process or in the workers of a cluster, and the speech files of a batch."""

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pipelines.cluster.failures import Failure
from pipelines.cluster.remote_task import Work
from pipelines.files.output_store import Output
from pipelines.generation.faces import Target
from pipelines.generation.utterances import Spoken, Utterance
from vclip.association.base import Association
from vclip.audio import prepare_speech
from vclip.encoders import open_voice_encoder, spec_of_space
from vclip.errors import InputError
from vclip.marking.marks import NO_MARKS, Marks
from vclip.marking.provenance import speech_file
from vclip.speakers.metrics import f2v
from vclip.tts import TTS
from vclip.tts.wav import StreamedSpeech

FOLDER = "speech"
READERS = 16  # threads that read sidecars
EVALUATED_S = 60.0  # only the beginning of longer speech is evaluated
MEASURED = ("f2v",)  # the scores that are measured on the speech

OpenTTS = Callable[[str], TTS]
# The measurements on the speech of an utterance, or the reason why there is none.
Outcome = Spoken | str


class Evaluator:
    """Measures how well speech suits a face, by a model other than the one that chose the voice."""

    def __init__(self, model: Association):
        self._model = model
        self._encoder = open_voice_encoder(spec_of_space(model.voice_space, model.encoders), "cpu")

    def f2v(self, target: Target, speech: StreamedSpeech) -> float:
        """Returns the evaluator's cosine of a target with the first EVALUATED_S of speech."""
        samples = prepare_speech(speech.head(EVALUATED_S), speech.sample_rate_hz, self._encoder.sample_rate_hz)
        voices = self._encoder.embed([samples])
        return float(f2v(self._model, target.vectors, voices, [0] * len(target.vectors))[0])


class Synthesizer:
    """Speaks utterances. A TTS and the evaluator's encoder are opened when first needed, in the speaking process.

    Args:
        open_tts: opens a TTS.
        evaluator: an association model that measures the speech, or None.
        marks: the marks of the speech.
    """

    def __init__(self, open_tts: OpenTTS, evaluator: Association | None, marks: Marks = NO_MARKS):
        self._open_tts, self._model, self._marks = open_tts, evaluator, marks
        self._opened: dict[str, TTS] = {}
        self._evaluator: Evaluator | None = None

    def tts(self, spec: str) -> TTS:
        """Returns the TTS that a spec names, opened once; raises InputError if it cannot be opened."""
        if spec not in self._opened:
            tts = self._open_tts(spec)
            self._opened |= {spec: tts, tts.name: tts}
        return self._opened[spec]

    def open(self, specs: Iterable[str] = ()) -> None:
        """Opens the evaluator and some TTSs; raises InputError if one cannot be opened."""
        if self._model and self._evaluator is None:
            self._evaluator = Evaluator(self._model)
        for spec in specs:
            self.tts(spec)

    def speak(self, utterance: Utterance) -> tuple[StreamedSpeech, Spoken, dict[str, Any]]:
        """Returns the speech, the measurements on it and its provenance record.

        Raises:
            InputError: the TTS cannot be opened, or cannot speak the text.
        """
        self.open()
        tts, speaker = self.tts(utterance.voice.tts), utterance.voice.speaker
        parts = self._marks.parts(
            lambda text, language: tts.parts(text, speaker, language),
            utterance.text,
            utterance.language,
            tts.sample_rate_hz,
        )
        speech = StreamedSpeech(parts, tts.sample_rate_hz)
        evaluator, target = self._evaluator, utterance.target
        scores = {"f2v": evaluator.f2v(target, speech)} if evaluator and target else {}
        spoken = Spoken(speech.seconds, scores)
        return speech, spoken, utterance.record(spoken, self._marks)


def files_of(utterance: Utterance) -> tuple[str, str]:
    """Returns the names of the WAV file and the sidecar of an utterance, in one of 256 folders by its id."""
    name = utterance.generation_id
    return f"{FOLDER}/{name[:2]}/{name}.wav", f"{FOLDER}/{name[:2]}/{name}.json"


@dataclass(frozen=True)
class SpeechFiles:
    """The speech files of a batch: a WAV file and a sidecar for each utterance, the sidecar written last."""

    output: Output
    marks: Marks = NO_MARKS

    def address(self, utterance: Utterance) -> str:
        """Returns the path or address of an utterance's WAV file."""
        return self.output.address(files_of(utterance)[0])

    def write(self, utterance: Utterance, wav: Iterator[bytes], sidecar: bytes) -> None:
        """Writes both files; raises InputError if they cannot be written."""
        for name, content in zip(files_of(utterance), (wav, [sidecar]), strict=True):
            self.output.write(name, content)

    def written(self, utterances: Sequence[Utterance]) -> Iterator[tuple[Utterance, Spoken]]:
        """Yields the utterances whose sidecars name the same models and settings, with their measurements."""
        with ThreadPoolExecutor(READERS) as pool:
            for utterance, spoken in zip(utterances, pool.map(self._read, utterances), strict=True):
                if spoken:
                    yield utterance, spoken

    def _read(self, utterance: Utterance) -> Spoken | None:
        try:
            record = json.loads(self.output.read(files_of(utterance)[1]))
            scores = {name: value for name, value in record["scores"].items() if name in MEASURED}
            return Spoken(record["seconds"], scores) if utterance.is_made(record, self.marks) else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None  # missing, or not a sidecar of Vclip: it will be replaced


def open_synthesis(
    files: SpeechFiles, synthesizer: Synthesizer, specs: Sequence[str]
) -> Work[Utterance, Spoken | Failure]:
    """Returns the function that speaks and writes one utterance; each TTS of `specs` stays open in its worker.

    A retry keeps the files of a dead worker. The function raises InputError if a file cannot be written.

    Raises:
        InputError: the TTS cannot be opened.
    """
    synthesizer.open(specs)

    def synthesize(utterance: Utterance, again: bool) -> Spoken | Failure:
        if again:
            for _, spoken in files.written([utterance]):
                return spoken
        try:
            speech, spoken, record = synthesizer.speak(utterance)
            wav, sidecar = speech_file(speech, record, signer=files.marks.signer)
        except InputError as error:
            return Failure.of_input(str(error), error)
        files.write(utterance, wav, sidecar)
        return spoken

    return synthesize


def batches_of(utterances: Sequence[Utterance], most: int, tasks: int) -> Iterator[list[Utterance]]:
    """Yields the utterances of each task. The voices of one text stay together, because a TTS caches its analysis.

    Args:
        utterances: the utterances, in any order.
        most: the maximum number of utterances per task.
        tasks: the minimum number of tasks, if there are enough utterances; it may divide the voices of a text.
    """
    size = max(1, min(most, -(-len(utterances) // tasks)))
    batch: list[Utterance] = []
    for _, group in groupby(sorted(utterances, key=lambda u: (u.text, u.generation_id)), key=lambda u: u.text):
        voices = list(group)
        if batch and len(batch) + len(voices) > size:
            yield batch
            batch = []
        batch += voices
        while len(batch) >= size:
            yield batch[:size]
            batch = batch[size:]
    if batch:
        yield batch
