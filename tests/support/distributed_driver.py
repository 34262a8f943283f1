"""One of several processes that train together: `rank_driver.py NUMBER COUNT FOLDER`, started by test_ranks.py."""

import sys
from pathlib import Path

import numpy as np
import torch
import torch.distributed as dist

from tests.support.distributed_world import RUNS, interrupted, trained

if __name__ == "__main__":
    number, count, folder = int(sys.argv[1]), int(sys.argv[2]), Path(sys.argv[3])
    torch.set_num_threads(1)
    dist.init_process_group("gloo", f"file://{folder}/meet", rank=number, world_size=count)
    for name, settings in RUNS.items():
        model, history = trained(settings)
        np.savez(folder / f"{name}{number}.npz", loss=history.loss, **model.state_dict())
    model, history = interrupted(folder / "state")
    np.savez(folder / f"interrupted{number}.npz", loss=history.loss, **model.state_dict())
    dist.destroy_process_group()
