"""The training loop of all methods: AdamW, a running average of the weights, early stopping on held-out people.

The model kept is the best on those people, step 0 included. A run saves its state regularly and resumes from it with
exactly the same result: what a step draws depends on the seed and the step alone. The caller's random generators are
left as they were. Several processes (`vclip.association.distributed`) make one run.
"""

import copy
import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from pydantic import Field, model_validator
from safetensors import SafetensorError, safe_open
from safetensors.torch import load_file
from torch import Tensor, nn
from torch.optim.swa_utils import get_ema_multi_avg_fn

from vclip.association.distributed import Distributed
from vclip.association.randomness import seed_all, seeded
from vclip.checkpoint import save_tensors
from vclip.config import Seed, Settings
from vclip.device import DEVICE, DEVICES, torch_device
from vclip.errors import InputError
from vclip.files import whole_file

Quality = Callable[[nn.Module], float]
OnStep = Callable[[int, int, float], None]

WORTH = 0.002  # AUC
RANK_SEEDS = 1 << 40  # between the seeds of two ranks, so that they draw different numbers


class LoopConfig(Settings):
    """The optimisation of every method: steps, learning rate, early stopping, device."""

    max_steps: int = Field(default=3000, ge=0)
    learning_rate: float = Field(default=3e-4, gt=0)
    weight_decay: float = Field(default=0.05, ge=0)
    average: float = Field(
        default=0.95, ge=0, lt=1, description="decay per step of the running average of the weights"
    )
    evaluate_every: int = Field(default=0, ge=0, description="steps; 0: ten, or half an epoch if that is more")
    patience: int = Field(
        default=15, ge=1, description="evaluations without a better dev AUC after which training stops"
    )
    seed: Seed = 0
    device: str = Field(default="", pattern=DEVICES, description=DEVICE)
    precision: str = Field(
        default="float32", pattern="^(float32|bf16)$", description="of the matrix products in a step"
    )

    @model_validator(mode="before")
    @classmethod
    def _without_old_keys(cls, values: Any) -> Any:
        """Drops `compile`, an option of older versions, from the configurations of users."""
        return {k: v for k, v in values.items() if k != "compile"} if isinstance(values, dict) else values


@dataclass
class History:
    """The curves of a training on held-out people: by evaluation, and of its start by canonical direction."""

    step: list[int] = field(default_factory=list)
    loss: list[float] = field(default_factory=list)  # mean since the last evaluation; NaN at step 0
    dev_auc: list[float] = field(default_factory=list)
    best_step: int = 0
    directions: list[int] = field(default_factory=list)  # numbers of them; empty if the start has none
    auc_by_directions: list[float] = field(default_factory=list)  # of the start with the strongest so many alone

    @property
    def best_dev_auc(self) -> float:
        return self.dev_auc[self.step.index(self.best_step)] if self.step else 0.0

    def __str__(self) -> str:
        if not self.step:
            return "no evaluation yet"
        steps = f"{self.step[-1]} steps, {len(self.step)} evaluations"
        return f"{steps}; best dev AUC {self.best_dev_auc:.3f} at step {self.best_step}"


def mean_history(runs: Sequence[History]) -> History:
    """Returns the mean of the curves of several runs; the AUC of a run that stopped early stays at its last value.

    The best step is 0 unless another is better by WORTH: that much is the luck of a choice among many steps.
    """
    steps = max((run.step for run in runs), key=len)
    loss = [float(np.mean([run.loss[i] for run in runs if i < len(run.loss)])) for i in range(len(steps))]
    dev_auc = np.mean([_lengthened(run.dev_auc, len(steps)) for run in runs], axis=0).tolist()
    gain = max(dev_auc) - dev_auc[0]
    best_step = steps[int(np.argmax(dev_auc))] if gain >= WORTH else 0
    by_directions = np.mean([run.auc_by_directions for run in runs], axis=0).tolist()
    return History(list(steps), loss, dev_auc, best_step, list(runs[0].directions), by_directions)


def _lengthened(values: list[float], count: int) -> list[float]:
    return values + values[-1:] * (count - len(values))


def run(
    model: nn.Module,
    backward: Callable[[int], float],
    quality: Quality | None,
    config: LoopConfig,
    on_step: OnStep | None = None,
    state: Path | None = None,
    epoch: int = 1,
    data: str = "",
) -> tuple[nn.Module, History]:
    """Returns the best model, in evaluation mode, and the history.

    Args:
        model: the initialised model, on its device.
        backward: takes the number of a step (from 1 on), adds this rank's part of the gradients to the parameters,
            and returns the loss.
        quality: takes a model and returns its quality on held-out people (higher is better); None: keep the last one.
        config: steps, optimizer, averaging, early stopping.
        on_step: called with (step, max_steps, last quality).
        state: a file for the state of the run: read if it exists, written at each evaluation, deleted at the end.
        epoch: the number of steps in which every person is drawn once.
        data: a digest of the training data; a state of other data is refused.

    Raises:
        InputError: `state` is damaged, or from another run, with other data or another configuration.
    """
    with seeded(config.seed, torch_device(config.device)):
        return _run(model, backward, quality, config, on_step, state, epoch, data)


