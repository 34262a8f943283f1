"""The controls of a voice for a speaker embedding, for backends that can predict the embedding from the controls.

A regression from embeddings to controls, learned on synthetic voices, would have to extrapolate to real people.
Instead, a small network learns which embedding given controls yield (`VoiceModel`), and gradient ascent finds the
controls whose embedding has the highest cosine with the requested one (`nearest`).
"""

from collections.abc import Callable, Sequence
from typing import Any

import torch
from scipy.stats import qmc
from torch import Tensor, nn

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
