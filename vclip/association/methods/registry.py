"""The methods by name."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vclip import checkpoint
from vclip.association.loop import History
from vclip.association.methods import fop, pins, self_lifting
from vclip.association.methods.towers import KIND, TwoTowers
from vclip.association.model import AssociationModel
from vclip.association.training import TrainConfig, fit
from vclip.errors import InputError

Fit = Callable[..., tuple[Any, History]]  # as `training.fit`


@dataclass(frozen=True)
class Method:
    """One way to learn which voices suit which faces."""

    name: str
    about: str
    fit: Fit = fit
    preset: Mapping[str, Any] = field(
        default_factory=dict
    )  # of the training configuration: what makes it this method
    advice: Mapping[str, Any] = field(default_factory=dict)  # what suits it, unless somebody asks for something else

    def config(self, given: TrainConfig) -> TrainConfig:
        """Returns the configuration with the method's own settings over it."""
        advice = {name: value for name, value in self.advice.items() if name not in given.model_fields_set}
        preset = dict(self.preset)
        model = given.model.model_copy(update=preset.pop("model", {}))
        return given.model_copy(update={**advice, **preset, "model": model})


LINEAR = {"max_steps": 0, "model": {"hidden": 0, "couplings": 0}}
FROM_RANDOM = {"start": "random", "learning_rate": 3e-4, "feature_noise": 0.0, "label_smoothing": 0.0}
# Advice: batches of 64 to 256 as published, the rest by folds over training people (docs/association.md).
TOWERS = {"batch_size": 64, "weight_decay": 1e-4}

METHODS = {
    method.name: method
    for method in (
        Method("vclip", "the default: linear paths in closed form, MLP, flow, CLIP loss, noise, averaging"),
        Method(
            "paper",
            "Vclip's recipe as printed: MLP, RealNVP flow, CLIP loss, nothing else",
            preset={**FROM_RANDOM, "average": 0.0, "model": {"linear": False, "dropout": 0.0}},
            advice={"patience": 5},
        ),
        Method(
            "sge2e",
            "supervised GE2E: a face network onto the voices as they are",
            preset={
                **FROM_RANDOM,
                "loss": "sge2e",
                "views": 2,
                "model": {"linear": False, "couplings": 0},
            },
            advice={"batch_size": 128, "patience": 5},
        ),
        Method("ridge", "ridge regression of voices on faces", preset={"start": "ridge", **LINEAR}),
        Method("cca", "canonical correlation analysis, shrunk", preset={"start": "cca", **LINEAR}),
        Method("pins", "Learnable PINs", pins.train, advice={**TOWERS, "learning_rate": 3e-4, "patience": 10}),
        Method("self-lifting", "Self-Lifting", self_lifting.train, advice={**TOWERS, "learning_rate": 1e-3}),
        Method("fop", "FOP, fusion and orthogonal projection", fop.train, advice={**TOWERS, "learning_rate": 2e-3}),
    )
}


def method_of(name: str) -> Method:
    """Returns the method of a name; raises InputError if there is none."""
    if name not in METHODS:
        raise InputError(f"method '{name}': unknown; there are {', '.join(METHODS)}")
    return METHODS[name]


def load(folder: str | Path, device: str = "cpu") -> AssociationModel | TwoTowers:
    """Returns the association model of a checkpoint folder, whatever method made it.

    Raises:
        InputError: not such a checkpoint.
    """
    _, config, _ = checkpoint.load(folder, KIND)
    return (TwoTowers if "shape" in config else AssociationModel).load(folder, device)
