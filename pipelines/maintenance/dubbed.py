"""`vclip embed --column dubbed`: fill `clips.dubbed_combined`, the probability of dubbing by all evidence.

The evidence of the lips is the column `dubbed`, which ingest wrote and which stays as it is; so running this again
counts nothing twice. Further evidence needs the vectors of the whole store (`vclip.association.dubbing`), so every
run computes all clips anew.
"""

import time
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines.association.pairs import clips_at_once, expect_spaces, open_model, pair_spaces
from pipelines.config import Config
from pipelines.extraction.active_speaker.dubbed import PRIOR
from pipelines.maintenance.backfill import id_of
from pipelines.progress import step, warn
from pipelines.wording import count
from stores import Snapshot, Store
from stores.arrow import compute
from stores.maintenance.backfill import KEY
from stores.maintenance.columns import REASON, ColumnFill
from stores.pairs import pairs as read_arrays
from vclip import checkpoint
from vclip.association.base import Association, warning_of
from vclip.association.clustering.pseudo_identities import group_by_face
from vclip.association.dubbing import Dubbing, dubbing
from vclip.association.pairs import Pairs
from vclip.errors import InputError

COLUMN = "dubbed"  # as --column names it
FILLED = "dubbed_combined"
NO_MODEL = "no model"


@dataclass(frozen=True)
class DubbedResult:
    """What was filled, and how many clips each kind of evidence tells something about."""

    store: str
    column: str
    version: str  # of the model
    clips: int
    with_lips: int
    with_association: int
    with_other_videos: int
    seen_in_training: int  # clips of people that the model was trained on
    probably_dubbed: int  # clips above one half
    took_s: float


def fill_dubbed(store_uri: str, config: Config, model_folder: Path | None = None) -> DubbedResult:
    """Fills `clips.dubbed_combined` of all clips, and replaces what it held.

    People are the identities of the clips; clips without one are grouped by their faces.

    Args:
        store_uri: the store.
        config: `train.seed` draws pairs of two people; `train.device` runs the model.
        model_folder: checkpoint of the association model; None leaves its evidence out.

    Raises:
        InputError: no model, a store with several spaces and no model, or rows were committed meanwhile.
        StoreError: there is no store, or a job is writing.
    """
    started_s, store = time.monotonic(), Store.open(store_uri)
    model = open_model(model_folder, config) if model_folder else None
    version = f"model {checkpoint.digest(model_folder)[:16]}" if model_folder else NO_MODEL
    snapshot = store.snapshot()
    clips = snapshot.query("clips", ["clip_id", "dubbed"]).sort_by("clip_id")
    pairs = _pairs(store, snapshot, model)
    row = np.searchsorted(clips["clip_id"].to_numpy().astype(str), pairs.clip_id)
    lips = clips["dubbed"].to_numpy().astype(np.float64)  # NaN where it was not measured
    with step("combining the evidence of dubbing", len(pairs), "clips") as progress:
        found = dubbing(pairs, np.nan_to_num(lips, nan=PRIOR)[row], model, config.train.seed)
        progress.set(len(pairs))
    _warn(model, found)
    told = (found.association != 0) | (found.other_videos != 0)
    combined = lips.copy()
    combined[row[told]] = found.probability[told]
    fill = _collected(store, version, clips["clip_id"], combined)
    result = DubbedResult(
        store=store_uri,
        column=f"clips.{FILLED}",
        version=version,
        clips=len(clips),
        with_lips=int(np.sum(~np.isnan(lips))),
        with_association=int(np.sum(found.association != 0)),
        with_other_videos=int(np.sum(found.other_videos != 0)),
        seen_in_training=int(found.seen.sum()),
        probably_dubbed=int(np.sum(combined > 0.5)),
        took_s=time.monotonic() - started_s,
    )
    command = {"job": "embed", "table": "clips", "column": COLUMN, "version": version}
    with store.run(command, config.model_dump()) as run:
        finished = fill.finish()
        run.summary = asdict(result) | {"finished": finished}
    if not finished:
        raise InputError("embed: clips were committed meanwhile, expected no other job to write; run it again")
    return result


def _collected(store: Store, version: str, clip_ids: pa.ChunkedArray, values: np.ndarray) -> ColumnFill:
    """The values of clips in the store's scratch table, ready to be committed."""
    open_fill = partial(ColumnFill, store, "clips", {FILLED: float}, COLUMN, version, again=True)
    open_fill().discard()  # what a killed run collected is of another state of the store
    fill = open_fill()
    keys = fill.todo().keys
    place = compute.index_in(pa.array(map(id_of, keys), pa.string()), clip_ids.combine_chunks())
    found = pa.array(values, pa.float32(), from_pandas=True).take(place)  # rejected clips have none
    fill.add_rows(pa.table({KEY: keys, FILLED: found, REASON: pa.nulls(len(keys), pa.string())}))
    return fill


def _pairs(store: Store, snapshot: Snapshot, model: Association | None) -> Pairs:
    """The clips with a face and a voice, each with an identity."""
    if model is not None:
        expect_spaces(model, store)
    spaces = pair_spaces(store, *((model.face_space, model.voice_space) if model else (None, None)))
    pairs = Pairs.of(read_arrays(snapshot, *spaces))
    if not len(pairs):
        raise InputError(f"store {store.uri}: found no clip with a face and a voice; ingest or import some first")
    return group_by_face(pairs, spaces[0], clips_at_once(snapshot, pairs))


def _warn(model: Association | None, found: Dubbing) -> None:
    if model is not None and (unknown := warning_of(model)):
        warn(unknown)
    if found.seen.any():
        of = f"{found.seen.sum():,} of {count(len(found.seen), 'clip')}"
        warn(f"the model was trained on the people of {of}: it says nothing about these")
