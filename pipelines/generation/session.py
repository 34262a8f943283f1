"""The speech session, which `generate`, its batch and the page of `vclip browse` share.

model folders -> `Models`, checked against each other -> with a TTS: `SpeechSession` -> voices, speech, store rows

A kept voice needs no models: the session checks it, and speaks it as it speaks one that it chose.
"""

import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np

import vclip.tts
from pipelines.association.centring import centred_on
from pipelines.config import Config, GenerateConfig
from pipelines.files.addresses import scheme_of
from pipelines.generation.choice import ChosenVoice, VoiceChooser
from pipelines.generation.faces import Target
from pipelines.generation.synthesize import OpenTTS, Synthesizer
from pipelines.generation.utterances import generation_row
from pipelines.progress import say, warn
from pipelines.voices.guard import check_unlike_known
from stores import Store
from stores.ids import generated_file_id
from vclip import __version__, checkpoint
from vclip.association.base import Association, training_people
from vclip.association.methods import load as load_association
from vclip.errors import InputError, SpaceError
from vclip.marking.marks import Marks
from vclip.speakers.bank import SpeakerBank, known_similarity_limit
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.signature import TTSSignature
from vclip.speakers.voice import Voice
from vclip.tts.languages import language_to_speak

NOTICE = "Synthetic speech. The voice was made to suit the {}; it is nobody's own voice."


@dataclass(frozen=True)
class Models:
    """The models that choose voices, and the one that evaluates them."""

    association: Association
    generator: SpeakerGenerator
    signature: TTSSignature | None  # None for the naive score
    evaluator: Association | None
    provenance: Mapping[str, Any]  # name -> folder and SHA-256; and the spaces


def open_models(
    model_folder: Path, speakers_folder: Path, evaluator_folder: Path | None, settings: GenerateConfig
) -> Models:
    """Returns the models of these folders.

    Args:
        model_folder: the association model, made by `train`.
        speakers_folder: the generator and the signature, made by `fit-speakers` and `distill`.
        evaluator_folder: another association model, or None.
        settings: the score, since the naive one needs no signature; the store to centre the faces on; and the device
            of model and signature. The evaluator is on the CPU, since it is sent to workers that have no GPU.

    Raises:
        InputError: a model is missing or damaged, or their spaces differ.
    """
    model = load_association(model_folder, settings.device)
    generator, signature = load_speakers(speakers_folder, settings.score, settings.device)
    evaluator = load_association(evaluator_folder, "cpu") if evaluator_folder else None
    if evaluator and evaluator_folder:
        check_evaluator(evaluator, evaluator_folder, model, model_folder)
    folders = {"association": model_folder, "generator": Path(speakers_folder) / "generator"}
    folders |= {"signature": Path(speakers_folder) / "signature"} if signature else {}
    folders |= {"evaluator": evaluator_folder} if evaluator_folder else {}
    if settings.centre:
        store = Store.open(settings.centre)
        model = centred_on(model, store.snapshot(), store.uri, voices=False)
    provenance = {
        "vclip": __version__,
        **({"centred_on": settings.centre} if settings.centre else {}),
        **{name: {"folder": str(folder), "sha256": checkpoint.digest(folder)} for name, folder in folders.items()},
        "face_space": model.face_space,
        "voice_space": model.voice_space,
    }
    return Models(model, generator, signature, evaluator, provenance)


def load_speakers(folder: Path, score: str, device: str = "") -> tuple[SpeakerGenerator, TTSSignature | None]:
    """Returns the generator and the signature of a folder, or None for a signature that is missing and not needed.

    Raises:
        InputError: the generator is missing, or the signature that the score needs.
    """
    generator = SpeakerGenerator.load(Path(folder) / "generator")
    if not (Path(folder) / "signature").is_dir():
        if score == "naive":
            return generator, None
        raise InputError(
            f"speakers {folder}: found no TTS signature, which the {score} score needs; run "
            f"`vclip distill --speakers {folder} --out {folder}`, or give --set generate.score=naive"
        )
    return generator, TTSSignature.load(Path(folder) / "signature", device)


def check_evaluator(evaluator: Association, folder: Path, model: Association, model_folder: Path) -> None:
    """Checks that an evaluator is another model of the same spaces, and reports shared training people on stderr.

    Raises:
        InputError: the evaluator is the model itself, or its spaces differ.
    """
    if (evaluator.face_space, evaluator.voice_space) != (model.face_space, model.voice_space):
        found, expected = (f"{m.face_space} and {m.voice_space}" for m in (evaluator, model))
        raise SpaceError(found, expected, f"evaluator {folder}")
    if checkpoint.digest(folder) == checkpoint.digest(model_folder):
        raise InputError(f"--evaluator {folder}: found the model itself, expected another model to judge it")
    if np.isin(training_people(evaluator), training_people(model)).any():
        warn(f"evaluator {folder}: was trained on some of the same people as {model_folder}")


