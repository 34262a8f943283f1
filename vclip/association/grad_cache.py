"""Exact gradients of a contrastive loss over batches of any size, in bounded memory (Gao et al., 2021, "GradCache").

The loss needs the embeddings of the whole batch at once, the networks do not: first all rows are embedded without a
graph, then the loss gives the gradient of each embedding, and then the rows are embedded again, part by part, each
with its share of that gradient.
"""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

Embed = Callable[[Tensor], Tensor]


def backward(
    loss: Callable[[Tensor, Tensor], Tensor], embeds: Sequence[Embed], rows: Sequence[Tensor], chunk: int = 0
) -> float:
    """Leaves the gradients of `loss(embeds[0](rows[0]), embeds[1](rows[1]))` in all parameters; returns the loss.

    Args:
        loss: of the embeddings of both sides.
        embeds: the networks; what they draw at random is drawn alike both times.
        rows: what each embeds, (batch, ...).
        chunk: rows that are embedded at a time; 0 embeds all at once.
    """
    if not chunk or chunk >= max(map(len, rows)):
        value = loss(*(embed(x) for embed, x in zip(embeds, rows, strict=True)))
        value.backward()
        return float(value.detach())
    embedded, states = [], []
    with torch.no_grad():
        for embed, x in zip(embeds, rows, strict=True):
            parts = []
            for part in x.split(chunk):
                states.append(_random_state(part.device))
                parts.append(embed(part))
            embedded.append(torch.cat(parts).requires_grad_())
    value = loss(*embedded)
    value.backward()
    remembered = iter(states)
    for embed, x, whole in zip(embeds, rows, embedded, strict=True):
        for part, gradient in zip(x.split(chunk), whole.grad.split(chunk), strict=True):
            after = _random_state(part.device)
            _set_random_state(next(remembered), part.device)
            embed(part).backward(gradient)
            _set_random_state(after, part.device)
    return float(value.detach())


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_random_state(state: Tensor, device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
