"""The means of a store's faces and voices, on which a model is centred; see `vclip.association.centring`."""

import numpy as np
import pyarrow as pa

from pipelines.progress import warn
from stores import Snapshot
from stores.pairs import matrix, space_column
from stores.schema import spaces_of
from vclip.association.base import Association, TwoSidedModel
from vclip.association.centring import FEW_CLIPS, centred
from vclip.errors import InputError, SpaceError


def centred_on(model: Association, snapshot: Snapshot, uri: str, voices: bool = True) -> TwoSidedModel:
    """Returns a model centred on all faces and all voices of a store.

    Args:
        model: the association model.
        snapshot: the state to read; the vectors pass through memory in parts.
        uri: the store, for messages.
        voices: whether the voices are centred too.

    Raises:
        SpaceError: the store has vectors of other spaces.
        InputError: it has no vectors, or the model cannot be centred.
    """
    faces = _mean(snapshot, "faces", model.face_space, uri)
    other = centred(model, faces, _mean(snapshot, "voices", model.voice_space, uri) if voices else None)
    clips = snapshot.count("clips")
    if clips < FEW_CLIPS:
        warn(
            f"store {uri}: centred on {clips:,} clips; with fewer than {FEW_CLIPS}, means are those of its people "
            "rather than of its recordings, and centring can harm"
        )
    return other


def _mean(snapshot: Snapshot, table: str, space: str, uri: str) -> np.ndarray:
    known = spaces_of(snapshot.schema(table))
    if space not in known:
        raise SpaceError(", ".join(known), space, f"store {uri} with this model")
    total, number, column = np.zeros(0), 0, space_column(snapshot, table, space)
    for batch in snapshot.batches(table, [column], f"{column} IS NOT NULL"):
        vectors = matrix(pa.Table.from_batches([batch])[column])
        total = vectors.sum(0, dtype=np.float64) + (total if number else 0)
        number += len(vectors)
    if not number:
        raise InputError(f"store {uri}: has no {table} in '{space}' to centre on")
    return (total / number).astype(np.float32)
