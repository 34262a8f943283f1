"""`vclip embed`: embed the media of a store with other encoders, on Ray: the rows stay, the store gains a space."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np

from pipelines.cluster.failures import Failure
from pipelines.config import Config
from pipelines.ingest.embed import Preparation, batches_of, say_licence
from pipelines.maintenance.backfill import (
    WRITE_ROWS,
    BackfillJob,
    Compute,
    Computed,
    How,
    Prepared,
    RayEngine,
    check_media,
    id_of,
)
from pipelines.progress import say
from stores import Store
from stores.maintenance.embed import Embedding, discard, drop_spaces, vector_rows
from stores.schema import EMBEDDED
from vclip.encoders import (
    FACE_ENCODERS,
    VOICE_ENCODERS,
    FaceEncoder,
    VoiceEncoder,
    gains_from_gpu,
    open_face_encoder,
    open_voice_encoder,
)
from vclip.encoders.batches import Batches
from vclip.errors import InputError

TASK_ROWS = 64  # about 1 MB of crops, 10 MB of speech


@dataclass(frozen=True)
class EmbedResult:
    """What was embedded."""

    store: str
    embedded: dict[str, int]  # new space -> rows that were embedded in this run
    dropped: list[str]  # spaces
    spaces: dict[str, dict[str, int]]  # table -> space -> dimension, afterwards
    took_s: float


def embed(
    store_uri: str,
    config: Config,
    tables: Sequence[str],
    replace: bool = False,
    again: bool = False,
    *,
    engine: RayEngine | None = None,
    task_rows: int = TASK_ROWS,
    write_rows: int = WRITE_ROWS,
) -> EmbedResult:
    """Adds the vectors of the configured encoders to a store, and drops those of other spaces if asked to.

    Args:
        store_uri: the store.
        config: the section `encoders` names the encoders; `ingest.embed_actors`, `ingest.embed_gpus`,
            `batch.task_cpus` and `remote` are read as well.
        tables: `faces`, `voices` or both.
        replace: drop the vectors of other spaces afterwards.
        again: embed rows again that have vectors of this space.
        engine: runs the tasks; on Ray where left out.
        task_rows: rows that one task embeds.
        write_rows: vectors that are written at a time.

    Raises:
        InputError: media are missing or cannot be decoded, or workers died. Vectors made so far are kept.
        StoreError: there is no store, or a job is writing.
    """
    started_s, store = time.monotonic(), Store.open(store_uri)
    how = How(config, engine or RayEngine(), task_rows, write_rows)
    embedded: dict[str, int] = {}
    dropped: list[str] = []
    for table in tables:
        spec = config.encoders.face if table == "faces" else config.encoders.voice
        encoder = _open_encoder(table, spec, "cpu")
        if encoder.space not in store.spaces(table) or again:
            check_media(store, table, all, "import the vectors of the other encoder into a store of their own")
            say_licence(table, encoder)
            embedded[encoder.space] = _EncoderJob(store, table, spec, encoder, how).run()
        else:
            discard(store, table, encoder.space)  # of an embedding that was killed at its very end
        if replace:
            dropped += drop_spaces(store, table, encoder.space)
        store = Store.open(store_uri)
    spaces = {table: store.spaces(table) for table in ("faces", "voices")}
    return EmbedResult(store_uri, embedded, dropped, spaces, time.monotonic() - started_s)


class _EncoderJob(BackfillJob):
    """The embedding of one table with the encoder that a spec opens."""

    def __init__(self, store: Store, table: str, spec: str, encoder: FaceEncoder | VoiceEncoder, how: How):
        super().__init__(store, table, "vectors", how)
        self._spec, self._encoder = spec, encoder

    def collection(self) -> Embedding:
        recorded = (FACE_ENCODERS if self.table == "faces" else VOICE_ENCODERS).record(self._spec)
        return Embedding(self.store, self.table, self._encoder.space, self._encoder.dim, recorded)

    def prepare(self) -> Callable[[bytes], np.ndarray]:
        return partial(Preparation({self.table: self._encoder}).of, table=self.table)

    def opener(self) -> Callable[[str], Compute]:
        return partial(_open_embedding, self.table, self._spec)

    def gains(self) -> bool:
        if not gains_from_gpu(self._encoder):
            say(f"{self.table}: {self._encoder.space} does not gain from GPUs, so the tasks embed")
        return gains_from_gpu(self._encoder)

    def lost(self, keys: Sequence[str], failure: Failure) -> Computed:
        none = np.empty((0, self._encoder.dim), np.float32)
        return Computed(vector_rows(self._encoder.space, [], none), dict.fromkeys(keys, failure))

    def refuse(self, failed: Mapping[str, Failure], rows: int) -> None:
        if failed:
            key, failure = next(iter(failed.items()))
            raise InputError(
                f"embed: {len(failed)} of {rows} {self.table} have no vector, such as {id_of(key)} "
                f"({failure.reason}); `vclip check --repair` removes rows that cannot be decoded; then embed again, "
                "the vectors made so far are kept"
            )

    def command(self) -> dict[str, Any]:
        return {"job": "embed", "table": self.table, "space": self._encoder.space}

    def summary(self) -> dict[str, Any]:
        return {}


def _open_embedding(table: str, spec: str, device: str) -> Compute:
    encoder = _open_encoder(table, spec, device)
    batches = batches_of(encoder)
    return lambda batch: _embedded(batch, batches, encoder.space)


def _embedded(parts: Sequence[Prepared], embed: Batches, space: str) -> list[Computed]:
    """Returns the vectors of the rows of each part; the media of all are embedded together."""
    vectors = np.asarray(embed([one for part in parts for one in part.media]), np.float32)
    own = np.split(vectors, np.cumsum([len(part.media) for part in parts])[:-1])
    return [_finite(part, matrix, space) for part, matrix in zip(parts, own, strict=True)]


def _finite(found: Prepared, vectors: np.ndarray, space: str) -> Computed:
    finite = np.asarray(np.isfinite(vectors).all(axis=1))
    not_finite = Failure("the encoder gave no finite vector")
    failed = {key: not_finite for key, good in zip(found.keys, finite, strict=True) if not good}
    keys = [key for key, good in zip(found.keys, finite, strict=True) if good]
    return Computed(vector_rows(space, keys, vectors[finite]), found.failed | failed)


def _open_encoder(table: str, spec: str, device: str | None) -> FaceEncoder | VoiceEncoder:
    return open_face_encoder(spec, device) if table == "faces" else open_voice_encoder(spec, device)


def tables_of(only: str | None) -> tuple[str, ...]:
    """Returns the tables that `--only` names, both if it is None; raises InputError for any other name."""
    if only is None:
        return EMBEDDED
    if only not in EMBEDDED:
        raise InputError(f"--only {only}: expected one of {', '.join(EMBEDDED)}")
    return (only,)
