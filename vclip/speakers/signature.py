"""The TTS signature: predicts the voice that a TTS makes of a speaker vector, without synthesis.

    s(e) ~ f_v(tts(e)),    loss 1 - cos(s(e), mean over sentences of f_v(tts(e, sentence)))     (Vclip, section 2.4)

If the TTS itself predicts voices (`tts.base.PredictsVoices`), the network is first trained on such predictions, which
cost little, and then on speech.
"""

import copy
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from pydantic import Field, model_validator
from torch import Tensor, nn

from vclip import checkpoint
from vclip.association.randomness import seeded
from vclip.config import Seed, Settings
from vclip.device import DEVICE, DEVICES, torch_device
from vclip.errors import InputError, SpaceError
from vclip.threads import with_threads_for

KIND = "tts-signature"
BATCH = 64
MIN_SPEAKERS = 10
ABOUT = "A TTS signature: it predicts the embedding of the voice that a TTS makes of a speaker vector."
FORMER_NAMES = {"foretold": "predicted", "foretold_epochs": "predicted_epochs"}  # up to version 0.1


class SignatureConfig(Settings):
    """How the signature is fitted."""

    speakers: int | None = Field(
        default=None,
        ge=MIN_SPEAKERS,
        description="speaker vectors to speak, at most half of them known ones; by default 600, or 150 if the TTS "
        "predicts voices",
    )
    sentences: int = Field(default=4, ge=1, description="sentences spoken by each speaker")
    predicted: int = Field(
        default=40_000, ge=0, description="speakers whose voices the TTS predicts, if it can; 0: none"
    )
    predicted_epochs: int = Field(default=10, ge=1)
    hidden: int = Field(default=512, ge=1)
    dropout: float = Field(default=0.5, ge=0, lt=1, description="used only if the TTS predicts no voices")
    learning_rate: float = Field(default=1e-3, gt=0)
    correction_rate: float = Field(
        default=1e-4, gt=0, description="learning rate on spoken voices, after predicted ones"
    )
    weight_decay: float = Field(default=0.01, ge=0)
    max_epochs: int = Field(default=300, ge=1)
    patience: int = Field(
        default=30, ge=1, description="epochs without a better dev cosine after which training stops"
    )
    held_out: float = Field(
        default=0.15, gt=0, lt=0.5, description="share of speakers for the metrics, and as many for early stopping"
    )
    seed: Seed = 0
    device: str = Field(default="", pattern=DEVICES, description=DEVICE)

    @model_validator(mode="before")
    @classmethod
    def _accept_former_names(cls, values: Any) -> Any:
        if not isinstance(values, dict):
            return values
        return {FORMER_NAMES.get(name, name): value for name, value in values.items()}


@dataclass(frozen=True)
class SignatureMetrics:
    """How well a signature predicts voices, measured on speakers that were held out (see `fit_signature`)."""

    speakers: int  # whose voices were measured
    held_out_speakers: int
    cosine_held_out: float  # of the predicted and the measured voice
    cosine_mean_voice: float  # of the mean voice and the measured one
    best_epoch: int
    predicted_speakers: int  # whose voices the TTS predicted
    cosine_identity: float | None = None  # of the speaker vector and the measured voice, where spaces are equal
    gap_closed: float | None = None  # the share of the gap between `cosine_identity` and 1 that is closed

    def to_json(self) -> dict[str, Any]:
        """Returns the metrics as metrics.json holds them, without those that were not measured."""
        return {name: value for name, value in asdict(self).items() if value is not None}


