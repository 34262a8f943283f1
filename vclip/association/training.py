"""Training of the association model: vectors in memory, a contrastive loss, early stopping on held-out people.

Both projections start as closed-form linear maps, whose shrinkage is chosen by cross-validation over the training
people. The shrinkage measures how much data is missing, so it also scales noise, dropout and label smoothing: to full
strength on hundreds of pairs, to almost none on a million.

With few people, nobody is held out in the end: the number of steps is found on folds, and the model is then trained
on everybody for that many steps. As soon as the folds so far say that no step helps, no further one is made. The
held-out people also calibrate the cosines (`calibration`). A step reads no disk. One seed gives one result on one
device, and the caller's random generators are left as they were. Every part can be switched off, which gives the
paper's recipe as printed and its ablations (configs/).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, cast

import numpy as np
import torch
from pydantic import Field
from torch import Tensor

from vclip.association.base import Standardize
from vclip.association.directions import auc_by_directions
from vclip.association.distributed import Distributed
from vclip.association.grad_cache import backward
from vclip.association.held_out import DEV_CLIPS, check_data, dev_auc, hashes_of_both, trials_of
from vclip.association.linear_start import LinearStart, set_temperature
from vclip.association.loop import History, LoopConfig, OnStep, mean_history, run
from vclip.association.losses import LOSSES, Loss
from vclip.association.metrics import ScoredTrials
from vclip.association.model import AssociationConfig, AssociationModel
from vclip.association.pairs import Pairs, digest_of
from vclip.association.randomness import seeded
from vclip.association.training_batches import Batches
from vclip.device import torch_device, with_float64
from vclip.errors import InputError
from vclip.threads import with_threads_for

FOLDS = 5
START_CLIPS = 100_000  # more do not change a covariance


class TrainConfig(LoopConfig):
    """How the association model is trained."""

    model: AssociationConfig = AssociationConfig()
    learning_rate: float = Field(
        default=1e-3, gt=0, description="of the trained weights; the linear paths are not trained"
    )
    start: str = Field(
        default="likelihood",
        pattern="^(likelihood|cca|ridge|random)$",
        description="initial linear paths: a closed form (likelihood: also of the score), or random weights",
    )
    loss: str = Field(default="clip", description="clip (contrastive), sge2e (supervised GE2E), or a spec")
    batch_size: int = Field(default=1024, ge=2, description="people in a batch; all of them if there are fewer")
    views: int = Field(default=1, ge=1, description="faces and voices per person in a batch; the loss clip takes one")
    chunk: int = Field(
        default=0, ge=0, description="rows embedded at a time, with the same gradients; 0: the whole batch"
    )
    feature_noise: float = Field(
        default=1.2, ge=0, description="standard deviation of noise on the standardised vectors, at full shrinkage"
    )
    label_smoothing: float = Field(default=0.13, ge=0, lt=1, description="at full shrinkage")
    dev_fraction: float = Field(
        default=0.15, gt=0, lt=1, description="share of the people held out for early stopping"
    )
    dev_people: int = Field(default=2000, ge=2, description="most people held out")
    cross_fit_below: int = Field(
        default=3000,
        ge=0,
        description="with fewer people, the number of steps is found on folds and the model trained on everybody",
    )


@with_threads_for("pairs")
def train(
    pairs: Pairs,
    face_space: str,
    voice_space: str,
    config: TrainConfig | None = None,
    on_step: OnStep | None = None,
    state: Path | None = None,
    fit_one: Callable[..., tuple[Any, History]] | None = None,
) -> tuple[Any, History]:
    """Returns the model with the best dev AUC and the history; with few people, the mean history over folds.

    Args:
        pairs: clips of at least four people; the dev people are split off here.
        face_space: the space of the faces in `pairs`, which the model records.
        voice_space: the space of the voices in `pairs`, which the model records.
        config: TrainConfig() if None.
        on_step: called with (steps made, steps at most, last dev AUC); with folds, the steps of all fits are counted,
            and what early stopping saves is taken off the most. A closed form, which makes no step, is counted by
            calls: one for each fit.
        state: a file from which an interrupted run resumes, see `loop.run`; not used with folds.
        fit_one: the `fit` of another method; `fit` if None.

    Raises:
        InputError: too few people; or as `fit`.
    """
    config, fit_one = config or TrainConfig(), fit_one or fit
    spaces = face_space, voice_space
    folds = folds_of(pairs, config)
    if not folds:
        held_out = pairs.held_out(config.dev_fraction, config.seed, config.dev_people)
        dev = pairs.select(held_out)
        if fit_one is fit:  # a million pairs are not copied
            model, history = fit(pairs, dev, *spaces, config, on_step, state, among=~held_out)
        else:
            model, history = fit_one(pairs.select(~held_out), dev, *spaces, config, on_step, state)
        _calibrate(model, [trials_of(model, dev.at_most(DEV_CLIPS, config.seed))], config.seed)
        if on_step and not config.max_steps:
            on_step(0, 0, history.best_dev_auc)
        return model, history
    fold, runs, trials, settings, made = pairs.folds(folds, config.seed), [], [], config, 0
    for number in range(folds):
        sides = pairs.select(fold != number), pairs.select(fold == number)
        most = made + (folds + 1 - number) * settings.max_steps
        model, run = fit_one(*sides, *spaces, settings, _shifted(on_step, made, most))
        trials.append(trials_of(model, sides[1]))
        runs.append(run)
        made += run.step[-1]
        if on_step and not config.max_steps:
            on_step(0, 0, run.best_dev_auc)
        if not mean_history(runs).best_step:
            settings = config.model_copy(update={"max_steps": 0})
    history = mean_history(runs)
    whole, made = config.model_copy(update={"max_steps": history.best_step}), made + history.best_step
    model, _ = fit_one(pairs, None, *spaces, whole)
    _calibrate(model, trials, config.seed)
    if on_step:
        on_step(made, made, history.best_dev_auc)
    return model, history


def folds_of(pairs: Pairs, config: TrainConfig) -> int:
    """Returns for how many folds of two people or more `train` fits a model before the one of all people, 0 for none.

    With many people there is none: some are held out instead.
    """
    people = len(set(pairs.identity))
    return min(FOLDS, people // 2) if 4 <= people < config.cross_fit_below else 0


def _calibrate(model: Any, trials: Sequence[ScoredTrials], seed: int) -> None:
    """Calibrates a model that can be calibrated; see `TwoSidedModel.calibrate`."""
    if hasattr(model, "calibrate"):
        model.calibrate(trials, seed)


def _shifted(on_step: OnStep | None, by: int, total: int) -> OnStep | None:
    return on_step and (lambda step, _, value: on_step(by + step, total, value))


@with_threads_for("pairs")
def fit(
    pairs: Pairs,
    dev: Pairs | None,
    face_space: str,
    voice_space: str,
    config: TrainConfig,
    on_step: OnStep | None = None,
    state: Path | None = None,
    among: np.ndarray | None = None,
) -> tuple[AssociationModel, History]:
    """Returns the model trained on one split, and the history.

    Args:
        pairs: the training clips.
        dev: the clips for early stopping; if None, all steps are made and the last model is kept.
        face_space, voice_space, config, on_step, state: as of `train`.
        among: which clips (C,) bool of `pairs` to train on, with all clips of each person; all if None.

    Raises:
        InputError: a vector cannot be used, a person is in both, or the configuration contradicts itself.
    """
    check_data(pairs, dev, among)
    loss = LOSSES.open(config.loss)
    if config.views > 1 and not loss.several_views:
        raise InputError(
            f"train.views = {config.views}: the loss '{config.loss}' takes one view; set train.loss=sge2e for more"
        )
    if config.start != "random" and not config.model.linear:
        raise InputError(
            f"train.start = '{config.start}' needs train.model.linear=true; without it set train.start=random"
        )
    with seeded(config.seed, torch_device(config.device)):
        return _fit(pairs, dev, face_space, voice_space, config, loss, on_step, state, among)


def _fit(
    pairs: Pairs,
    dev: Pairs | None,
    face_space: str,
    voice_space: str,
    config: TrainConfig,
    loss: Loss,
    on_step: OnStep | None,
    state: Path | None,
    among: np.ndarray | None,
) -> tuple[AssociationModel, History]:
    device, group = torch_device(config.device), Distributed.here()
    batches = Batches(pairs, config.batch_size, config.seed, config.views, among)
    if batches.size < group.world_size:
        raise InputError(f"a batch of {batches.size} people cannot be shared by {group.world_size} processes")
    known = pairs.at_most(START_CLIPS, config.seed, among)
    inputs = _standardized(known, device)
    start = None if config.start == "random" else LinearStart.of(config.start, *inputs, known, config.seed)
    regularisation = Regularisation.of(config, 1.0 if start is None else start.shrinkage)
    sizes = pairs.faces.shape[1], pairs.voices.shape[1]
    seen = hashes_of_both(pairs, dev)
    score = "cosine" if start is None else start.maps.score
    model = AssociationModel(face_space, voice_space, *sizes, config.model, seen, regularisation.dropout, score)
    model = model.to(device)
    for mine, fitted in zip((model.face_input, model.voice_input), inputs, strict=True):
        mine.load_state_dict(fitted.state_dict())
    if start is not None:
        start.put_into(model, known)
        set_temperature(model, known, config.seed)
    faces, voices = (torch.as_tensor(x, dtype=torch.float32, device=device) for x in (pairs.faces, pairs.voices))
    noisy = [_Noisy(regularisation.feature_noise, put_in) for put_in in (model.face_input, model.voice_input)]

    def step(number: int) -> float:
        drawn = batches.at(number)
        rows = [torch.as_tensor(r, device=device) for r in drawn]
        doubtful = None
        if not loss.several_views:
            rows = [r.flatten() for r in rows]
            doubts = pairs.doubts_among(pairs.face_clip[drawn[0].ravel()])
            doubtful = None if doubts is None else torch.as_tensor(doubts, device=device)
        return backward(
            lambda x, e: loss.compute(x, e, model.log_scale, regularisation.label_smoothing, doubtful),
            [
                lambda r: model.project_faces(noisy[0](faces[r])),
                lambda r: model.project_voices(noisy[1](voices[r])),
            ],
            rows,
            config.chunk,
            group,
        )

    quality = None if dev is None else partial(dev_auc, dev=dev.at_most(DEV_CLIPS, config.seed))
    data = digest_of(pairs, dev, among) if state else ""
    by_directions = ([], []) if start is None or dev is None else auc_by_directions(start, model, known, dev)
    best, history = run(model, step, quality, config, on_step, state, batches.epoch, data)
    history.directions, history.auc_by_directions = by_directions
    return cast(AssociationModel, best), history


def _standardized(pairs: Pairs, device: torch.device) -> tuple[Standardize, Standardize]:
    """Returns the input layers of faces and voices, fitted to the vectors of `pairs`, which takes float64."""
    layers, exact = [], with_float64(device)
    for vectors in (pairs.faces, pairs.voices):
        layer = Standardize(vectors.shape[1]).to(exact)
        layer.fit(torch.as_tensor(vectors, dtype=torch.float32, device=exact))
        layers.append(layer.to(device))
    return layers[0], layers[1]


@dataclass(frozen=True)
class Regularisation:
    """The strength of the regularisation in a run."""

    feature_noise: float
    label_smoothing: float
    dropout: float

    @classmethod
    def of(cls, config: TrainConfig, shrinkage: float) -> "Regularisation":
        """Returns the regularisation of a configuration, scaled by the shrinkage, 0..1, of the linear start."""
        return cls(
            config.feature_noise * shrinkage**0.5,
            config.label_smoothing * shrinkage,
            config.model.dropout * shrinkage,
        )


class _Noisy:
    """Adds Gaussian noise to vectors; the scale is in standard deviations of the standardised vectors."""

    def __init__(self, scale: float, standardize: Standardize):
        self.scale, self.standardize = scale, standardize

    def __call__(self, x: Tensor) -> Tensor:
        return x + self.scale * self.standardize.scale * torch.randn_like(x) if self.scale else x