def check_speaker_space(generator: SpeakerGenerator, space: str, tts: str) -> None:
    """Raises SpaceError unless the generator draws speaker vectors in the space of the TTS."""
    if generator.space != space:
        raise SpaceError(generator.space, space, f"speakers for the TTS '{tts}'")


class SpeechSession:
    """Voices, chosen for faces or kept from earlier, and the TTS that speaks them.

    Args:
        models: the models that choose voices, see `open_models`; None if all voices are kept ones.
        config: its section `generate` names the TTS and configures the choice of voices, `marks` the marks.
        open_tts: opens the TTS, here and in the workers of a cluster.

    Raises:
        InputError: the TTS or a mark cannot be opened, or its speaker space is not that of the generator.
    """

    def __init__(self, models: Models | None, config: Config, open_tts: OpenTTS = vclip.tts.open_tts):
        self._given_tts, self.config = config.generate.tts, config.with_tts() if models else config
        self._models, self._open_tts, self.marks = models, open_tts, Marks.of(config.marks)
        here: dict[str, Any] = {"device": config.generate.device} if config.generate.device else {}
        self.synthesizer = self._synthesizer(partial(open_tts, **here))
        if models:
            tts = self.synthesizer.tts(self.config.generate.tts)
            check_speaker_space(models.generator, tts.space, tts.name)
        self._chooser: tuple[int, VoiceChooser] | None = None  # the last one, by its seed

    def say_notices(self) -> None:
        """Tells on stderr which TTS speaks and how its speech is signed; to be called when all inputs are checked."""
        if self._models:
            tts, signature = self.synthesizer.tts(self.config.generate.tts), self._models.signature
            if self._given_tts == vclip.tts.AUTO:
                say(f"generate.tts=auto: {tts.name} speaks")
            if signature and signature.tts != tts.name:
                warn(f"signature: made for '{signature.tts}', but '{tts.name}' speaks; run vclip distill")
        if notice := self.marks.notice():
            say(f"marks: {notice}")

    @property
    def models(self) -> Models:
        """The models that choose voices; raises InputError if there are none."""
        if self._models is None:
            raise InputError("generate: found a face, expected --model and --speakers, which choose a voice for it")
        return self._models

    def worker_synthesizer(self) -> Synthesizer:
        """Returns a synthesizer that opens its own TTS, in the worker that runs it, which has no GPU."""
        return self._synthesizer(self._open_tts)

    def _synthesizer(self, open_tts: OpenTTS) -> Synthesizer:
        return Synthesizer(open_tts, self._models.evaluator if self._models else None, self.marks)

    def language(self, asked: str = "", tts: str = "") -> str:
        """Returns the language that a TTS speaks: the one that was asked for, or its first.

        Args:
            asked: a tag of BCP 47, or "".
            tts: the spec of the TTS; "" for that of `generate.tts`.

        Raises:
            InputError: there is no such language, or the TTS does not speak it; names what does.
        """
        opened = self.synthesizer.tts(tts or self.config.generate.tts)
        return language_to_speak(asked, opened.languages, opened.name)

    def chooser(self, seed: int | None = None) -> VoiceChooser:
        """Returns the chooser of voices for a seed; the last one is cached.

        Args:
            seed: the seed of the draw of candidates; None for `generate.seed`.

        Raises:
            InputError: the spaces of models and speakers differ, or no candidate is left.
        """
        settings = self.config.generate
        seed = settings.seed if seed is None else seed
        if self._chooser is None or self._chooser[0] != seed:
            models, settings = self.models, settings.model_copy(update={"seed": seed})
            self._chooser = seed, VoiceChooser(models.association, models.generator, models.signature, settings)
        return self._chooser[1]

    def voice(self, target: Target, chosen: ChosenVoice, rank: int) -> Voice:
        """Returns a chosen voice with its provenance.

        Args:
            target: the face, person or description that it was chosen for.
            chosen: the voice.
            rank: its rank among those chosen for the target, from 1.
        """
        settings, tts = self.config.generate, self.synthesizer.tts(self.config.generate.tts)
        provenance = {
            "notice": NOTICE.format(target.noun),
            **target.provenance,
            "voice": rank,
            "score": chosen.score,
            "scores": {settings.score: chosen.score, "log_likelihood": chosen.log_likelihood},
            "nearest_known_cosine": chosen.nearest_known,
            "known_similarity_limit": self._known_limit,
            "seed": chosen.seed,
            "models": {**self.models.provenance, "tts": {"name": tts.name, **tts.made_of}},
            "generate": {**settings.model_dump(exclude={"voices_from", "device"}), "seed": chosen.seed},
        }
        return Voice(chosen.speaker, tts.space, tts.name, provenance)

    def kept(self, voice: Voice, known: Sequence[SpeakerBank] = ()) -> Voice:
        """Returns a kept voice, checked and with the TTS that speaks it here in its provenance.

        The TTS is that of the voice; a `generate.tts` other than auto must name it, perhaps at another path.

        Args:
            voice: the voice.
            known: known speakers that it must not be too similar to, besides those of the models.

        Raises:
            InputError: the TTS cannot be opened or is another one, or the voice is too similar to a known speaker.
        """
        tts = self.synthesizer.tts(voice.opens() if self._given_tts == vclip.tts.AUTO else self._given_tts)
        voice.check(tts)
        own = [self._models.generator.bank] if self._models else []
        check_unlike_known(voice, self.config.generate.known_similarity, [*known, *own])
        now, then = dict(tts.made_of), dict(voice.provenance.get("models", {}).get("tts", {}))
        if changed := sorted(part for part in now.keys() & then.keys() if now[part] != then[part]):
            warn(f"voice {voice.name}: another {', '.join(changed)} of its TTS is here; its speech may differ")
        models = {**voice.provenance.get("models", {}), "tts": {"name": tts.name, **now}}
        return replace(voice, tts=tts.name, provenance={**voice.provenance, "models": models})

    @cached_property
    def _known_limit(self) -> float:
        return known_similarity_limit(self.models.generator.bank)

    @contextmanager
    def recording(self, store: Store | None, command: Mapping[str, Any]) -> Iterator["Recorder"]:
        """Yields a recorder of speech files; the store records the run of the block, and why it failed if it does.

        Args:
            store: the store, or None to record nothing.
            command: the job and its inputs, as JSON.

        Raises:
            StoreUnavailable: the store cannot be written now; a second run writes the missing rows.
        """
        every = self.config.batch.record_every
        if store is None:
            yield Recorder(None, "", every)
            return
        with store.run(command, self.config.model_dump()) as run:
            recorder = Recorder(store, run.run_id, every)
            try:
                yield recorder
            finally:  # a failing run has written files too, and a deletion must find them
                recorder.flush()
                run.summary = dict(recorder.summary)