class TTSSignature(nn.Module):
    """A feedforward network from a TTS' speaker space to the space of the voice encoder.

    Args:
        tts: the spec of the TTS.
        speaker_space: the space of the input.
        voice_space: the space of the output.
        d_in: the dimension of the input.
        d_out: the dimension of the output.
        hidden: the width of the two hidden layers.
        dropout: the dropout rate after each hidden layer.
        encoders: space -> the spec that opens its encoder; checkpoints record it.
    """

    mean: Tensor  # (d_in,) mean of the training speakers
    scale: Tensor  # (), standard deviation of the training speakers over all dimensions

    def __init__(
        self,
        tts: str,
        speaker_space: str,
        voice_space: str,
        d_in: int,
        d_out: int,
        hidden: int,
        dropout: float,
        encoders: Mapping[str, str] | None = None,
    ):
        super().__init__()
        self.tts, self.speaker_space, self.voice_space = tts, speaker_space, voice_space
        self.shape = {"d_in": d_in, "d_out": d_out, "hidden": hidden, "dropout": dropout}
        self.register_buffer("mean", torch.zeros(d_in))
        self.register_buffer("scale", torch.ones(()))
        self.encoders = dict(encoders or {})
        self.net = nn.Sequential(
            nn.Linear(d_in, hidden), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(hidden, hidden), nn.GELU(), nn.Dropout(dropout),
            nn.Linear(hidden, d_out),
        )  # fmt: skip

    def extra_repr(self) -> str:
        return f"tts='{self.tts}', '{self.speaker_space}' -> '{self.voice_space}'"

    def standardize(self, e: Tensor) -> None:
        """Sets the mean and the scale of the input to those of speakers (n, d_in)."""
        self.mean.copy_(e.mean(0))
        self.scale.copy_((e - self.mean).square().mean().sqrt().clamp_min(1e-8))

    def forward(self, e: Tensor) -> Tensor:
        """Returns predicted voice embeddings (n, d_out), unit norm, of speaker vectors (n, d_in)."""
        return F.normalize(self.net((e - self.mean) / self.scale), dim=-1)

    @torch.inference_mode()
    def predict(self, speakers: np.ndarray, space: str | None = None) -> np.ndarray:
        """Returns predicted voice embeddings (n, d_out) float32, unit norm, of speaker vectors (n, d_in).

        Raises:
            SpaceError: `space`, if given, is not the speaker space of the TTS.
        """
        if space is not None and space != self.speaker_space:
            raise SpaceError(space, self.speaker_space, f"signature of the TTS '{self.tts}'")
        return self.eval()(_on(self.mean.device, speakers)).cpu().numpy()

    def save(self, folder: str | Path, metrics: Mapping[str, Any], made_by: Mapping[str, Any] | None = None) -> Path:
        """Writes a checkpoint folder and returns its path; `made_by` records the configuration and the data."""
        names = {"tts": self.tts, "speaker_space": self.speaker_space, "voice_space": self.voice_space}
        config = {**names, "model": self.shape, "made_by": checkpoint.with_encoders(self.encoders, made_by)}
        return checkpoint.save(folder, KIND, self.state_dict(), config, metrics, ABOUT)

    @classmethod
    def load(cls, folder: str | Path, device: str | None = None) -> "TTSSignature":
        """Returns the signature of a checkpoint folder, ready to use.

        Args:
            folder: the folder.
            device: "cpu", "cuda", ...; None selects a GPU if there is one.

        Raises:
            InputError: the folder holds no signature, or a weight of one is missing.
        """
        tensors, config, _ = checkpoint.load(folder, KIND)
        with checkpoint.as_it_was(folder):
            spaces = (config[name] for name in ("tts", "speaker_space", "voice_space"))
            tts, speaker_space, voice_space = spaces
            encoders = checkpoint.encoders_of(config)
            model = checkpoint.rebuilt(
                folder,
                config["model"],
                lambda: cls(tts, speaker_space, voice_space, **config["model"], encoders=encoders),
                lambda _: tensors,
            )
            model.load_state_dict(tensors)
        return model.eval().to(torch_device(device))


@with_threads_for("speakers")
def fit_signature(
    tts: str,
    speaker_space: str,
    voice_space: str,
    speakers: np.ndarray,
    spoken: np.ndarray,
    config: SignatureConfig | None = None,
    on_epoch: Callable[[int, int, float], None] | None = None,
    predicted: tuple[np.ndarray, np.ndarray] | None = None,
) -> tuple[TTSSignature, SignatureMetrics]:
    """Returns the signature fitted to all speakers, and the metrics of one fitted without the held-out speakers.

    The metrics are measured on speakers that neither training nor early stopping saw. The returned signature is then
    fitted to all speakers for the best number of epochs, so it should be a little better than the measured one. The
    caller's random number generators are left as they were; the seed alone decides the result.

    Args:
        tts: the spec of the TTS.
        speaker_space: the space of the speaker vectors.
        voice_space: the space of the voice embeddings.
        speakers: (n, d_in) the vectors given to the TTS.
        spoken: (n, d_out) the mean embeddings of the speech for each vector.
        config: the settings; None for the defaults.
        on_epoch: called with (epoch, max_epochs, dev cosine) during the fit without held-out speakers.
        predicted: other speakers (m, d_in), and the voices (m, d_out) that the TTS predicts for them.

    Raises:
        InputError: there are fewer than MIN_SPEAKERS speakers, or a vector holds NaN or infinity.
    """
    config = config or SignatureConfig()
    if len(speakers) < MIN_SPEAKERS:
        raise InputError(f"signature: expected at least {MIN_SPEAKERS} speakers, found {len(speakers)}")
    if not all(np.isfinite(vectors).all() for vectors in (speakers, spoken, *(predicted or ()))):
        raise InputError("signature: found NaN or infinity among the speakers or their voices, expected numbers")
    arguments = (tts, speaker_space, voice_space, speakers, spoken, config, on_epoch, predicted)
    with seeded(config.seed, torch_device(config.device)):
        return _fit(*arguments)


