"""The speech session, which `generate`, its batch and the page of `vclip browse` share.

model folders -> `Models`, checked against each other -> with a TTS: `SpeechSession` -> voices, speech, store rows

A kept voice needs no models: the session checks it, and speaks it as it speaks one that it chose.
"""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import vclip.tts
from pipelines.config import Config
from pipelines.generation.choice import ChosenVoice, VoiceChooser
from pipelines.generation.faces import Target
from pipelines.generation.models import Models, check_speaker_space
from pipelines.generation.recorder import Recorder
from pipelines.generation.synthesize import OpenTTS, Synthesizer
from pipelines.progress import say, warn
from pipelines.voices.guard import check_unlike_known
from stores import Store
from vclip.errors import InputError
from vclip.marking.marks import Marks
from vclip.speakers.bank import SpeakerBank, known_similarity_limit
from vclip.speakers.voice import Voice
from vclip.tts.languages import language_to_speak

NOTICE = "Synthetic speech. The voice was made to suit the {}; it is nobody's own voice."


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
        made_for = models.signature.tts if models and models.signature else ""
        self._given_tts, self.config = config.generate.tts, config.with_tts(made_for=made_for) if models else config
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
    def recording(self, store: Store | None, command: Mapping[str, Any]) -> Iterator[Recorder]:
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
