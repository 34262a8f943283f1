"""One small plugin of each kind, deterministic and without weights. They run; they are of no use to anybody."""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, ClassVar

import cv2
import numpy as np
import torch

from vclip import checkpoint
from vclip.association.base import Standardize
from vclip.association.loop import History
from vclip.association.losses import Loss, clip_loss
from vclip.association.methods import Method
from vclip.association.pairs import Pairs, clip_means
from vclip.association.protocols.base import Published, Task, TrialSet
from vclip.association.trials.features import Features
from vclip.association.trials.lists import TrialList
from vclip.encoders.face_crop import CROP_RULE
from vclip.errors import InputError
from vclip.speakers.bank import SpeakerBank
from vclip.tts.languages import language_to_speak
from vclip.tts.loudness import normalised


def _unit(x: np.ndarray) -> np.ndarray:
    return (x / np.maximum(np.linalg.norm(x, axis=-1, keepdims=True), 1e-9)).astype(np.float32)


class TinyFaces:
    """A face as an 8 x 8 grey picture of the crop."""

    space, dim = f"tiny-faces/grey8/{CROP_RULE}", 64

    def embed(self, crops: Sequence[np.ndarray]) -> np.ndarray:
        small = [cv2.resize(np.asarray(c).mean(axis=2), (8, 8), interpolation=cv2.INTER_AREA).ravel() for c in crops]
        rows = np.array(small).reshape(-1, self.dim)
        return _unit(rows - rows.mean(axis=1, keepdims=True) + 1e-3)


class TinyVoices:
    """A voice as its mean log spectrum in bands; the argument is their number. It wants speech at 8 kHz."""

    sample_rate_hz = 8_000

    def __init__(self, bands: str = "24", device: str | None = None):
        self.dim = int(bands)
        self.space = f"tiny-voices/bands-{bands}"

    def embed(self, utterances: Sequence[np.ndarray]) -> np.ndarray:
        rows = [self._bands(np.asarray(samples, np.float64)) for samples in utterances]
        return _unit(np.array(rows).reshape(-1, self.dim))

    def _bands(self, samples: np.ndarray) -> np.ndarray:
        if not np.isfinite(samples).all() or not samples.any():
            raise InputError("utterance: found silence or NaN, expected speech")
        frames = np.pad(samples, (0, 512))[: len(samples) // 256 * 256 + 256].reshape(-1, 256)
        power = (np.abs(np.fft.rfft(frames * np.hanning(256))) ** 2).mean(axis=0)[1:]
        bands = np.log(np.array([part.mean() for part in np.array_split(power, self.dim)]) + 1e-9)
        return bands - bands.mean()


class TinyTTS:
    """Harmonics for words. A speaker is (pitch in Hz, brightness, syllables per 10 s): its length counts."""

    name, space, dim, sample_rate_hz = "tiny", "tiny-tts/pitch-brightness-rate", 3, 16_000
    languages = ("en", "fr")
    made_of: ClassVar = {"tiny-plugins": "0.3"}

    def known_speakers(self, count: int) -> SpeakerBank:
        rng = np.random.default_rng(0)
        drawn = rng.uniform((80, 20, 30), (300, 90, 60), (60, 3)).astype(np.float32)[:count]
        ids = np.array([f"tiny-{number}" for number in range(len(drawn))])
        return SpeakerBank(self.space, ids, drawn, np.where(drawn[:, 0] > 170, "f", "m"), length_counts=True)

    def synthesize(self, text: str, speaker: np.ndarray, language: str = "") -> np.ndarray:
        return normalised(np.concatenate(list(self.parts(text, speaker, language))), self.sample_rate_hz)

    def parts(self, text: str, speaker: np.ndarray, language: str = "") -> Iterator[np.ndarray]:
        language_to_speak(language, self.languages, self.name)
        words = re.findall(r"\w+", text)
        if not words:
            raise InputError(f"text {text!r}: nothing to speak")
        vector = np.asarray(speaker, np.float64)
        if vector.shape != (self.dim,) or not np.isfinite(vector).all() or not vector.any():
            raise InputError(
                f"speaker of shape {vector.shape}: expected ({self.dim},) of {self.space}, finite, not zero"
            )
        pitch_hz, brightness, rate = np.clip(vector, (40, 5, 10), (500, 99, 90))
        for number, word in enumerate(words):
            t_s = np.arange(int(self.sample_rate_hz * (1 + len(word) / 4) * 3 / rate)) / self.sample_rate_hz
            tone = sum(
                (brightness / 100) ** k * np.sin(2 * np.pi * pitch_hz * k * (1 + number % 3 / 20) * t_s)
                for k in range(1, 12)
            )
            yield (0.1 * tone * np.sin(np.pi * np.arange(len(t_s)) / len(t_s))).astype(np.float32)


def tiny_detector():
    """The toolkit's own detector, under another name."""
    from pipelines.extraction.faces.detectors import open_detector

    return open_detector("centerface")


def tiny_active_speaker():
    """Takes every face in view for the one that speaks."""
    from pipelines.extraction.active_speaker.base import Backend

    return Backend(lambda track, samples, rate_hz, config: np.full(len(track), 2.0))


def tiny_loss(weight: str = "1") -> Loss:
    """CLIP's loss, weighted."""
    return Loss(
        lambda faces, voices, log_scale, smoothing, doubtful: (
            float(weight) * clip_loss(faces, voices, log_scale, smoothing, doubtful)
        )
    )


class TinyProtocol:
    """Forty people whose voice is their face, and trials of ten others."""

    name, about = "tiny", "a protocol of a third party"
    published = (Published("theirs", "a book, page 3", {"AUC": 0.5}),)

    def read(self, folder: Path) -> Sequence[Task]:
        """Returns its training set; the folder is of no use."""
        vectors = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)
        rows, names = np.arange(50), np.array([f"p{number}/1" for number in range(50)])
        train = Pairs(vectors, rows, vectors, rows, names, names, names, np.full(50, "")).select(rows < 40)
        face, voice = (side.ravel() for side in np.meshgrid(np.arange(10), np.arange(10)))
        people = list(names[40:])
        trials = TrialList(people, people, names[40:], names[40:], face, voice, face == voice)
        features = Features(dict(zip(people, range(10), strict=True)), vectors[40:])
        return [Task("", train, None, [TrialSet(trials, features, features)], ("tiny-faces", "tiny-voices"))]


