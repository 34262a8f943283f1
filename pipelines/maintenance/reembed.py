"""`vclip embed`: embed the media of a store with other encoders, on Ray; the rows stay, and the store gains a space.

Tasks read media by their positions in one version of a table and decode them. Where the cluster has GPUs, actors
embed them, as in an ingest; elsewhere the tasks do. The vectors are kept in a table of their own until all rows have
one (`stores.maintenance.embed`), so a job that was killed continues.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any

import numpy as np

from pipelines.cluster.actors import Actors, gpu_actors
from pipelines.cluster.failures import Failure, Tracebacks, run_folder
from pipelines.cluster.session import cluster_gpus, start_ray
from pipelines.cluster.tasks import Work, run_tasks
from pipelines.config import Config
from pipelines.ingest.embed import Preparation, batches_of, say_licence
from pipelines.progress import say, step
from stores import Store
from stores.maintenance.compact import sweep
from stores.maintenance.embed import Embedding, Todo, discard, drop_spaces, media
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
CALL_PARTS = 16  # parts that one call of an actor takes
WRITE_ROWS = 4096
WRITE_EVERY_S = 30.0  # vectors are written after this time, however few there are
ATTEMPTS = 3  # times that rows which other jobs have committed meanwhile are embedded as well


@dataclass(frozen=True)
class Part:
    """The rows that one task embeds."""

    places: tuple[int, ...]  # positions in the version of the table
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Prepared:
    """The media of the rows of one task: the item between its two halves."""

    keys: list[str]  # of the rows whose media could be prepared
    media: list[np.ndarray]  # see `Preparation`, one for each key
    failed: dict[str, Failure]  # key -> why there is none


@dataclass(frozen=True)
class Embedded:
    """The result of one task."""

    keys: list[str]  # of the rows that have a vector
    vectors: np.ndarray  # (n, dim) float32
    failed: dict[str, Failure]  # key -> why there is no vector


@dataclass(frozen=True)
class EmbedResult:
    """What was embedded."""

    store: str
    embedded: dict[str, int]  # new space -> rows that were embedded in this run
    dropped: list[str]  # spaces
    spaces: dict[str, dict[str, int]]  # table -> space -> dimension, afterwards
    took_s: float

    def to_json(self) -> dict[str, Any]:
        """Returns the fields, as `vclip embed --json` prints them."""
        return asdict(self)


class RayEngine:
    """Runs work on Ray, which is started if it does not run."""

    def gpus(self) -> int:
        """Returns how many GPUs the cluster has now."""
        start_ray()
        return cluster_gpus()

    def run(
        self,
        batches: Iterable[Sequence[Part]],
        open_work: Callable[[], Work[Part, Any]],
        name: str,
        task_cpus: float,
        actors: Actors,
    ) -> Iterator[tuple[Part, Embedded | Failure]]:
        """Yields the results of `run_tasks`."""
        start_ray()
        yield from run_tasks(batches, open_work, name, task_cpus, actors=actors)


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
    started_s, store, engine = time.monotonic(), Store.open(store_uri), engine or RayEngine()
    embedded: dict[str, int] = {}
    dropped: list[str] = []
    for table in tables:
        spec = config.encoders.face if table == "faces" else config.encoders.voice
        encoder = _open_encoder(table, spec, "cpu")
        if encoder.space not in store.spaces(table) or again:
            _check_media(store, table)
            say_licence(table, encoder)
            job = _TableJob(store, table, spec, encoder, config, engine, task_rows, write_rows)
            embedded[encoder.space] = job.run()
        else:
            discard(store, table, encoder.space)  # of an embedding that was killed at its very end
        if replace:
            dropped += drop_spaces(store, table, encoder.space)
        store = Store.open(store_uri)
    spaces = {table: store.spaces(table) for table in ("faces", "voices")}
    return EmbedResult(store_uri, embedded, dropped, spaces, time.monotonic() - started_s)


@dataclass(frozen=True)
class _TableJob:
    """The embedding of one table; the fields are the arguments of `embed`."""

    store: Store
    table: str
    spec: str
    encoder: FaceEncoder | VoiceEncoder  # which the spec opens
    config: Config
    engine: RayEngine
    task_rows: int
    write_rows: int

    def run(self) -> int:
        """Embeds all rows, also those that are committed meanwhile; returns how many were embedded."""
        sweep(self.store)
        table, space = self.table, self.encoder.space
        recorded = (FACE_ENCODERS if table == "faces" else VOICE_ENCODERS).record(self.spec)
        embedding, count = Embedding(self.store, table, space, self.encoder.dim, recorded), 0
        for _ in range(ATTEMPTS):
            todo = embedding.todo()
            if todo.done:
                say(f"{table}: {todo.done} rows have vectors already")
            if todo.keys:
                self._embed_rows(embedding, todo)
                count += len(todo.keys)
            command = {"job": "embed", "table": table, "space": space}
            with self.store.run(command, self.config.model_dump()) as run:
                finished = embedding.finish()
                run.summary = {"rows": count, "finished": finished}
            if finished:
                return count
        raise InputError(f"embed: {table} grew during each attempt, expected no other job to write; run it again")

    def _results(self, todo: Todo) -> Iterator[tuple[Part, Embedded | Failure]]:
        """Yields each part of the rows with its vectors, from tasks or, where there are GPUs, from actors."""
        config, table, uri = self.config, self.table, self.store.uri
        open_reading = partial(_open_reading, uri, table, todo.version, Preparation({table: self.encoder}))
        open_embedding = partial(_open_embedding, table, self.spec)
        settings = config.ingest
        actors = gpu_actors(
            lambda: (open_reading, open_embedding) if self._gains() else None,
            CALL_PARTS,
            settings.embed_actors,
            settings.embed_gpus,
            self.engine.gpus,
        )
        work = partial(_open_work, open_reading, table, self.spec)
        batches = ([part] for part in _parts(todo, self.task_rows))
        return self.engine.run(batches, work, "embed", config.batch.task_cpus, actors)

    def _gains(self) -> bool:
        if not gains_from_gpu(self.encoder):
            say(f"{self.table}: {self.encoder.space} does not gain from GPUs, so the tasks embed")
        return gains_from_gpu(self.encoder)

    def _embed_rows(self, embedding: Embedding, todo: Todo) -> None:
        """Embeds the rows of `todo` and stores their vectors; raises InputError if a row has none in the end."""
        tracebacks = Tracebacks(f"{run_folder(self.store.uri)}/embed", self.config.remote)
        failed: dict[str, Failure] = {}
        keys: list[str] = []
        vectors: list[np.ndarray] = []
        written_s = time.monotonic()
        with step(f"embed {self.table}", len(todo.keys), "rows") as progress:
            for part, result in self._results(todo):
                if isinstance(result, Failure):
                    result = Embedded([], np.empty((0, 0)), dict.fromkeys(part.keys, result))
                failed |= result.failed
                for key, failure in result.failed.items():
                    tracebacks.keep(failure, f"{self.table} {_id_of(key)}")
                if result.keys:
                    keys += result.keys
                    vectors.append(result.vectors)
                if keys and (len(keys) >= self.write_rows or time.monotonic() - written_s > WRITE_EVERY_S):
                    embedding.add(keys, np.concatenate(vectors))
                    keys, vectors, written_s = [], [], time.monotonic()
                progress.advance(len(part.keys))
            if keys:
                embedding.add(keys, np.concatenate(vectors))
        if failed:
            key, failure = next(iter(failed.items()))
            raise InputError(
                f"embed: {len(failed)} of {len(todo.keys)} {self.table} have no vector, such as {_id_of(key)} "
                f"({failure.reason}); `vclip check --repair` removes rows that cannot be decoded; then embed again, "
                "the vectors made so far are kept"
            )


def _id_of(key: str) -> str:
    """Returns the row's id of a key of `Todo`, which is id@run."""
    return key.partition("@")[0]


