"""`vclip train`: a store's pairs into an association model."""

from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.config import Config
from pipelines.plots import plot_training
from pipelines.progress import say, step
from stores import Store
from vclip.association.evaluation import cross_validate
from vclip.association.model import AssociationModel
from vclip.association.pairs import Pairs
from vclip.association.people import group_people
from vclip.association.training import train as train_model
from vclip.errors import InputError


def read_pairs(store: Store, where: str | None = None) -> Pairs:
    """Returns a store's clips as pairs, with pseudo-identities where it has none.

    Raises:
        InputError: no clip has both a face and a voice.
    """
    pairs = Pairs.of(store.pairs(where=where))
    if not len(pairs):
        filtered = f" where {where}" if where else ""
        raise InputError(f"store {store.uri}: found no face-voice pair{filtered}; ingest or import some first")
    pairs, made_up = group_people(pairs, store.face_space, store.voice_space)
    if made_up:
        people = len(set(pairs.identity))
        say(f"{made_up} of {len(pairs)} clips name nobody; face and voice together tell {people} people")
    return pairs


def train(store_uri: str, out: Path, config: Config, where: str | None = None, folds: int = 0) -> dict[str, Any]:
    """Trains on a store, writes the checkpoint folder `out`, and returns its metrics.

    Args:
        store_uri: the store; the version read is recorded in the checkpoint.
        out: holds the checkpoint, and history.json and training.png beside it.
        config: its section `train`.
        where: SQL filter over clips.
        folds: 2 or more cross-validates over people first; the model itself is trained on all.

    Raises:
        InputError, StoreError: no store, no pairs, too few people, or `out` holds something else than a checkpoint.
    """
    _refuse_strangers(Path(out))
    store = Store.open(store_uri)
    version = store.version()
    pairs = read_pairs(store, where)
    spaces = (store.face_space, store.voice_space)
    crossed = _cross_validate(pairs, spaces, config, folds) if folds else {}
    with step("train", config.train.max_steps, "steps") as progress:
        model, history = train_model(
            pairs, *spaces, config.train, lambda done, total, auc: progress.set(done, f"dev AUC {auc:.3f}")
        )
    metrics = {
        "dev_auc": history.best_dev_auc,
        "clips": len(pairs),
        "people": len(set(pairs.identity)),
        "best_step": history.best_step,
        "steps": history.step[-1],
        **crossed,
    }
    made_by = {"config": config.train.model_dump(), "store": store_uri, "store_version": version, "where": where}
    curve = asdict(history)
    curve["loss"][0] = None  # there is no loss before the first step, and NaN is not JSON
    model.save(out, {**metrics, "history": curve}, made_by)
    plot_training(Path(out) / "training.png", curve)
    return metrics


def _refuse_strangers(out: Path) -> None:
    """A checkpoint replaces its folder as a whole: `--out work` must not take work/store with it."""
    if out.is_file() or (out.is_dir() and any(out.iterdir()) and not (out / "config.json").is_file()):
        found = "a file" if out.is_file() else f"a folder with {min(path.name for path in out.iterdir())}"
        raise InputError(f"--out {out}: found {found}, expected a new folder, or a model to replace")


def _cross_validate(pairs: Pairs, spaces: tuple[str, str], config: Config, folds: int) -> dict[str, Any]:
    if folds < 2:
        raise InputError(f"--folds {folds}: expected 2 or more")
    with step("cross-validate", folds, "folds") as progress:

        def train_one(rest: Pairs, number: int) -> AssociationModel:
            settings = config.train.model_copy(update={"seed": config.train.seed + number})
            model, _ = train_model(rest, *spaces, settings)
            progress.advance()
            return model

        results = cross_validate(pairs, train_one, folds, config.train.seed)
    values = [result.auc for result in results]
    return {
        "cross_validated_auc": float(np.mean(values)),
        "cross_validated_auc_std": float(np.std(values)),
        "cross_validation": [result.to_json() for result in results],
    }
