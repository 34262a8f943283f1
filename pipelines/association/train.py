"""`vclip train`: a store's pairs -> (cross-validation) -> an association model in a checkpoint folder."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.association.pairs import expect_folds, pair_spaces, read_pairs
from pipelines.cluster.ddp import train_on
from pipelines.cluster.derived import record_derived
from pipelines.config import Config
from pipelines.html.plots import plot_training
from pipelines.progress import say, step
from pipelines.wording import count
from stores import Store
from vclip import checkpoint
from vclip.association.base import KIND, Association
from vclip.association.evaluation import Evaluation, cross_validate
from vclip.association.loop import WORTH, History
from vclip.association.methods import ASSOCIATION_METHODS, METHODS, Method, method_of
from vclip.association.pairs import Pairs
from vclip.association.training import fit, folds_of
from vclip.association.training import train as train_model
from vclip.errors import InputError
from vclip.files import fitting


@dataclass(frozen=True)
class CrossValidation:
    """The AUC on people that the model of a fold was not trained on, over all folds."""

    auc: float  # mean over the folds
    auc_std: float  # standard deviation
    folds: tuple[Evaluation, ...]

    def to_json(self) -> dict[str, Any]:
        """Returns the keys of metrics.json."""
        return {
            "cross_validated_auc": self.auc,
            "cross_validated_auc_std": self.auc_std,
            "cross_validation": [fold.to_json() for fold in self.folds],
        }


CLOSED_FORM, OTHER_START = "the closed form", "the start"


@dataclass(frozen=True)
class TrainResult:
    """The metrics of a training; metrics.json holds them and the training curve."""

    dev_auc: float  # on the people held out for early stopping; with few people, the mean over folds
    clips: int
    people: int
    best_step: int
    steps: int
    cross_validation: CrossValidation | None  # None without `folds`
    start: str = CLOSED_FORM  # what the steps begin with, in words

    def to_json(self) -> dict[str, Any]:
        """Returns the keys of metrics.json, without the training curve."""
        names = ("dev_auc", "clips", "people", "best_step", "steps")
        crossed = self.cross_validation.to_json() if self.cross_validation else {}
        return {name: getattr(self, name) for name in names} | crossed


def train(
    store_uri: str,
    out: Path,
    config: Config,
    *,
    where: str | None = None,
    folds: int = 0,
    method: str = "vclip",
    version: str | Mapping[str, int] | None = None,
    workers: int = 1,
    face_space: str | None = None,
    voice_space: str | None = None,
) -> TrainResult:
    """Trains a model on a store, writes the checkpoint folder `out`, and returns the metrics.

    Args:
        store_uri: the store; the version read is recorded in the checkpoint.
        out: the folder of the checkpoint; training.png is written to it as well.
        config: its section `train` is used.
        where: SQL filter over clips.
        folds: 2 or more: cross-validate over people first; the model itself is trained on all.
        method: the spec of the method, see `vclip.association.methods`.
        version: a tag or version of the store; the newest if None.
        workers: the number of processes that train the model together, each on a GPU if there are any.
        face_space, voice_space: the spaces to train on; None where the store has only one of the kind.

    Raises:
        InputError, StoreError: no store, no pairs, too few people, or `out` is not a model.
    """
    checkpoint.check_free(out, KIND)
    chosen = method_of(method)
    if workers > 1 and chosen.fit is not fit:
        raise InputError(f"method '{method}' trains in one process; --workers is for vclip, paper and sge2e")
    config = config.model_copy(update={"train": chosen.config(config.train)})
    store = Store.open(store_uri)
    snapshot = store.snapshot(version)
    spaces = pair_spaces(store, face_space, voice_space)
    pairs = read_pairs(store, where, snapshot, doubts=True, spaces=spaces)
    crossed = cross_validated(pairs, spaces, config, folds, chosen) if folds else None
    state = Path(out).with_name(fitting(f".{Path(out).name}", ".training"))
    tuned_on = folds_of(pairs, config.train)
    fits = tuned_on + 1 if tuned_on else 1
    start = CLOSED_FORM if chosen.fit is fit and config.train.start != "random" else OTHER_START
    closed_form = start == CLOSED_FORM and not config.train.max_steps
    people = len(set(pairs.identity))
    data = f"{count(len(pairs), 'clip')} of {count(people, 'person', 'people')}"
    if closed_form:
        say(
            f"train: {chosen.name} ({chosen.about}), a closed form without steps, for {data}; its strength is chosen "
            "by folds over people"
        )
    total, unit = (fits, "fits") if closed_form else (fits * config.train.max_steps, "steps")
    with step("train", total, unit, "" if closed_form else f"fewer once they gain nothing; {data}") as progress:

        def at(done: int, total: int, auc: float) -> None:
            if closed_form:
                progress.advance(1, f"AUC {auc:.3f} on held-out people")
            else:
                progress.total = total
                progress.set(done, f"dev AUC {auc:.3f}")

        train_it = partial(train_on, workers) if workers > 1 else train_model
        model, history = train_it(pairs, *spaces, config.train, at, state, chosen.fit)
    if config.train.max_steps:
        say(what_was_chosen(history, start))
    elif closed_form:
        how = f"mean of {tuned_on} folds; the model is fitted to everybody" if tuned_on else "left out of the model"
        how = "; ".join(filter(None, (how, _strongest_direction(history))))
        say(f"train: the closed form has AUC {history.best_dev_auc:.3f} on held-out people ({how})")
    steps = history.best_step, history.step[-1]
    result = TrainResult(history.best_dev_auc, len(pairs), people, *steps, crossed, start)
    read = {
        "encoders": {space: spec for space, spec in store.encoders.items() if space in spaces},
        "method": ASSOCIATION_METHODS.record(method),
        "store": store_uri,
        "store_version": snapshot.version,
        "where": where,
    }
    curve = asdict(history)
    curve["loss"][0] = None  # there is no loss before the first step, and NaN is not JSON
    model.save(out, {**result.to_json(), "history": curve}, {"config": config.model_dump(), **read})
    plot_training(Path(out) / "training.png", curve)
    record_derived(store_uri, "model", out)
    return result


def what_was_chosen(history: History, start: str) -> str:
    """Returns a sentence on the step that was kept, and why; `start` says what step 0 is."""
    first, best, alone = history.dev_auc[0], max(history.dev_auc), _strongest_direction(history)
    if history.best_step:
        return f"train: step {history.best_step} is kept: AUC {best:.3f} on held-out people, {first:.3f} at the start"
    return (
        f"train: {start} is kept, AUC {first:.3f} on held-out people{alone and f' ({alone})'}; "
        f"{count(history.step[-1], 'step')} with networks gained {best - first:.3f}, and {WORTH} counts"
    )


def _strongest_direction(history: History) -> str:
    """Returns what the strongest canonical direction reaches alone; "" if the start has none."""
    known = dict(zip(history.directions, history.auc_by_directions, strict=True))
    return f"{known[1]:.3f} by its strongest direction alone" if 1 in known else ""


def cross_validated(
    pairs: Pairs, spaces: tuple[str, str], config: Config, folds: int, method: Method = METHODS["vclip"]
) -> CrossValidation:
    """Returns the AUC of models trained with one fold of the people left out each, on those people.

    Raises:
        InputError: not so many folds of so many people, see `expect_folds`.
    """
    expect_folds(pairs, folds)
    with step("cross-validate", folds, "folds") as progress:

        def train_one(rest: Pairs, number: int) -> Association:
            settings = config.train.model_copy(update={"seed": config.train.seed + number})
            model, _ = train_model(rest, *spaces, settings, fit_one=method.fit)
            progress.advance()
            return model

        results = cross_validate(pairs, train_one, folds, config.train.seed)
    values = [result.auc for result in results]
    return CrossValidation(float(np.mean(values)), float(np.std(values)), tuple(results))
