"""Distributed training: several processes train one model, each embedding its share of every batch.

The loss is over the whole batch: embeddings are gathered from all ranks, as in CLIP, the gradient of each embedding
goes back to its rank, and the gradients of the weights are summed. So the steps are the same for any number of ranks,
up to rounding and random noise. Without `torch.distributed` there is one rank.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

T = TypeVar("T")


@dataclass(frozen=True)
class Distributed:
    """The place of this process in a distributed run.

    Args:
        rank: the number of this process, from 0 on.
        world_size: the number of processes.
    """

    rank: int = 0
    world_size: int = 1

    @classmethod
    def here(cls) -> "Distributed":
        """Returns the place of this process in `torch.distributed`; without it, that of the only process."""
        if not (dist.is_available() and dist.is_initialized()):
            return cls()
        return cls(dist.get_rank(), dist.get_world_size())

    @property
    def first(self) -> bool:
        """Whether this is rank 0, which evaluates, writes and reports."""
        return self.rank == 0

    def share(self, size: int) -> slice:
        """Returns this rank's rows of a batch of `size` rows."""
        return slice(size * self.rank // self.world_size, size * (self.rank + 1) // self.world_size)

    def gathered(self, mine: Tensor, size: int) -> Tensor:
        """Returns the rows (size, ...) of all ranks, given this rank's share; detached from the graph."""
        if self.world_size == 1:
            return mine.detach()
        whole = mine.new_zeros(size, *mine.shape[1:])
        whole[self.share(size)] = mine.detach()
        dist.all_reduce(whole)  # the others' rows are zeros here, and shares may differ by a row
        return whole

    def sum_gradients(self, model: nn.Module) -> None:
        """Replaces the gradients of all weights by their sums over the ranks."""
        if self.world_size == 1:
            return
        weights = [p for p in model.parameters() if p.requires_grad]
        sums = torch.cat([(torch.zeros_like(p) if p.grad is None else p.grad).flatten() for p in weights])
        dist.all_reduce(sums)
        for weight, total in zip(weights, sums.split([p.numel() for p in weights]), strict=True):
            weight.grad = total.view_as(weight)

    def share_weights(self, model: nn.Module) -> None:
        """Copies the weights and buffers of rank 0 to all ranks."""
        if self.world_size > 1:
            for tensor in model.state_dict().values():
                dist.broadcast(tensor, 0)

    def from_first(self, value: Callable[[], T]) -> T:
        """Returns on all ranks the value that `value` returns on rank 0; other ranks do not call it."""
        if self.world_size == 1:
            return value()
        found = [value() if self.first else None]
        dist.broadcast_object_list(found, 0)
        return cast(T, found[0])
