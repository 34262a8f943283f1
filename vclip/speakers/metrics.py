"""Metrics of generated voices (Vclip, section 3.3): v2v, f2v under a separate evaluator, likelihood, pitch, quality.

Quality is the mean opinion score that DNSMOS predicts (Reddy et al., 2022, ITU-T P.835). DNSMOS was made to rate
noise suppression: it responds to noise and distortion, and hardly to how lively a voice is.
"""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cache
from importlib.resources import as_file, files
from typing import Any

import numpy as np

from vclip.association.base import Association
from vclip.association.metrics import Figure
from vclip.association.pairs import unit_norm
from vclip.audio import prepare_speech
from vclip.onnx_session import open_session
from vclip.speakers.bank import SpeakerBank
from vclip.speakers.generator import SpeakerGenerator
from vclip.speakers.generator_fit import GeneratorConfig, PrincipalSpace
from vclip.speakers.voice_search import face_directions

EVALUATOR_COMPONENTS = 4
DNSMOS_RATE_HZ = 16_000
DNSMOS_WINDOW = round(9.01 * DNSMOS_RATE_HZ)  # samples
# From the third output of DNSMOS, on overall quality, to opinion scores.
OPINION = np.poly1d([-0.06766283, 1.11546468, 0.04602535])


def v2v(generated: np.ndarray, true: np.ndarray) -> np.ndarray:
    """Returns the cosines (n,) of generated voices (n, dim) with the true voices (n, dim) of the same people."""
    return np.einsum("nd,nd->n", unit_norm(generated), unit_norm(true))


def f2v(
    evaluator: Association, faces: np.ndarray, generated: np.ndarray, person: Sequence[int] | None = None
) -> np.ndarray:
    """Returns the cosines (m,) of people with the voices generated for them.

    Args:
        evaluator: an association model other than the one that chose the voices, trained on other people.
        faces: (n, d_face) vectors.
        generated: (m, d_voice) vectors of the voices, one for each person.
        person: (n,) the person 0..m - 1 of each face, see `face_directions`; None if each face is another person.
    """
    directions = face_directions(evaluator, faces, person)
    return np.einsum("nd,nd->n", directions, evaluator.embed_voices(generated))


def likelihood_model(known: SpeakerBank, seed: int = 0) -> SpeakerGenerator:
    """Returns the mixture over known speakers, of EVALUATOR_COMPONENTS, that rates generated speakers."""
    return PrincipalSpace.of(known, GeneratorConfig(seed=seed)).fit(EVALUATOR_COMPONENTS)


def held_out_likelihood(known: SpeakerBank, seed: int = 0) -> np.ndarray:
    """Returns the log-likelihood (S,) of each known speaker under such a mixture, fitted without the speaker."""
    return PrincipalSpace.of(known, GeneratorConfig(seed=seed)).held_out_log_likelihood(EVALUATOR_COMPONENTS)


@dataclass(frozen=True)
class SpeechFigures:
    """The mean over people of each measurement in `SpeechMetrics` (the median of `pitch`), with its 95 % interval."""

    f2v: Figure
    v2v: Figure
    log_likelihood: Figure
    alike: Figure
    quality: Figure
    pitch: Figure


