"""A store's clips as pairs, the data of training and evaluation; clips without an identity get a pseudo-identity."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np

from pipelines.config import Config
from pipelines.progress import say, warn
from pipelines.wording import count, filtered
from stores import Snapshot, Store
from stores.pairs import pairs as read_arrays
from vclip.association.base import Association, training_people
from vclip.association.clustering.pair_scores import is_measured
from vclip.association.clustering.pseudo_identities import doubtful_pairs, group_people, seen_at_once
from vclip.association.evaluation import unseen
from vclip.association.hashes import hashes_of
from vclip.association.leaks import join_copies
from vclip.association.linear_start import clip_tensors
from vclip.association.methods import load as load_model
from vclip.association.pairs import Pairs
from vclip.association.two_clusters import two_clusters
from vclip.errors import InputError, SpaceError

SHOWN = 3  # names in a message
At = Mapping[str, int] | str | None  # a state of a store: a version, a tag, or the newest


def read_pairs(
    store: Store,
    where: str | None = None,
    snapshot: Snapshot | None = None,
    doubts: bool = False,
    spaces: tuple[str | None, str | None] = (None, None),
) -> Pairs:
    """Returns a store's clips as pairs, each with an identity; clips without one get a pseudo-identity.

    Pseudo-identities are found over the whole store, whatever the filter, so two halves of a store agree on them.
    Copies of a clip under two identities are given one of them, with a message.

    Args:
        store: the store.
        where: an SQL filter over clips.
        snapshot: the state to read; the newest if None.
        doubts: also find which pseudo-identities may be one person (`Pairs.doubtful`); for training.
        spaces: the face space and the voice space; None where the store has only one of the kind.

    Raises:
        InputError: no clip has both a face and a voice, or a space must be named.
    """
    snapshot = snapshot or store.snapshot()
    spaces = pair_spaces(store, *spaces)
    pairs = Pairs.of(read_arrays(snapshot, *spaces, where))
    if not len(pairs):
        raise InputError(f"store {store.uri}: found no face-voice pair{filtered(where)}; ingest or import some first")
    if (pairs.identity != "").all():
        return _without_aliases(pairs)
    wanted = pairs.clip_id
    everyone = Pairs.of(read_arrays(snapshot, *spaces)) if where else pairs
    everyone, made_up = group_people(everyone, *spaces, clips_at_once(snapshot, everyone))
    people = len(set(everyone.identity))
    for space in spaces:
        if not is_measured(space):
            warn(f"space '{space}': similarity of different people is estimated from the store, and finds fewer")
    say(
        f"{made_up:,} of {count(len(everyone), 'clip')} have no identity; clustering by face and voice found "
        f"{count(people, 'person', 'people')}"
    )
    if doubts:
        everyone = replace(everyone, doubtful=doubtful_pairs(everyone, *spaces))
    return _without_aliases(everyone.select(np.isin(everyone.clip_id, wanted)))


def expect_folds(pairs: Pairs, folds: int) -> None:
    """Raises InputError unless each fold has two people or more, and the others the four that a training needs."""
    people = len(set(pairs.identity))
    possible = [n for n in range(2, people // 2 + 1) if people - -(-people // n) >= 4]
    if folds not in possible:
        expected = (
            f"{' to '.join(map(str, sorted({*possible[:1], *possible[-1:]})))} folds"
            if possible
            else "6 people or more"
        )
        found = f"{count(folds, 'fold')} for {count(people, 'person', 'people')}"
        raise InputError(f"cross-validation: found {found}, expected {expected}")


def with_genders(pairs: Pairs) -> tuple[Pairs, bool]:
    """Returns the pairs with a gender each, and whether it is inferred, because the store has no such label.

    The two clusters of what faces and voices share most stand in for it, "upper" and "lower". There must be several
    people.
    """
    if any(pairs.gender):
        return pairs, False
    return replace(pairs, gender=np.where(two_clusters(*clip_tensors(pairs)), "upper", "lower")), True


def in_other_spaces(pairs: Pairs, snapshot: Snapshot, spaces: tuple[str, str], where: str | None) -> Pairs:
    """Returns the clips of `read_pairs` with their identities and labels, and with their vectors in other spaces."""
    other = Pairs.of(read_arrays(snapshot, *spaces, where))
    row_of = {clip: row for row, clip in enumerate(pairs.clip_id.tolist())}
    if len(other) != len(pairs) or not all(clip in row_of for clip in other.clip_id.tolist()):
        raise InputError(f"found other clips with vectors in {' and '.join(spaces)}; run `vclip embed` on the store")
    row = np.array([row_of[clip] for clip in other.clip_id.tolist()])
    return replace(
        pairs,
        faces=other.faces,
        face_clip=row[other.face_clip],
        voices=other.voices,
        voice_clip=row[other.voice_clip],
    )


def pair_spaces(store: Store, face_space: str | None = None, voice_space: str | None = None) -> tuple[str, str]:
    """Returns the face space and the voice space to read: the given ones, or the only ones that the store has.

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


