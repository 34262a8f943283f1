"""Training of the association model: vectors in memory, one CLIP loss, early stopping on the AUC of unseen people.

Notable: the face projection starts as the ridge regression from faces to voices (closed form, its strength chosen on
the dev people) and the voice flow as the identity; the checkpoint kept is the best on dev, step 0 included, of a
running average of the weights. A step reads no disk, and one seed gives one result on one device.
"""

import copy
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from vclip.association.evaluation import clip_scores
from vclip.association.loss import clip_loss
from vclip.association.metrics import all_trials, auc
from vclip.association.model import AssociationConfig, AssociationModel
from vclip.association.pairs import Pairs, clip_means
from vclip.config import Settings
from vclip.errors import InputError

RIDGE_STRENGTHS = (0.1, 0.3, 1.0, 3.0, 10.0)


class TrainConfig(Settings):
    """How the association model is trained."""

    model: AssociationConfig = AssociationConfig()
    batch_size: int = Field(1024, ge=2, description="people in a batch; all of them where there are fewer")
    max_steps: int = Field(3000, ge=0)
    learning_rate: float = Field(3e-4, gt=0)
    weight_decay: float = Field(0.05, ge=0)
    feature_noise: float = Field(1.0, ge=0, description="standard deviation, in that of the standardized vectors")
    label_smoothing: float = Field(0.1, ge=0, lt=1)
    average: float = Field(0.95, ge=0, lt=1, description="decay per step of the running average of the weights")
    evaluate_every: int = Field(10, ge=1, description="steps")
    patience: int = Field(15, ge=1, description="evaluations without a better dev AUC before training stops")
    dev_fraction: float = Field(0.15, gt=0, lt=1, description="of the people")
    seed: int = Field(0, ge=0)
    device: str = Field("", pattern=r"^(|cpu|cuda(:\d+)?|mps)$", description="empty takes a GPU if there is one")


@dataclass
class History:
    """What training saw; one entry per evaluation."""

    step: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)  # mean since the last evaluation; NaN at step 0
    dev_auc: list[float] = field(default_factory=list)
    best_step: int = 0

    @property
    def best_dev_auc(self) -> float:
        return max(self.dev_auc)


def train(
    pairs: Pairs,
    face_space: str,
    voice_space: str,
    config: TrainConfig | None = None,
    on_step: Callable[[int, int, float], None] | None = None,
) -> tuple[AssociationModel, History]:
    """Returns the model of the best dev AUC, and the history.

    Args:
        pairs: clips of at least four people; the dev people are split off here.
        face_space, voice_space: the spaces of the vectors in `pairs`; the model carries them.
        config: defaults to TrainConfig().
        on_step: called with (step, max_steps, last dev AUC).

    Raises:
        InputError: too few people.
    """
    config = config or TrainConfig()
    train_pairs, dev = pairs.split(config.dev_fraction, config.seed)
    return fit(train_pairs, dev, face_space, voice_space, config, on_step)


def fit(
    pairs: Pairs,
    dev: Pairs,
    face_space: str,
    voice_space: str,
    config: TrainConfig,
    on_step: Callable[[int, int, float], None] | None = None,
) -> tuple[AssociationModel, History]:
    """As `train`, with the dev clips given.

    Raises:
        InputError: a person is on both sides.
    """
    both = set(pairs.identity) & set(dev.identity)
    if both:
        raise InputError(f"identity '{min(both)}' is in both training and dev data; split them by person")
    if len(set(dev.identity)) < 2:
        raise InputError(f"dev data: found {len(set(dev.identity))} people, expected at least 2 to compare")
    device = torch.device(config.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    torch.manual_seed(config.seed)
    rng = np.random.default_rng(config.seed)
    d_face, d_voice = pairs.faces.shape[1], pairs.voices.shape[1]
    model = AssociationModel(face_space, voice_space, d_face, d_voice, config.model).to(device)
    faces, voices = (torch.as_tensor(x, dtype=torch.float32, device=device) for x in (pairs.faces, pairs.voices))
    model.face_input.fit(faces)
    model.voice_input.fit(voices)

    def dev_auc(candidate: AssociationModel) -> float:
        return auc(all_trials(clip_scores(candidate, dev), dev.people()))

    start_as_ridge(model, pairs, dev_auc)
    model.seen = np.union1d(pairs.hashes(), dev.hashes())
    optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
    average = copy.deepcopy(model)
    history = History([0], [float("nan")], [dev_auc(model)])
    best, losses = copy.deepcopy(model), []
    batches = pairs.batches(config.batch_size, rng)
    for step in range(1, config.max_steps + 1):
        model.train()
        face_rows, voice_rows = next(batches)
        x = model.project_faces(_noisy(model.face_input(faces[face_rows]), config.feature_noise, model.face_input))
        e = model.project_voices(
            _noisy(model.voice_input(voices[voice_rows]), config.feature_noise, model.voice_input)
        )
        loss = clip_loss(x, e, model.log_scale, config.label_smoothing)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
                slow.lerp_(fast, 1 - config.average)
        losses.append(loss.item())
        if step % config.evaluate_every == 0:
            value = dev_auc(average)
            if value > history.best_dev_auc:
                history.best_step, best = step, copy.deepcopy(average)
            history.step.append(step)
            history.loss.append(float(np.mean(losses)))
            history.dev_auc.append(value)
            losses = []
            if step - history.best_step >= config.patience * config.evaluate_every:
                break
        if on_step:
            on_step(step, config.max_steps, history.dev_auc[-1])
    return best.eval(), history


def _noisy(x: Tensor, scale: float, standardize: torch.nn.Module) -> Tensor:
    """Returns standardized vectors with noise, back in their own units, for the model standardizes again."""
    return (x + scale * torch.randn_like(x)) * standardize.scale + standardize.mean


@torch.no_grad()
def start_as_ridge(model: AssociationModel, pairs: Pairs, dev_auc: Callable[[AssociationModel], float]) -> None:
    """Sets the face projection's linear path to the ridge regression of voices on faces that dev likes best."""
    device = model.log_scale.device
    # numpy's sums, for index_add on a GPU adds in no particular order and one seed would give many results.
    faces = clip_means(pairs.faces, pairs.face_clip, len(pairs))
    voices = clip_means(pairs.voices, pairs.voice_clip, len(pairs))
    x, y = (
        model.face_input(torch.as_tensor(faces, device=device)),
        model.voice_input(torch.as_tensor(voices, device=device)),
    )
    gram, cross = x.T @ x, x.T @ y
    unit = gram.diagonal().mean() * torch.eye(len(gram), device=device)
    best = -1.0
    for strength in RIDGE_STRENGTHS:
        before = model.face_projection.linear.weight.clone()
        model.face_projection.linear.weight.copy_(torch.linalg.solve(gram + strength * unit, cross).T)
        model.face_projection.linear.bias.zero_()
        value = dev_auc(model)
        if value > best:
            best = value
        else:
            model.face_projection.linear.weight.copy_(before)