@dataclass(frozen=True)
class SpeechMetrics:
    """Measurements on the speech of one system, per person; NaN where there is nothing to measure."""

    f2v: np.ndarray  # (m,)
    v2v: np.ndarray  # (m,)
    log_likelihood: np.ndarray  # (m,) of the speaker vectors
    alike: np.ndarray  # (m,) mean cosine between the spoken voices of a person; NaN for one voice
    quality: np.ndarray  # (m,) predicted mean opinion score of the speech, 1 to 5
    pitch: np.ndarray  # (m,) deviation of F0 from the person's own voice, in semitones; NaN where either is unknown

    @classmethod
    def of(
        cls,
        voices: np.ndarray,
        log_likelihood: np.ndarray,
        quality: np.ndarray,
        pitch: np.ndarray,
        faces: np.ndarray,
        true: np.ndarray,
        evaluator: Association,
    ) -> "SpeechMetrics":
        """Returns the measurements, each the mean over a person's voices.

        Args:
            voices: (m, k, d_voice) embeddings of the speech.
            log_likelihood: (m, k) of the speaker vectors.
            quality: (m, k) predicted mean opinion scores of the speech.
            pitch: (m, k) absolute deviations of F0 from the person's own voice, in semitones.
            faces: (m, d) unit norm, the evaluator's phi_i of the faces.
            true: (m, d_voice) the true voices.
            evaluator: an association model other than the one that chose the voices.
        """
        m, k, _ = voices.shape
        flat, voices = voices.reshape(m * k, -1), unit_norm(voices)
        alike = np.full(m, np.nan)
        if k > 1:
            pairs = np.triu_indices(k, 1)
            alike = np.einsum("mid,mjd->mij", voices, voices)[:, *pairs].mean(1)
        return cls(
            f2v=np.einsum("md,mkd->m", faces, evaluator.embed_voices(flat).reshape(m, k, -1)) / k,
            v2v=v2v(flat, true.repeat(k, axis=0)).reshape(m, k).mean(1),
            log_likelihood=log_likelihood.mean(1),
            alike=alike,
            quality=quality.mean(1),
            pitch=pitch.mean(1),
        )

    def minus(self, other: "SpeechMetrics") -> "SpeechMetrics":
        """Returns the differences, person by person."""
        return SpeechMetrics(*(getattr(self, f.name) - getattr(other, f.name) for f in fields(self)))

    def figures(self, times: np.ndarray) -> SpeechFigures:
        """Returns the figure of each measurement with its interval; `times` (draws, m) counts people in each draw."""
        means = {f.name: _mean(getattr(self, f.name), times) for f in fields(self)}
        return SpeechFigures(**means | {"pitch": _median(self.pitch, times)})


def speech_quality(waveform: np.ndarray, sample_rate_hz: int) -> float:
    """Returns the predicted mean opinion score, from 1 (bad) to 5 (excellent), of speech (samples,) float in -1..1.

    The mean over windows of 9 s that begin one second apart; shorter speech is repeated to that length. The weights
    come from the package `speechmos`. Its own function repeats short speech as often as it fits into the window and
    runs several threads that wait for each other; one window and one thread take a third of the CPU time.
    """
    speech = np.clip(prepare_speech(waveform, sample_rate_hz), -1, 1).astype(np.float32)
    if len(speech) < DNSMOS_WINDOW:
        speech = np.resize(speech, DNSMOS_WINDOW)
    count = int(len(speech) // DNSMOS_RATE_HZ - DNSMOS_WINDOW / DNSMOS_RATE_HZ) + 1
    windows = [speech[first : first + DNSMOS_WINDOW] for first in DNSMOS_RATE_HZ * np.arange(count)]
    return float(np.mean([OPINION(_dnsmos().run(None, {"input_1": window[None]})[0][0, 2]) for window in windows]))


@cache
def _dnsmos() -> Any:
    with as_file(files("speechmos") / "dnsmos_models" / "sig_bak_ovr.onnx") as path:
        return open_session(path)


def _mean(values: np.ndarray, times: np.ndarray) -> Figure:
    if np.isnan(values).any():
        return Figure(None, None, None)
    return Figure.of(float(values.mean()), times @ values / len(values))


def _median(values: np.ndarray, times: np.ndarray) -> Figure:
    """Returns the median over the people whose value is known."""
    known = ~np.isnan(values)
    values, times = values[known], times[:, known].astype(int)
    if not len(values):
        return Figure(None, None, None)
    return Figure.of(
        float(np.median(values)), [np.median(np.repeat(values, t)) if t.any() else np.nan for t in times]
    )