def clips_at_once(snapshot: Snapshot, pairs: Pairs) -> np.ndarray:
    """Returns the pairs of clips (n, 2) that overlap in time in one video."""
    times = snapshot.query("clips", ["clip_id", "start_s", "end_s"]).sort_by("clip_id")
    mine = np.searchsorted(times["clip_id"].to_numpy().astype(str), pairs.clip_id)
    return seen_at_once(pairs.video_id, *(times[name].to_numpy()[mine] for name in ("start_s", "end_s")))


def _without_aliases(pairs: Pairs) -> Pairs:
    pairs, copies = join_copies(pairs)
    if copies:
        which = f"{': ' if len(copies) == 1 else ', such as '}'{copies[0].first}' and '{copies[0].second}'"
        alike = "of clips with a near-identical face or voice under two identities"
        say(f"{count(len(copies), 'pair')} {alike}{which}; treated as one person")
    return pairs


def open_model(folder: Path, config: Config) -> Association:
    """Returns the model of a checkpoint folder, on the configured device; raises InputError if there is none."""
    return load_model(folder, config.train.device)


def store_pairs(model: Association, store_uri: str, where: str | None = None, at: At = None) -> Pairs:
    """Returns the clips of a store as pairs, in the spaces of the model.

    Args:
        model: the association model that will score them.
        store_uri: the store.
        where: an SQL filter over clips.
        at: the state to read, a tag or a version; the newest if None.

    Raises:
        InputError, StoreError: no store, no pairs, or other encoders.
    """
    store = Store.open(store_uri)
    expect_spaces(model, store)
    return read_pairs(store, where, store.snapshot(at), spaces=(model.face_space, model.voice_space))


def expect_spaces(model: Association, store: Store) -> None:
    """Raises SpaceError unless a store has vectors in the spaces of a model."""
    for expected, found in ((model.face_space, store.spaces("faces")), (model.voice_space, store.spaces("voices"))):
        if expected not in found:
            raise SpaceError(", ".join(found), expected, f"store {store.uri} with this model")


def unseen_pairs(model: Association, pairs: Pairs, store_uri: str, model_folder: Path) -> Pairs:
    """Returns the clips of people that the model was not trained on.

    Prints how many clips were left out, and which of them are copies of training clips under another name.

    Raises:
        InputError: nobody is left.
    """
    others = unseen(model, pairs)
    if not len(others):
        raise InputError(
            f"store {store_uri}: {model_folder} was trained on everyone in it; evaluate on another store"
        )
    if len(others) < len(pairs):
        left_out = len(pairs) - len(others)
        say(f"left out {left_out:,} of {count(len(pairs), 'clip')}: {model_folder} was trained on these people")
        _name_copies(pairs, training_people(model))
    return others


def _name_copies(pairs: Pairs, hashes: np.ndarray) -> None:
    """Prints which clips are copies of training clips but have other names than these."""
    copies = pairs.clip_id[pairs.copied_in(hashes) & ~np.isin(hashes_of("clip", pairs.clip_id), hashes)].tolist()
    if copies:
        more = f" and {len(copies) - SHOWN:,} more" if len(copies) > SHOWN else ""
        names = ", ".join(f"'{name}'" for name in copies[:SHOWN])
        have = "has" if len(copies) == 1 else "have"
        warn(f"of these, {names}{more} {have} a face or a voice of a training clip of another name")