def _run(
    model: nn.Module,
    backward: Callable[[int], float],
    quality: Quality | None,
    config: LoopConfig,
    on_step: OnStep | None,
    state: Path | None,
    epoch: int,
    data: str,
) -> tuple[nn.Module, History]:
    run = _Run(model, config, data)
    if state is not None and (kept := run.group.from_first(lambda: _read(state))):
        run.load(kept, state)
    else:
        run.judge(0, float("nan"), quality)
    losses: list[float] = []
    every = config.evaluate_every or max(10, epoch // 2)
    device = torch_device(config.device)
    trainable = any(p.requires_grad for p in model.parameters())
    for step in range(run.history.step[-1] + 1, config.max_steps + 1 if trainable else 0):
        run.model.train()
        seed_all(config.seed * 1_000_003 + step + run.group.rank * RANK_SEEDS, device)
        run.optimizer.zero_grad()
        with torch.autocast(device.type, torch.bfloat16, enabled=config.precision == "bf16"):
            losses.append(backward(step))
        run.advance()
        over = False
        if step % every == 0:
            run.judge(step, float(np.mean(losses)), quality)
            losses = []
            over = bool(quality) and step - run.history.best_step >= config.patience * every
            if state is not None and run.group.first and not over:
                run.save(state)
        if on_step:
            on_step(step, config.max_steps, run.history.dev_auc[-1])
        if over:
            break
    if not quality:
        run.best = run.average  # with the steps since the last evaluation
    if state is not None and run.group.first:
        state.unlink(missing_ok=True)
    return run.best.eval(), run.history


class _Run:
    """The state of a run: the model, its running average, the best average so far, the optimizer and the history."""

    def __init__(self, model: nn.Module, config: LoopConfig, data: str):
        self.group = Distributed.here()
        self.group.share_weights(model)
        self.model, self.config, self.name = model, config, _name_of(model, config, data)
        self.average, self.best = copy.deepcopy(model), copy.deepcopy(model)
        self.optimizer = torch.optim.AdamW(model.parameters(), config.learning_rate, weight_decay=config.weight_decay)
        self._update_average = get_ema_multi_avg_fn(config.average)
        self.history = History()

    @torch.no_grad()
    def advance(self) -> None:
        self.group.sum_gradients(self.model)
        self.optimizer.step()
        average: list[Tensor] = list(self.average.parameters())
        current: list[Tensor] = list(self.model.parameters())
        self._update_average(average, current, 0)
        for mine, theirs in zip(self.average.buffers(), self.model.buffers(), strict=True):
            mine.copy_(theirs)

    def judge(self, step: int, loss: float, quality: Quality | None) -> None:
        value = self.group.from_first(lambda: quality(self.average.eval())) if quality else float("nan")
        if not quality or not self.history.dev_auc or value > self.history.best_dev_auc:
            self.history.best_step, self.best = step, copy.deepcopy(self.average)
        self.history.step.append(step)
        self.history.loss.append(loss)
        self.history.dev_auc.append(value)

    def save(self, path: Path) -> None:
        tensors = {  # copies, because safetensors refuses weights that two layers share
            f"{name}/{key}": value.detach().cpu().clone().contiguous()
            for name, module in self._modules().items()
            for key, value in module.state_dict().items()
        }
        for number, moments in self.optimizer.state_dict()["state"].items():
            tensors |= {f"optimizer/{number}/{key}": torch.as_tensor(value).cpu() for key, value in moments.items()}
        about = {"history": json.dumps(asdict(self.history)), "run": self.name}
        with whole_file(path) as draft:
            save_tensors(draft, tensors, about)

    def load(self, kept: tuple[dict[str, str], dict[str, Tensor]], path: Path) -> None:
        about, tensors = kept
        if about.get("run") != self.name:
            raise InputError(
                f"training state {path}: from another run (data or configuration); delete it to start again"
            )
        device = next(self.model.parameters()).device
        tensors = {name: value.to(device) for name, value in tensors.items()}
        for name, module in self._modules().items():
            prefix = f"{name}/"
            module.load_state_dict({k[len(prefix) :]: v for k, v in tensors.items() if k.startswith(prefix)})
        moments: dict[int, dict[str, Tensor]] = {}
        for key, value in tensors.items():
            if key.startswith("optimizer/"):
                _, number, name = key.split("/")
                moments.setdefault(int(number), {})[name] = value.cpu() if name == "step" else value
        self.optimizer.load_state_dict({**self.optimizer.state_dict(), "state": moments})
        self.history = History(**json.loads(about["history"]))

    def _modules(self) -> dict[str, nn.Module]:
        return {"model": self.model, "average": self.average, "best": self.best}


def _read(state: Path) -> tuple[dict[str, str], dict[str, Tensor]] | None:
    """Returns the metadata and tensors of a state file, or None where there is none."""
    if not state.is_file():
        return None
    try:
        with safe_open(state, "pt") as file:
            return file.metadata() or {}, load_file(state)
    except SafetensorError as error:
        raise InputError(f"training state {state}: damaged ({error}); delete it to start again") from None


def _name_of(model: nn.Module, config: LoopConfig, data: str) -> str:
    """Returns a digest of the configuration with its seed, the networks and the data: what decides the result.

    It is the same on every device. A digest of the initial weights would not be: devices round differently.
    """
    networks = [(key, list(value.shape)) for key, value in model.state_dict().items()]
    settings = config.model_dump(mode="json", exclude={"device", "max_steps"})
    return hashlib.sha256(json.dumps([settings, networks, data]).encode()).hexdigest()
