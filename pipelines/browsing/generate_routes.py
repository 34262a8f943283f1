"""The route that speaks a text in a new voice for a photo; needs an association model and speakers."""

import threading
from typing import Annotated

import numpy as np
from fastapi import APIRouter, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from pipelines.browsing.bodies import read_photo
from pipelines.browsing.routes import face_in
from pipelines.browsing.session import Session
from pipelines.generation.faces import TargetFace
from pipelines.generation.models import open_models
from pipelines.generation.session import SpeechSession
from pipelines.generation.utterances import Utterance
from vclip.errors import InputError
from vclip.marking.provenance import speech_file

LONGEST_TEXT = 300  # characters


def routes(session: Session) -> APIRouter:
    """Returns the route /api/speak, which takes a photo and answers with a WAV file that carries its provenance."""
    router, speaker = APIRouter(prefix="/api"), _PhotoSpeaker(session)

    @router.post("/speak")
    async def speak(request: Request, text: Annotated[str, Query(min_length=1, max_length=LONGEST_TEXT)]) -> Response:
        wav = await run_in_threadpool(speaker.speak, await read_photo(request), text)
        return Response(wav, media_type="audio/wav")

    return router


class _PhotoSpeaker:
    """Speaks texts in voices for photos, one at a time; opens the speech session at the first photo."""

    def __init__(self, session: Session):
        self._session, self._lock = session, threading.Lock()
        self._speech: SpeechSession | None = None

    def speak(self, photo: bytes, text: str) -> bytes:
        """Returns a WAV file of the text in the voice that suits the face in the photo best."""
        probe = face_in(self._session, photo)
        with self._lock:
            session = self._speech = self._speech or self._open()
            (chosen,) = session.chooser().choose(probe.vector[None], 1)[0]
            face = TargetFace("a photo given to vclip browse", "", 0, 1, np.asarray(probe.vector))
            voice = session.voice(face, chosen, 1)
            utterance = Utterance(voice, text, session.language("", voice.tts), face)
            speech, _, record = session.synthesizer.speak(utterance)
        return b"".join(speech_file(speech, record, signer=session.marks.signer)[0])

    def _open(self) -> SpeechSession:
        model, speakers, config = self._session.model_folder, self._session.speakers_folder, self._session.config
        if not (model and speakers):
            raise InputError("vclip browse: speech needs --model and --speakers")
        session = SpeechSession(open_models(model, speakers, None, config.generate), config)
        session.say_notices()
        return session