class Recorder:
    """Writes a row of the table `generations` for each speech file, in batches; without a store it does nothing.

    Args:
        store: the store, or None.
        run_id: the run that writes the rows.
        every: rows in one commit, at most.
    """

    def __init__(self, store: Store | None, run_id: str, every: int):
        self.summary: Mapping[str, Any] = {}  # of the job, for the store's record of the run
        self._store, self._run_id, self._every = store, run_id, every
        rows = store.query("generations", ["generation_id", "audio_uri"]).to_pylist() if store else []
        # (utterance, file) -> id of its row. Rows of version 0.1 have the utterance's id alone and keep it.
        self._row_ids = {
            (row["generation_id"].partition("-")[0], row["audio_uri"]): row["generation_id"] for row in rows
        }
        self._rows: dict[str, dict[str, Any]] = {}

    def lacks(self, generation_id: str, audio_uri: str) -> bool:
        """Returns whether there is a store that has no row of this utterance and file."""
        return self._store is not None and (generation_id, _absolute(audio_uri)) not in self._row_ids

    def add(self, record: Mapping[str, Any], audio_uri: str) -> None:
        """Adds the row of a speech file, given its provenance record and its path or address."""
        if self._store is None:
            return
        utterance, uri = record["generation_id"], _absolute(audio_uri)
        row_id = self._row_ids.setdefault((utterance, uri), generated_file_id(utterance, uri))
        self._rows[row_id] = generation_row(record, row_id, self._run_id, uri)
        if len(self._rows) >= self._every:
            self.flush()

    def flush(self) -> None:
        """Writes the rows that wait."""
        rows, self._rows = self._rows, {}
        if self._store and rows:
            self._store.add_generations(list(rows.values()))


def _absolute(audio_uri: str) -> str:
    """Returns the name of a file that does not depend on the folder in which a command runs."""
    return audio_uri if scheme_of(audio_uri) else os.path.abspath(audio_uri)
