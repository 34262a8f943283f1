"""Methods of face-voice association by name: the default, the paper's recipe, and published methods to compare with.

All are trained on the same pairs, with the same loop and the same people held out, and map faces and voices into one
space, where the cosine says how well a voice suits a face. Packages add theirs in the entry-point group
`vclip.methods`.

towers        the networks and the training that pins, self_lifting and fop share
pins          Learnable PINs
self_lifting  Self-Lifting
fop           FOP
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from vclip import checkpoint
from vclip.association.base import KIND, Association, recorded_method
from vclip.association.loop import History
from vclip.association.methods import fop, pins, self_lifting
from vclip.association.methods.towers import TwoTowers
from vclip.association.model import AssociationModel
from vclip.association.training import TrainConfig, fit
from vclip.device import torch_device
from vclip.registry import Plugin, Registry

Fit = Callable[..., tuple[Any, History]]  # as `training.fit`


def load_built_in(folder: str | Path, device: str | None = None) -> AssociationModel | TwoTowers:
    """Returns the model of a checkpoint folder that a built-in method wrote."""
    model = TwoTowers if "shape" in checkpoint.load_config(folder, KIND) else AssociationModel
    return model.load(folder, device)


@dataclass(frozen=True)
class Method:
    """A method of training an association model.

    `fit` takes (pairs, dev, face_space, voice_space, config, on_step, state), see `vclip.association.training.fit`,
    and returns a `History` and an `Association` that has `save(folder, metrics, made_by)`, model first.
    """

    name: str
    about: str
    fit: Fit = fit
    preset: Mapping[str, Any] = field(default_factory=dict)  # settings of `TrainConfig` that define the method
    advice: Mapping[str, Any] = field(default_factory=dict)  # settings that suit it, unless others are given
    load: Callable[..., Association] = load_built_in  # (folder, device) -> the model that `fit` made and `save` wrote

    def config(self, given: TrainConfig) -> TrainConfig:
        """Returns the configuration with the settings of the method, and its advice where nothing else was given."""
        advice = {name: value for name, value in self.advice.items() if name not in given.model_fields_set}
        preset = dict(self.preset)
        model = given.model.model_copy(update=preset.pop("model", {}))
        return given.model_copy(update={**advice, **preset, "model": model})


LINEAR = {"max_steps": 0, "model": {"hidden": 0, "couplings": 0}}
FROM_RANDOM = {"start": "random", "learning_rate": 3e-4, "feature_noise": 0.0, "label_smoothing": 0.0}
# Advice: batches of 64 to 256 as published, the rest by folds over training people (docs/association.md).
TOWERS = {"batch_size": 64, "weight_decay": 1e-4}

VCLIP = Method("vclip", "the default: linear paths in closed form, MLP, flow, CLIP loss, noise, averaging")
PAPER = Method(
    "paper",
    "Vclip's recipe as printed: MLP, RealNVP flow, CLIP loss, nothing else",
    preset={**FROM_RANDOM, "average": 0.0, "model": {"linear": False, "dropout": 0.0}},
    advice={"patience": 5},
)
SGE2E = Method(
    "sge2e",
    "supervised GE2E: a face network onto the voices as they are",
    preset={**FROM_RANDOM, "loss": "sge2e", "views": 2, "model": {"linear": False, "couplings": 0}},
    advice={"batch_size": 128, "patience": 5},
)
RIDGE = Method("ridge", "ridge regression of voices on faces", preset={"start": "ridge", **LINEAR})
CCA = Method("cca", "canonical correlation analysis, shrunk", preset={"start": "cca", **LINEAR})
PINS = Method("pins", "Learnable PINs", pins.fit, advice={**TOWERS, "learning_rate": 3e-4, "patience": 10})
SELF_LIFTING = Method("self-lifting", "Self-Lifting", self_lifting.fit, advice={**TOWERS, "learning_rate": 1e-3})
FOP = Method("fop", "FOP, fusion and orthogonal projection", fop.fit, advice={**TOWERS, "learning_rate": 2e-3})
METHODS = {method.name: method for method in (VCLIP, PAPER, SGE2E, RIDGE, CCA, PINS, SELF_LIFTING, FOP)}  # built in

_ATTRIBUTES = {name: f"{__name__}:{name.upper().replace('-', '_')}" for name in METHODS}
ASSOCIATION_METHODS: Registry[Method] = Registry(
    "method",
    "vclip.methods",
    ("name", "about", "fit", "config", "load"),
    "vclip.association.methods.Method",
    tuple(Plugin(name, _ATTRIBUTES[name], about=method.about) for name, method in METHODS.items()),
)


def method_of(spec: str) -> Method:
    """Returns the method that a spec names: one of METHODS, or one of another package (see `vclip.registry`).

    Raises:
        InputError: no such name, or a package is missing.
    """
    return ASSOCIATION_METHODS.open(spec)


def load(folder: str | Path, device: str | None = None) -> Association:
    """Returns the association model of a checkpoint folder, of whatever method; public as `vclip.load_association`.

    Args:
        folder: the folder.
        device: "cpu", "cuda", ...; None selects a GPU if there is one.

    Raises:
        InputError: not a checkpoint, one that lacks weights, or the package of its method is missing.
    """
    spec = recorded_method(checkpoint.load_config(folder, KIND))
    if spec and spec not in METHODS:
        return method_of(spec).load(folder, str(torch_device(device)))
    return load_built_in(folder, device)
