"""A new voice for a photo, spoken at once; needs an association model and speakers."""

import threading
from typing import Annotated, Any

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from pipelines.browsing.read_routes import body_of, face_of
from pipelines.browsing.session import Opened
from pipelines.generation.faces import Face
from pipelines.generation.models import check_tts, open_models, with_tts
from pipelines.generation.utterances import Utterance, provenance, speak
from pipelines.generation.voices import Casting
from vclip.marking.provenance import speech_file
from vclip.tts import open_tts

LONGEST_TEXT = 300


def routes(opened: Opened) -> APIRouter:
    """Returns /api/speak: a photo in, a WAV file out that says of itself that it is synthetic."""
    router, studio = APIRouter(prefix="/api"), _Studio(opened)

    @router.post("/speak")
    async def say(request: Request, text: Annotated[str, Query(min_length=1, max_length=LONGEST_TEXT)]) -> Response:
        wav = await run_in_threadpool(studio.speak, await body_of(request), text)
        return Response(wav, media_type="audio/wav")

    return router


class _Studio:
    """Opens models and TTS when the first photo comes."""

    def __init__(self, opened: Opened):
        self._opened, self._lock = opened, threading.Lock()
        self._ready: tuple[Any, ...] | None = None

    def speak(self, picture: bytes, text: str) -> bytes:
        """Returns a WAV file of the text in the voice that suits the face best."""
        probe, config = face_of(self._opened, picture), self._opened.config
        with self._lock:
            if self._ready is None:
                models = open_models(self._opened.model_folder, self._opened.speakers_folder, None, config)
                tts = open_tts(config.generate.tts)
                check_tts(models.generator, tts)
                casting = Casting(models.association, models.generator, models.signature, config.generate)
                self._ready = with_tts(models.named, tts), tts, casting
            named, tts, casting = self._ready
            (voice,) = casting.voices(probe.vector[None], 1)[0]
            face = Face("a photo given to vclip browse", "", 0, 1, np.asarray(probe.vector))
            utterance = Utterance(face, voice, 1, text)
            speech, spoken = speak(utterance, tts, None)
        return b"".join(speech_file(speech, provenance(utterance, spoken, config.generate, named))[0])
