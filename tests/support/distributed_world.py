"""What one process trains in test_ranks.py, and what several train together."""

from benchmarks.planted import Planted
from vclip.association.training import TrainConfig, fit

SMALL = {"dropout": 0.0, "hidden": 32, "linear": False}
PLAIN = {
    "batch_size": 31,
    "start": "random",
    "max_steps": 20,
    "evaluate_every": 5,
    "learning_rate": 5e-3,
    "average": 0.0,
    "model": SMALL,
}
NO_NOISE = {"feature_noise": 0.0}
RUNS = {
    "whole": PLAIN | NO_NOISE,
    "in_parts": PLAIN | NO_NOISE | {"chunk": 7},
    "sge2e": PLAIN | NO_NOISE | {"loss": "sge2e", "views": 2},
    "noisy": PLAIN | {"feature_noise": 1.0},
}


def trained(settings, state=None, on_step=None):
    """Returns a model of planted people, and its history."""
    world = Planted(d_face=24, d_voice=16)
    sides = world.pairs(300, 0), world.pairs(60, 1)
    return fit(*sides, "face/1", "voice/1", TrainConfig(**settings), on_step, state)


def interrupted(state):
    """Returns what comes of the run "noisy" where it is broken off on the way and started again."""

    def stop(step, *_):
        if step == 12:
            raise KeyboardInterrupt

    try:
        trained(RUNS["noisy"], state, stop)
    except KeyboardInterrupt:
        return trained(RUNS["noisy"], state)
    raise AssertionError("it was not interrupted")