def _open_reading(uri: str, table: str, version: int, preparation: Preparation) -> Work[Part, Prepared]:
    store = Store.open(uri)
    prepare = partial(preparation.of, table=table)
    return lambda part, again: _prepared(part, media(store, table, version, part.places), prepare)


def _open_embedding(table: str, spec: str, device: str) -> Callable[[list[Prepared]], list[Embedded]]:
    encoder = _open_encoder(table, spec, device)
    batches = batches_of(encoder)
    return lambda batch: _embedded(batch, batches)


def _open_work(open_reading: Callable[[], Work[Part, Prepared]], table: str, spec: str) -> Work[Part, Embedded]:
    read, embed = open_reading(), _open_embedding(table, spec, "cpu")
    return lambda part, again: embed([read(part, again)])[0]


def _prepared(part: Part, contents: Sequence[bytes], prepare: Callable[[bytes], np.ndarray]) -> Prepared:
    found = Prepared([], [], {})
    for key, content in zip(part.keys, contents, strict=True):
        try:
            found.media.append(prepare(content))
            found.keys.append(key)
        except Exception as error:  # whatever a decoder raises, the other rows are embedded
            found.failed[key] = Failure.of_defect(error) if content else Failure("no media")
    return found


def _embedded(parts: Sequence[Prepared], embed: Batches) -> list[Embedded]:
    """Returns the vectors of the rows of each part; the media of all are embedded together."""
    vectors = np.asarray(embed([one for part in parts for one in part.media]), np.float32)
    own = np.split(vectors, np.cumsum([len(part.media) for part in parts])[:-1])
    return [_finite(part, matrix) for part, matrix in zip(parts, own, strict=True)]


def _finite(found: Prepared, vectors: np.ndarray) -> Embedded:
    finite = np.asarray(np.isfinite(vectors).all(axis=1))
    not_finite = Failure("the encoder gave no finite vector")
    failed = {key: not_finite for key, good in zip(found.keys, finite, strict=True) if not good}
    keys = [key for key, good in zip(found.keys, finite, strict=True) if good]
    return Embedded(keys, vectors[finite], found.failed | failed)


def _parts(todo: Todo, rows: int) -> Iterator[Part]:
    for start in range(0, len(todo.keys), rows):
        yield Part(tuple(todo.places[start : start + rows].tolist()), tuple(todo.keys[start : start + rows]))


def _open_encoder(table: str, spec: str, device: str | None) -> FaceEncoder | VoiceEncoder:
    return open_face_encoder(spec, device) if table == "faces" else open_voice_encoder(spec, device)


def _check_media(store: Store, table: str) -> None:
    version = store.version()[table]
    if store.count(table) and not media(store, table, version, [0])[0]:
        raise InputError(
            f"store {store.uri}: its {table} are vectors without media (`vclip import features`), expected images "
            "and audio; import the vectors of the other encoder into a store of their own"
        )


def tables_of(only: str | None) -> tuple[str, ...]:
    """Returns the tables that `--only` names, both if it is None; raises InputError for any other name."""
    if only is None:
        return EMBEDDED
    if only not in EMBEDDED:
        raise InputError(f"--only {only}: expected one of {', '.join(EMBEDDED)}")
    return (only,)
