"""Utterances spoken in the workers of a cluster, and those that an earlier run has spoken."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import groupby
from typing import Any

from pipelines.config import Config, GenerateConfig
from pipelines.files.output_store import Output
from pipelines.generation.utterances import Judge, Spoken, Utterance, provenance, speak, store_row
from stores import Store
from vclip.association.base import Association
from vclip.errors import InputError
from vclip.marking.provenance import speech_file
from vclip.tts import TTS

FOLDER = "speech"
READERS = 16  # threads that read sidecars
JUDGED = ("f2v",)  # the scores that speech is needed for

OpenTTS = Callable[[str], TTS]
# What became of an utterance: it was spoken, or why not.
Fate = Spoken | str


def files_of(utterance: Utterance) -> tuple[str, str]:
    """Returns the names of the utterance's WAV file and sidecar. By two digits of their ids, no folder gets full."""
    name = utterance.generation_id
    return f"{FOLDER}/{name[:2]}/{name}.wav", f"{FOLDER}/{name[:2]}/{name}.json"


@dataclass(frozen=True)
class Recipe:
    """What all utterances of a run have in common."""

    settings: GenerateConfig
    models: Mapping[str, Any]  # as provenance names them
    output: Output

    def provenance(self, utterance: Utterance, spoken: Spoken) -> dict[str, Any]:
        """Returns what the utterance's file says of itself."""
        return provenance(utterance, spoken, self.settings, self.models)

    def already_spoken(self, utterances: Sequence[Utterance]) -> Iterator[tuple[Utterance, Spoken]]:
        """Yields those whose sidecars are there and tell of the same models and settings, with their measurements.

        A sidecar is written last, so it vouches for the WAV file beside it.
        """
        with ThreadPoolExecutor(READERS) as pool:
            for utterance, spoken in zip(utterances, pool.map(self._found, utterances), strict=True):
                if spoken:
                    yield utterance, spoken

    def _found(self, utterance: Utterance) -> Spoken | None:
        try:
            said = json.loads(self.output.read(files_of(utterance)[1]))
            scores = {name: value for name, value in said["scores"].items() if name in JUDGED}
            settings = {**self.settings.model_dump(), "seed": utterance.voice.seed}
            same = said["generate"] == settings and _versions(said["models"]) == _versions(self.models)
            return Spoken(said["seconds"], scores) if same else None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None  # not there, or not ours: it is spoken, and takes that place


class Speaking:
    """Speaks and writes the utterances of a task; stays in a worker, and keeps the TTS for its next task.

    Args:
        recipe: what the utterances have in common.
        open_tts: opens the TTS that the settings name.
        evaluator: judges what was spoken; may be None.
    """

    def __init__(self, recipe: Recipe, open_tts: OpenTTS, evaluator: Association | None):
        self._recipe, self._open_tts, self._evaluator = recipe, open_tts, evaluator
        self._opened: tuple[TTS, Judge | None] | None = None

    def __call__(self, utterances: Sequence[Utterance], again: bool) -> list[Fate]:
        """Returns what became of each utterance; if `again`, what a worker that died has spoken is not spoken twice.

        Raises:
            InputError: a file cannot be written, or the TTS cannot be opened.
        """
        found = self._recipe.already_spoken(utterances) if again else ()
        there = {utterance.generation_id: spoken for utterance, spoken in found}
        return [there.get(utterance.generation_id) or self._speak(utterance) for utterance in utterances]

    def _speak(self, utterance: Utterance) -> Fate:
        if self._opened is None:
            judge = Judge(self._evaluator) if self._evaluator else None
            self._opened = self._open_tts(self._recipe.settings.tts), judge
        tts, judge = self._opened
        try:
            speech, spoken = speak(utterance, tts, judge)
            wav, said = speech_file(speech, self._recipe.provenance(utterance, spoken))
        except InputError as error:
            return str(error)
        except Exception as error:  # one text that trips a defect must not end a job
            return f"internal error: {type(error).__name__}: {error}".splitlines()[0]
        for name, content in zip(files_of(utterance), (wav, [said]), strict=True):
            self._recipe.output.write(name, content)
        return spoken


def batches_of(utterances: Sequence[Utterance], most: int, tasks: int) -> Iterator[list[Utterance]]:
    """Yields the utterances of one task each: a text's voices together, because a TTS remembers what it analysed.

    Args:
        utterances: in any order.
        most: to a task.
        tasks: how many there should be, if there are enough utterances; then a text may be divided.
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


def _versions(models: Mapping[str, Any]) -> dict[str, Any]:
    """Returns the models without their folders, which say nothing of what is in them."""
    return {
        name: {key: value for key, value in of.items() if key != "folder"} if isinstance(of, Mapping) else of
        for name, of in models.items()
    }


class Recorder:
    """Collects what was spoken; without a store it does nothing."""

    def __init__(self, store: Store | None, recipe: Recipe, space: str, every: int):
        self.run_id = ""
        self.summary: Mapping[str, Any] = {}  # for the store's record of the run
        self._store, self._recipe, self._space, self._every = store, recipe, space, every
        names = store.query("generations", ["generation_id", "audio_uri"]).to_pylist() if store else []
        self._known = {(row["generation_id"], row["audio_uri"]) for row in names}
        self._rows: list[dict[str, Any]] = []

    def add(self, utterance: Utterance, fate: Fate, new: bool) -> None:
        """Takes an utterance; one that is not new only if the store lacks its row."""
        if self._store is None or not isinstance(fate, Spoken):
            return
        wav = self._recipe.output.address(files_of(utterance)[0])
        if new or (utterance.generation_id, wav) not in self._known:
            said = self._recipe.provenance(utterance, fate)
            self._rows.append(store_row(said, self.run_id, self._space, wav))
        if len(self._rows) >= self._every:
            self.flush()

    def flush(self) -> None:
        """Writes the rows that wait."""
        if self._store:
            self._store.add_generations(self._rows)
        self._rows = []


@contextmanager
def recording(
    store: Store | None, command: Mapping[str, Any], config: Config, recipe: Recipe, space: str
) -> Iterator[Recorder]:
    """Gives a recorder whose run the store has on record.

    Args:
        store: may be None.
        command: what the job is.
        config: resolved.
        recipe: what the utterances have in common.
        space: of the speaker vectors.

    Raises:
        StoreUnavailable: the store cannot be written now; a second run writes what it lacks.
    """
    recorder = Recorder(store, recipe, space, config.batch.record_every)
    if store is None:
        yield recorder
        return
    with store.run(command, config.model_dump()) as run:
        recorder.run_id = run.run_id
        yield recorder
        run.summary = dict(recorder.summary)