def _fit(
    tts: str,
    speaker_space: str,
    voice_space: str,
    speakers: np.ndarray,
    spoken: np.ndarray,
    config: SignatureConfig,
    on_epoch: Callable[[int, int, float], None] | None,
    predicted: tuple[np.ndarray, np.ndarray] | None,
) -> tuple[TTSSignature, SignatureMetrics]:
    device = torch_device(config.device)
    e, target = (_on(device, x) for x in (speakers, spoken))
    target = F.normalize(target, dim=1)
    order = torch.as_tensor(np.random.default_rng(config.seed).permutation(len(e)), device=device)
    n_out = max(2, round(config.held_out * len(e)))
    test, dev, rest = order[:n_out], order[n_out : 2 * n_out], order[2 * n_out :]

    start = TTSSignature(
        tts,
        speaker_space,
        voice_space,
        e.shape[1],
        target.shape[1],
        config.hidden,
        0 if predicted else config.dropout,
    ).to(device)
    start.standardize(e[rest])
    if predicted:
        drawn, voices = (_on(device, x) for x in predicted)
        _learn_predicted(start, drawn, voices, config)
    rate = config.correction_rate if predicted else config.learning_rate
    model, best, best_epoch, state = copy.deepcopy(start), -1.0, 0, {}
    for epoch in _epochs(model, e[rest], target[rest], config, config.max_epochs, rate):
        cosine = _cosine(model, e[dev], target[dev])
        if cosine > best:
            best, best_epoch = cosine, epoch
            state = {name: value.clone() for name, value in model.state_dict().items()}
        if on_epoch:
            on_epoch(epoch, config.max_epochs, cosine)
        if epoch - best_epoch >= config.patience:
            break
    model.load_state_dict(state)
    held_out, identity = _cosine(model, e[test], target[test]), None
    if speaker_space == voice_space:
        identity = float(F.cosine_similarity(e[test], target[test]).mean())
    metrics = SignatureMetrics(
        speakers=len(e),
        held_out_speakers=len(test),
        cosine_held_out=held_out,
        cosine_mean_voice=float(F.cosine_similarity(target[rest].mean(0)[None], target[test]).mean()),
        best_epoch=best_epoch,
        predicted_speakers=len(predicted[0]) if predicted else 0,
        cosine_identity=identity,
        gap_closed=None if identity is None else 1 - (1 - held_out) / (1 - identity),
    )
    for _ in _epochs(start, e, target, config, best_epoch, rate):
        pass
    return start.eval(), metrics


def _learn_predicted(model: TTSSignature, e: Tensor, target: Tensor, config: SignatureConfig) -> None:
    model.standardize(e)
    for _ in _epochs(model, e, target, config, config.predicted_epochs, config.learning_rate, falling=True):
        pass


def _epochs(
    model: TTSSignature,
    e: Tensor,
    target: Tensor,
    config: SignatureConfig,
    count: int,
    rate: float,
    falling: bool = False,
) -> Iterator[int]:
    """Trains a model on speakers (n, d_in) and voices (n, d_out), and yields the number of each finished epoch."""
    optimizer = torch.optim.AdamW(model.parameters(), rate, weight_decay=config.weight_decay)
    batches = -(-len(e) // BATCH)
    for epoch in range(1, count + 1):
        model.train()
        for number, rows in enumerate(torch.randperm(len(e), device="cpu").to(e.device).split(BATCH)):
            if falling:
                optimizer.param_groups[0]["lr"] = rate * (1 - ((epoch - 1) * batches + number) / (count * batches))
            loss = (1 - F.cosine_similarity(model(e[rows]), target[rows])).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        yield epoch


@torch.no_grad()
def _cosine(model: TTSSignature, e: Tensor, target: Tensor) -> float:
    model.eval()
    return float(F.cosine_similarity(model(e), target).mean())


def _on(device: torch.device, vectors: np.ndarray) -> Tensor:
    """Returns vectors of any layout and precision as a tensor (n, dim) float32 on a device."""
    return torch.as_tensor(np.ascontiguousarray(vectors, np.float32), device=device)