class TinyModel:
    """A ridge regression of voices on faces, with a checkpoint of its own."""

    def __init__(
        self, face_space: str, voice_space: str, weights: np.ndarray, face_mean: np.ndarray, voice_mean: np.ndarray
    ):
        self.face_space, self.voice_space = face_space, voice_space
        self.weights, self.face_mean, self.voice_mean = weights, face_mean, voice_mean
        self.face_input = Standardize(len(face_mean))
        self.face_input.mean.copy_(torch.as_tensor(face_mean))
        self.seen, self.encoders = np.zeros(0, np.int64), {}
        self.calibration = None

    def embed_faces(self, x: np.ndarray, space: str | None = None) -> np.ndarray:
        return _unit((np.asarray(x) - self.face_mean) @ self.weights)

    def embed_voices(self, e: np.ndarray, space: str | None = None) -> np.ndarray:
        return _unit(np.asarray(e) - self.voice_mean)

    def save(self, folder: str | Path, metrics: dict[str, Any], made_by: dict[str, Any] | None = None) -> Path:
        tensors = {
            "weights": self.weights,
            "face_mean": self.face_mean,
            "voice_mean": self.voice_mean,
            "seen": self.seen,
        }
        made_by = checkpoint.with_encoders(self.encoders, made_by)
        config = {"face_space": self.face_space, "voice_space": self.voice_space, "made_by": made_by}
        return checkpoint.save(folder, "association", tensors, config, metrics, "A tiny model.")

    @classmethod
    def load(cls, folder: str | Path, device: str = "cpu") -> "TinyModel":
        tensors, config, _ = checkpoint.load(folder, "association")
        arrays = {name: tensor.numpy() for name, tensor in tensors.items()}
        model = cls(
            config["face_space"], config["voice_space"], *(arrays[n] for n in ("weights", "face_mean", "voice_mean"))
        )
        model.seen, model.encoders = arrays["seen"], checkpoint.encoders_of(config)
        return model


def fit(pairs: Pairs, dev: Pairs | None, face_space: str, voice_space: str, config: Any, on_step=None, state=None):
    faces, voices = (
        clip_means(x, clip, len(pairs))
        for x, clip in ((pairs.faces, pairs.face_clip), (pairs.voices, pairs.voice_clip))
    )
    means = faces.mean(0).astype(np.float32), voices.mean(0).astype(np.float32)
    x, y = faces - means[0], voices - means[1]
    weights = np.linalg.solve(x.T @ x + np.eye(x.shape[1]), x.T @ y).astype(np.float32)
    model = TinyModel(face_space, voice_space, weights, *means)
    model.seen = pairs.hashes() if dev is None else np.union1d(pairs.hashes(), dev.hashes())
    return model, History([0], [float("nan")], [0.5], 0)


TINY_METHOD = Method("tiny", "a ridge regression of a third party", fit, load=TinyModel.load)
