"""Training of the association model: vectors in memory, a contrastive loss, early stopping on the AUC of strangers.

Notable: both projections start as linear maps in closed form, whose shrinkage is chosen by cross-validation over the
training people. It says how far the data is from enough, so noise, dropout and label smoothing go by it too: full on
hundreds of pairs, next to nothing on a million.

Where people are few, nobody is held out for good: how long to train is found on folds, and the model is then trained
on everybody for as long. The people held out also say what a cosine is worth (`calibration`). A step reads no disk,
and one seed gives one result on one device. Every part can be switched off, which gives the paper's recipe as printed
and its ablations (configs/).
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field
from torch import Tensor, nn

from vclip.association import linear
from vclip.association.base import Association
from vclip.association.calibration import ScoreCalibration
from vclip.association.distributed import Distributed
from vclip.association.evaluation import clip_scores
from vclip.association.grad_cache import backward
from vclip.association.loop import Batches, History, LoopConfig, OnStep, device_of, mean_history, run
from vclip.association.losses import LOSSES, clip_loss
from vclip.association.metrics import ScoredTrials, all_trials, auc
from vclip.association.model import AssociationConfig, AssociationModel
from vclip.association.pairs import Pairs, clip_means
from vclip.errors import InputError

FOLDS = 5
START_CLIPS = 100_000  # more say nothing new about a covariance
SCALE_CLIPS = 1024
LOG_SCALES = tuple(np.linspace(0, 5, 51).tolist())
DEV_CLIPS = 4000  # all faces with all voices, every few steps


class TrainConfig(LoopConfig):
    """How the association model is trained."""

    model: AssociationConfig = AssociationConfig()
    learning_rate: float = Field(1e-3, gt=0, description="the linear paths stay as they start, the rest learns fast")
    start: str = Field(
        "gaussian",
        pattern="^(gaussian|cca|ridge|random)$",
        description="of the linear paths: closed forms, or random weights",
    )
    loss: str = Field("clip", description="clip (contrastive), sge2e (supervised GE2E), or another by its spec")
    batch_size: int = Field(1024, ge=2, description="people in a batch; all of them where there are fewer")
    views: int = Field(1, ge=1, description="faces and voices of each person in a batch; CLIP's loss takes one")
    chunk: int = Field(0, ge=0, description="rows embedded at a time, with the same gradients; 0: the whole batch")
    feature_noise: float = Field(
        1.2, ge=0, description="standard deviation, in that of the standardized vectors; at full shrinkage"
    )
    label_smoothing: float = Field(0.13, ge=0, lt=1, description="at full shrinkage, as dropout")
    compile: bool = Field(False, description="the networks by torch.compile; needs a C++ compiler")
    dev_fraction: float = Field(0.15, gt=0, lt=1, description="of the people, held out to know when to stop")
    dev_people: int = Field(2000, ge=2, description="of them, at most")
    cross_fit_below: int = Field(
        3000, ge=0, description="with fewer people, folds of them say when to stop, and then all are trained on"
    )


def train(
    pairs: Pairs,
    face_space: str,
    voice_space: str,
    config: TrainConfig | None = None,
    on_step: OnStep | None = None,
    state: Path | None = None,
    fit_one: Callable[..., tuple[Any, History]] | None = None,
) -> tuple[Any, History]:
    """Returns the model of the best dev AUC, and the history; with few people, the mean over folds of them.

    Args:
        pairs: clips of at least four people; the dev people are split off here.
        face_space, voice_space: the spaces of the vectors in `pairs`; the model carries them.
        config: defaults to TrainConfig().
        on_step: called with (step, max_steps, last dev AUC); with folds, steps of all of them.
        state: a file that the run goes on from where it was interrupted, see `loop.run`; not with folds.
        fit_one: `fit` of another method.

    Raises:
        InputError: too few people.
    """
    config, fit_one = config or TrainConfig(), fit_one or fit
    spaces = face_space, voice_space
    if not 2 * FOLDS <= len(set(pairs.identity)) < config.cross_fit_below:
        held_out = pairs.held_out(config.dev_fraction, config.seed, config.dev_people)
        dev = pairs.select(held_out)
        if fit_one is fit:  # a million pairs are not copied
            model, history = fit(pairs, dev, *spaces, config, on_step, state, among=~held_out)
        else:
            model, history = fit_one(pairs.select(~held_out), dev, *spaces, config, on_step, state)
        model.calibration = ScoreCalibration.fit(
            [trials_of(model, some_clips(dev, DEV_CLIPS, config.seed))], config.seed
        )
        return model, history
    fold, runs, trials = pairs.folds(FOLDS, config.seed), [], []
    total = (FOLDS + 1) * config.max_steps
    for number in range(FOLDS if config.max_steps else 1):
        sides = pairs.select(fold != number), pairs.select(fold == number)
        model, run = fit_one(*sides, *spaces, config, _shifted(on_step, number * config.max_steps, total))
        trials.append(trials_of(model, sides[1]))
        runs.append(run)
    history = mean_history(runs)
    whole = config.model_copy(update={"max_steps": history.best_step})
    model, _ = fit_one(pairs, None, *spaces, whole)
    model.calibration = ScoreCalibration.fit(trials, config.seed)
    if on_step:
        on_step(total, total, history.best_dev_auc)
    return model, history


def trials_of(model: Association, dev: Pairs) -> ScoredTrials:
    """Returns the trials of all faces with all voices of people held out."""
    return all_trials(clip_scores(model, dev), dev.people())


def _shifted(on_step: OnStep | None, by: int, total: int) -> OnStep | None:
    return on_step and (lambda step, _, value: on_step(by + step, total, value))


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
    """As `train`, with the dev clips given; with none all steps are made, and the last model is kept.

    Args:
        among: clips (C,) bool of `pairs` that are trained on, whole people; all if None.

    Raises:
        InputError: a person is on both sides, or the configuration contradicts itself.
    """
    if dev is not None:
        check_apart(pairs, dev, among)
    loss = LOSSES.open(config.loss)
    if config.views > 1 and not loss.several_views:
        raise InputError(
            f"train.views = {config.views}: the loss '{config.loss}' takes one; more are for train.loss=sge2e"
        )
    if config.start != "random" and not config.model.linear:
        raise InputError(f"train.start = '{config.start}' needs train.model.linear; without it start=random")
    device = device_of(config)
    torch.manual_seed(config.seed)
    d_face, d_voice = pairs.faces.shape[1], pairs.voices.shape[1]
    model = AssociationModel(face_space, voice_space, d_face, d_voice, config.model).to(device)
    faces, voices = (torch.as_tensor(x, dtype=torch.float32, device=device) for x in (pairs.faces, pairs.voices))
    known = some_clips(pairs, START_CLIPS, config.seed, among)
    model.face_input.fit(torch.as_tensor(known.faces, dtype=torch.float32, device=device))
    model.voice_input.fit(torch.as_tensor(known.voices, dtype=torch.float32, device=device))
    model.seen = pairs.hashes() if dev is None else np.union1d(pairs.hashes(), dev.hashes())
    need = start(model, known, config) if config.start != "random" else 1.0
    regularisation = Regularisation.of(config, need)
    for module in model.modules():
        if isinstance(module, nn.Dropout):
            module.p = regularisation.dropout
    batches, ranks = Batches(pairs, config.batch_size, config.seed, config.views, among), Distributed.here()
    if batches.size < ranks.count:
        raise InputError(f"a batch of {batches.size} people cannot be shared by {ranks.count} processes")
    projects = [torch.compile(p) if config.compile else p for p in (model.project_faces, model.project_voices)]

    def step(number: int) -> float:
        drawn = batches.at(number)
        rows = (torch.as_tensor(r, device=device) for r in drawn)
        doubtful = None
        if not loss.several_views:
            rows = (r.flatten() for r in rows)
            doubts = pairs.doubts_among(pairs.face_clip[drawn[0].ravel()])
            doubtful = None if doubts is None else torch.as_tensor(doubts, device=device)
        noisy = (_Noisy(regularisation.feature_noise, put_in) for put_in in (model.face_input, model.voice_input))
        return backward(
            lambda x, e: loss.compute(x, e, model.log_scale, regularisation.label_smoothing, doubtful),
            [
                lambda r, noise=noise, of=of, project=project: project(noise(of[r]))
                for noise, of, project in zip(noisy, (faces, voices), projects, strict=True)
            ],
            list(rows),
            config.chunk,
            ranks,
        )

    quality = None if dev is None else partial(dev_auc, dev=some_clips(dev, DEV_CLIPS, config.seed))
    return run(model, step, quality, config, on_step, state, batches.epoch)


@dataclass(frozen=True)
class Regularisation:
    """What keeps training from learning the training people by heart."""

    feature_noise: float
    label_smoothing: float
    dropout: float

    @classmethod
    def of(cls, config: TrainConfig, need: float) -> "Regularisation":
        """Returns that of a configuration where the need, 0..1, is the shrinkage that strangers like best."""
        return cls(config.feature_noise * need**0.5, config.label_smoothing * need, config.model.dropout * need)


def check_apart(pairs: Pairs, dev: Pairs, among: np.ndarray | None = None) -> None:
    """Raises InputError where a person is in both, or the dev people are too few to compare."""
    both = set(pairs.identity if among is None else pairs.identity[among]) & set(dev.identity)
    if both:
        raise InputError(f"identity '{min(both)}' is in both training and dev data; split them by person")
    if len(set(dev.identity)) < 2:
        raise InputError(f"dev data: found {len(set(dev.identity))} people, expected at least 2 to compare")


def some_clips(pairs: Pairs, most: int, seed: int, among: np.ndarray | None = None) -> Pairs:
    """Returns at most so many clips, drawn at random, of those among which they may be."""
    if among is None and len(pairs) <= most:
        return pairs
    rows = np.arange(len(pairs)) if among is None else np.flatnonzero(among)
    chosen = np.zeros(len(pairs), bool)
    chosen[np.random.default_rng(seed).permutation(rows)[:most]] = True
    return pairs.select(chosen)


def dev_auc(model: nn.Module, dev: Pairs) -> float:
    """Returns the verification AUC of a model on clips."""
    return auc(trials_of(model, dev))


@torch.no_grad()
def start(model: AssociationModel, pairs: Pairs, config: TrainConfig) -> float:
    """Sets the linear paths to closed-form maps; returns the shrinkage that was chosen, of a ridge 1."""
    device = model.log_scale.device
    # numpy's sums, for index_add on a GPU adds in no particular order and one seed would give many results.
    x, y = (
        put_in(torch.as_tensor(clip_means(views, clip, len(pairs)), device=device))
        for put_in, views, clip in (
            (model.face_input, pairs.faces, pairs.face_clip),
            (model.voice_input, pairs.voices, pairs.voice_clip),
        )
    )
    need, maps = linear.fit(config.start, x, y, pairs.people(), config.seed)
    for path, matrix, rows in (
        (model.face_projection.linear, maps.face, x),
        (model.voice_projection.linear, maps.voice, y),
    ):
        path.weight.copy_(matrix.T)
        path.bias.copy_(maps.offset - rows.double().mean(0) @ matrix)
        path.requires_grad_(False)
    model.log_scale.copy_(_best_log_scale(model, pairs, config.seed))
    return need


def _best_log_scale(model: AssociationModel, pairs: Pairs, seed: int) -> float:
    """Returns the logarithm of the inverse temperature that suits the start best."""
    some, device = some_clips(pairs, SCALE_CLIPS, seed), model.log_scale.device
    faces, voices = (
        torch.as_tensor(clip_means(rows, clip, len(some)), device=device)
        for rows, clip in ((some.faces, some.face_clip), (some.voices, some.voice_clip))
    )
    sides = model.eval().project_faces(faces), model.project_voices(voices)
    return min(LOG_SCALES, key=lambda value: float(clip_loss(*sides, torch.tensor(value, device=device))))


class _Noisy:
    """Adds noise to vectors in units of their standardized form."""

    def __init__(self, scale: float, standardize: nn.Module):
        self.scale, self.standardize = scale, standardize

    def __call__(self, x: Tensor) -> Tensor:
        return x + self.scale * self.standardize.scale * torch.randn_like(x) if self.scale else x
