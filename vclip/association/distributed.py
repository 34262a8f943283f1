"""Several processes that train one model as one would: each embeds its share of every batch.

The loss is of the whole batch: embeddings are gathered across ranks, as CLIP does it, the gradient of each goes back
to the rank that made it, and the gradients of the weights are summed. So any number of ranks takes the same steps,
but for rounding and for what is drawn at random. Where `torch.distributed` was not set up, a process is alone.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")


@dataclass(frozen=True)
class Distributed:
    """Which process this is, and of how many."""

    number: int = 0
    count: int = 1

    @classmethod
    def here(cls) -> "Distributed":
        """Returns those that `torch.distributed` was set up with; Ray Train does that."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this process speaks for all."""
        return self.number == 0

    def share(self, size: int) -> slice:
        """Returns the rows of a batch of this size that are this rank's."""
        return slice(size * self.number // self.count, size * (self.number + 1) // self.count)

    def gathered(self, mine: Tensor, size: int) -> Tensor:
        """Returns the rows (size, ...) of all ranks' shares, without a graph."""
        if self.count == 1:
            return mine.detach()
        whole = mine.new_zeros(size, *mine.shape[1:])
        whole[self.share(size)] = mine.detach()
        dist.all_reduce(whole)  # the others' rows are zeros here, and shares may differ by a row
        return whole

    def sum_gradients(self, model: nn.Module) -> None:
        """Makes the gradients of all weights the sum of all ranks'."""
        if self.count == 1:
            return
        weights = [p for p in model.parameters() if p.requires_grad]
        sums = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in weights])
        dist.all_reduce(sums)
        for weight, total in zip(weights, sums.split([p.numel() for p in weights]), strict=True):
            weight.grad = total.view_as(weight)

    def share_weights(self, model: nn.Module) -> None:
        """Gives all ranks the first one's weights and buffers."""
        if self.count > 1:
            for tensor in model.state_dict().values():
                dist.broadcast(tensor, 0)

    def first_says(self, value: Callable[[], T]) -> T:
        """Returns on all ranks what the first one finds; the others do not look."""
        if self.count == 1:
            return value()
        found = [value() if self.first else None]
        dist.broadcast_object_list(found, 0)
        return found[0]
