"""`vclip train`: a store's pairs into an association model."""

from collections.abc import Mapping
from dataclasses import asdict, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from pipelines.cluster.ddp import train_on
from pipelines.config import Config
from pipelines.html.plots import plot_training
from pipelines.progress import say, step
from stores import Snapshot, Store
from stores.pairs import pairs as read_arrays
from vclip import checkpoint
from vclip.association.base import Association
from vclip.association.clustering.pair_scores import is_measured
from vclip.association.clustering.pseudo_identities import doubtful_pairs, group_people, seen_at_once
from vclip.association.evaluation import cross_validate
from vclip.association.leaks import join_copies
from vclip.association.methods import ASSOCIATION_METHODS, METHODS, Method, method_of
from vclip.association.model import KIND
from vclip.association.pairs import Pairs
from vclip.association.training import fit
from vclip.association.training import train as train_model
from vclip.errors import InputError


def read_pairs(
    store: Store,
    where: str | None = None,
    snapshot: Snapshot | None = None,
    doubts: bool = False,
    spaces: tuple[str | None, str | None] = (None, None),
) -> Pairs:
    """Returns a store's clips as pairs, with pseudo-identities where it has none.

    Those are found over the whole store, whatever the filter, so that two halves of it agree on who is who.

    Args:
        store: the store.
        where: an SQL filter over clips.
        snapshot: the state to read; the newest if None.
        doubts: with pseudo-identities, also find which clips of two people may be of one; for training.
        spaces: the face space and the voice space; None where the store has but one.

    Raises:
        InputError: no clip has both a face and a voice, or a space must be named.
    """
    snapshot = snapshot or store.snapshot()
    spaces = pair_spaces(store, *spaces)
    pairs = Pairs.of(read_arrays(snapshot, *spaces, where))
    if not len(pairs):
        filtered = f" where {where}" if where else ""
        raise InputError(f"store {store.uri}: found no face-voice pair{filtered}; ingest or import some first")
    if (pairs.identity != "").all():
        return _without_aliases(pairs)
    wanted = pairs.clip_id
    everyone = Pairs.of(read_arrays(snapshot, *spaces)) if where else pairs
    everyone, made_up = group_people(everyone, *spaces, _at_once(snapshot, everyone))
    people = len(set(everyone.identity))
    for space in spaces:
        if not is_measured(space):
            say(f"how alike two people are in space '{space}' is not known: taken from the store, which finds fewer")
    say(f"{made_up} of {len(everyone)} clips name nobody; face and voice together tell {people} people")
    if doubts:
        everyone = replace(everyone, doubtful=doubtful_pairs(everyone, *spaces))
    return _without_aliases(everyone.select(np.isin(everyone.clip_id, wanted)))


def pair_spaces(store: Store, face_space: str | None = None, voice_space: str | None = None) -> tuple[str, str]:
    """Returns the face space and the voice space to read: the given ones, else the only ones of the store.

    Raises:
        InputError: the store lacks the space, or has several and none is given.
    """
    found = []
    for table, space, option in (("faces", face_space, "--face-space"), ("voices", voice_space, "--voice-space")):
        known = list(store.spaces(table))
        if space is None and len(known) == 1:
            space = known[0]
        if space not in known:
            given = f"no {option}" if space is None else f"{option} '{space}'"
            raise InputError(
                f"store {store.uri}: has {table} in {', '.join(map(repr, known)) or 'no space'}, found {given}; "
                f"name one of these with {option}"
            )
        found.append(space)
    return found[0], found[1]


def _at_once(snapshot: Snapshot, pairs: Pairs) -> np.ndarray:
    """Returns the pairs of clips (n, 2) that are seen at once in a video."""
    times = snapshot.query("clips", ["clip_id", "start_s", "end_s"]).sort_by("clip_id")
    mine = np.searchsorted(times["clip_id"].to_numpy().astype(str), pairs.clip_id)
    return seen_at_once(pairs.video_id, *(times[name].to_numpy()[mine] for name in ("start_s", "end_s")))


def _without_aliases(pairs: Pairs) -> Pairs:
    pairs, copies = join_copies(pairs)
    if copies:
        example = f"clips '{copies[0].first}' and '{copies[0].second}'"
        say(f"{len(copies)} clips appear under two identities, such as {example}; each pair is taken for one person")
    return pairs


def train(
    store_uri: str,
    out: Path,
    config: Config,
    where: str | None = None,
    folds: int = 0,
    method: str = "vclip",
    version: str | Mapping[str, int] | None = None,
    workers: int = 1,
    face_space: str | None = None,
    voice_space: str | None = None,
) -> dict[str, Any]:
    """Trains on a store, writes the checkpoint folder `out`, and returns its metrics.

    Args:
        store_uri: the store; the version read is recorded in the checkpoint.
        out: holds the checkpoint, with training.png in it.
        config: its section `train`.
        where: SQL filter over clips.
        folds: 2 or more cross-validates over people first; the model itself is trained on all.
        method: by name, see `vclip.association.methods`.
        version: a tag or version of the store; the newest if None.
        workers: processes that train the model together, on a GPU each where there are any.
        face_space, voice_space: the spaces to train on; None where the store has but one of a kind.

    Raises:
        InputError, StoreError: no store, no pairs, too few people, or `out` holds something else than a model.
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
    crossed = cross_validated(pairs, spaces, config, folds, chosen) if folds else {}
    state = Path(out).with_name(f".{Path(out).name}.training")
    with step("train", config.train.max_steps, "steps") as progress:

        def at(done: int, total: int, auc: float) -> None:
            progress.total = total
            progress.set(done, f"dev AUC {auc:.3f}")

        train_it = partial(train_on, workers) if workers > 1 else train_model
        model, history = train_it(pairs, *spaces, config.train, at, state, chosen.fit)
    metrics = {
        "dev_auc": history.best_dev_auc,
        "clips": len(pairs),
        "people": len(set(pairs.identity)),
        "best_step": history.best_step,
        "steps": history.step[-1],
        **crossed,
    }
    read = {
        "encoders": {space: spec for space, spec in store.encoders.items() if space in spaces},
        "method": ASSOCIATION_METHODS.record(method),
        "store": store_uri,
        "store_version": snapshot.version,
        "where": where,
    }
    curve = asdict(history)
    curve["loss"][0] = None  # there is no loss before the first step, and NaN is not JSON
    model.save(out, {**metrics, "history": curve}, {"config": config.model_dump(), **read})
    plot_training(Path(out) / "training.png", curve)
    return metrics


def cross_validated(
    pairs: Pairs, spaces: tuple[str, str], config: Config, folds: int, method: Method = METHODS["vclip"]
) -> dict[str, Any]:
    """Returns the mean and spread of the AUC over folds of people, and the evaluation of each fold.

    Raises:
        InputError: fewer than two folds, or than two people in each.
    """
    people = len(set(pairs.identity))
    if not 2 <= folds <= people // 2:
        raise InputError(f"cross-validation: found {folds} folds for {people} people, expected 2 to {people // 2}")
    with step("cross-validate", folds, "folds") as progress:

        def train_one(rest: Pairs, number: int) -> Association:
            settings = config.train.model_copy(update={"seed": config.train.seed + number})
            model, _ = train_model(rest, *spaces, settings, fit_one=method.fit)
            progress.advance()
            return model

        results = cross_validate(pairs, train_one, folds, config.train.seed)
    values = [result.auc for result in results]
    return {
        "cross_validated_auc": float(np.mean(values)),
        "cross_validated_auc_std": float(np.std(values)),
        "cross_validation": [result.to_json() for result in results],
    }
