"""The controls of a voice for a speaker embedding, for backends that can predict the embedding from the controls.

A regression from embeddings to controls, learned on synthetic voices, would have to extrapolate to real people.
Instead, a small network learns which embedding given controls yield (`VoiceModel`), and gradient ascent finds the
controls whose embedding has the highest cosine with the requested one (`nearest`).
"""

import hashlib
import json
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from typing import Any, Generic, TypeVar

import numpy as np
import safetensors.torch
import torch
from scipy.stats import qmc
from torch import Tensor, nn

Controls = TypeVar("Controls")

HIDDEN = 256
STEP_SIZE = 0.4  # in logits of the unit cube


class VoiceModel(nn.Module):
    """A network from controls on the unit cube to the GE2E embedding of their voice."""

    def __init__(self, n_controls: int, dim: int = 256):
        super().__init__()
        self.layers = nn.Sequential(
            *(nn.Linear(n_controls, HIDDEN), nn.SiLU()),
            *(nn.Linear(HIDDEN, HIDDEN), nn.SiLU()),
            *(nn.Linear(HIDDEN, HIDDEN), nn.SiLU()),
            nn.Linear(HIDDEN, dim),
        )

    def forward(self, unit: Tensor) -> Tensor:
        """Returns embeddings (..., dim), unit norm, >= 0, of controls (..., n_controls) from 0 to 1."""
        return nn.functional.normalize(torch.relu(self.layers(2 * unit - 1)), dim=-1)


def sobol(dimensions: int, seed: int) -> qmc.Sobol:
    """Returns a scrambled Sobol sequence. scipy 1.15 renamed `seed` to `rng`, which draws other points."""
    options: dict[str, Any] = {"seed": seed}
    return qmc.Sobol(dimensions, **options)


def nearest(
    model: nn.Module,
    requested: Tensor,
    guesses: Tensor,
    embeddings: Tensor,
    *,
    climbers: int,
    steps: int,
    cost: Callable[[Tensor], Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """Returns the controls whose embeddings are nearest to those requested, and these embeddings.

    Args:
        model: predicts embeddings (..., dim), unit norm, of controls (..., n_controls) from 0 to 1.
        requested: (n, dim), unit norm.
        guesses: (G, n_controls) controls between 0 and 1, from the best of which the climbers start.
        embeddings: (G, dim), those of the guesses.
        climbers: the number of climbers for each embedding.
        steps: the number of steps of each.
        cost: from controls (n, k, n_controls) to what to subtract from the cosine (n, k).

    Returns:
        controls (n, n_controls) from 0 to 1, and embeddings (n, dim).
    """

    def value(unit: Tensor) -> Tensor:
        cosine = (model(unit) * requested[:, None]).sum(-1)
        return cosine - cost(unit) if cost else cosine

    worth = requested @ embeddings.T
    if cost:
        worth = worth - cost(guesses.expand(len(requested), -1, -1))
    best = worth.topk(climbers, dim=1).indices
    logits = torch.logit(guesses[best]).requires_grad_(True)  # (n, climbers, n_controls)
    optimizer = torch.optim.Adam([logits], lr=STEP_SIZE)
    for step in range(steps):
        optimizer.param_groups[0]["lr"] = STEP_SIZE * (1 - step / steps)
        (gradient,) = torch.autograd.grad(-value(logits.sigmoid()).sum(), logits)
        logits.grad = gradient
        optimizer.step()
    unit = logits.detach().sigmoid()
    rows, highest = torch.arange(len(requested)), value(unit).argmax(1)
    return unit[rows, highest], model(unit)[rows, highest]


class Committee(nn.Module):
    """The mean of several models of the voice, each fitted from another start; it errs less than one alone."""

    def __init__(self, models: Sequence[VoiceModel]):
        super().__init__()
        self.models = nn.ModuleList(models)

    def forward(self, unit: Tensor) -> Tensor:
        """Returns embeddings (..., dim), unit norm, >= 0, of controls (..., n_controls) from 0 to 1."""
        return nn.functional.normalize(torch.stack([model(unit) for model in self.models]).sum(0), dim=-1)


class InverseMap(ABC, Generic[Controls]):
    """A fitted model of the voice of a backend, inverted by gradient ascent.

    Attributes:
        model: predicts embeddings of controls on the unit cube.
        climbers, steps: of the ascent, as in `nearest`.
        at_once: the number of embeddings that are inverted together.
        constants: the other numbers that determine the voice.
    """

    climbers: int
    steps: int
    at_once: int
    constants: Sequence[float] = ()

    def __init__(self, model: nn.Module, ranges: Mapping[str, tuple[float, float]], guesses: Tensor):
        self.model = model.eval().requires_grad_(False)
        self._ranges, self._guesses = ranges, guesses
        self._embeddings = self.model(guesses)

    @staticmethod
    @abstractmethod
    def to_unit(controls: Controls) -> np.ndarray:
        """Returns controls as a point (n_controls,) of the unit cube."""

    @staticmethod
    @abstractmethod
    def from_unit(unit: np.ndarray) -> Controls:
        """Returns the controls of a point (n_controls,) of the unit cube."""

    @abstractmethod
    def tensors(self) -> dict[str, Tensor]:
        """Returns all tensors that determine the voice for an embedding."""

    def aim(self, requested: Tensor) -> Tensor:
        """Returns the embeddings (n, dim), unit norm, to which the cosine is taken; here those that are requested."""
        return requested

    def cost(self, requested: Tensor) -> Callable[[Tensor], Tensor] | None:
        """Returns what to subtract from the cosine with embeddings (n, dim), as in `nearest`; here nothing."""
        return None

    @property
    def dim(self) -> int:
        return self._embeddings.shape[1]

    @cached_property
    def sha256(self) -> str:
        """The hash of all tensors and numbers that determine the voice for an embedding."""
        tensors = safetensors.torch.save(self.tensors())
        return hashlib.sha256(tensors + json.dumps([self._ranges, *self.constants]).encode()).hexdigest()

    def embeddings(self, controls: Sequence[Controls]) -> np.ndarray:
        """Returns the predicted embeddings (n, dim) float32, unit norm, >= 0, of n voices."""
        units = np.array([self.to_unit(c) for c in controls]).reshape(-1, len(self._ranges))
        return self.model(torch.from_numpy(units).float()).numpy()

    def controls(self, embedding: np.ndarray) -> Controls:
        """Returns the controls whose voice is nearest to an embedding (dim,) of the calibration's space."""
        unit, _ = self._nearest(torch.from_numpy(np.array(embedding, dtype=np.float32))[None])
        return self.from_unit(unit[0].numpy())

    def predict_voices(self, embeddings: np.ndarray) -> np.ndarray:
        """Returns the predicted embeddings (n, dim) float32 of the voices nearest to embeddings (n, dim)."""
        requested = torch.from_numpy(np.array(embeddings, dtype=np.float32))
        return torch.cat([self._nearest(some)[1] for some in requested.split(self.at_once)]).numpy()

    def _nearest(self, requested: Tensor) -> tuple[Tensor, Tensor]:
        """Returns the nearest controls (n, n_controls) on the unit cube, and their predicted embeddings (n, dim)."""
        return nearest(
            self.model, self.aim(requested), self._guesses, self._embeddings,
            climbers=self.climbers, steps=self.steps, cost=self.cost(requested),
        )  # fmt: skip
