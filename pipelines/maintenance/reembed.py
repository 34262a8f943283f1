"""`vclip embed`: embed the media of a store with other encoders, on Ray; the rows stay, and the store gains a space.

Tasks read media by their positions in one version of a table, and return vectors alone. The vectors are kept in a
table of their own until all rows have one (`stores.maintenance.embed`), so a job that was killed continues.
"""

import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from typing import Any, Protocol, cast

import numpy as np

from pipelines.cluster.failures import Failure, Tracebacks, run_folder
from pipelines.cluster.session import start_ray
from pipelines.cluster.tasks import Work, run_tasks
from pipelines.config import Config
from pipelines.ingest.embed import decode_image, decode_speech
from pipelines.progress import say, step
from stores import Store
from stores.maintenance.compact import sweep
from stores.maintenance.embed import Embedding, Todo, drop_spaces, media
from stores.schema import EMBEDDED
from vclip.encoders import (
    FACE_ENCODERS,
    VOICE_ENCODERS,
    FaceEncoder,
    VoiceEncoder,
    open_face_encoder,
    open_voice_encoder,
)
from vclip.errors import InputError

TASK_ROWS = 64  # about 1 MB of crops, 10 MB of speech
WRITE_ROWS = 4096
WRITE_EVERY_S = 30.0  # vectors are written after this time, however few there are
ATTEMPTS = 3  # times that rows which other jobs have committed meanwhile are embedded as well


@dataclass(frozen=True)
class Part:
    """The rows that one task embeds."""

    places: tuple[int, ...]  # positions in the version of the table
    keys: tuple[str, ...]


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


class Engine(Protocol):
    """Runs work on many items; `pipelines.cluster.tasks.run_tasks` is one."""

    def __call__(
        self,
        batches: Iterable[Sequence[Part]],
        open_work: Callable[[], Work[Part, Embedded]],
        name: str,
        task_cpus: float,
    ) -> Iterator[tuple[Part, Embedded | Failure]]:
        """Yields each item with its result, or with why there is none."""
        ...


def on_ray(
    batches: Iterable[Sequence[Part]], open_work: Callable[[], Work[Part, Embedded]], name: str, task_cpus: float
) -> Iterator[tuple[Part, Embedded | Failure]]:
    """Starts Ray if it does not run, and yields the results of `run_tasks`."""
    start_ray()
    yield from run_tasks(batches, open_work, name, task_cpus)


def embed(
    store_uri: str,
    config: Config,
    tables: Sequence[str],
    replace: bool = False,
    again: bool = False,
    *,
    engine: Engine = on_ray,
    task_rows: int = TASK_ROWS,
    write_rows: int = WRITE_ROWS,
) -> EmbedResult:
    """Adds the vectors of the configured encoders to a store, and drops those of other spaces if asked to.

    Args:
        store_uri: the store.
        config: the section `encoders` names the encoders; `batch.task_cpus` and `remote` are read as well.
        tables: `faces`, `voices` or both.
        replace: drop the vectors of other spaces afterwards.
        again: embed rows again that have vectors of this space.
        engine: runs the tasks.
        task_rows: rows that one task embeds.
        write_rows: vectors that are written at a time.

    Raises:
        InputError: media are missing or cannot be decoded, or workers died. Vectors made so far are kept.
        StoreError: there is no store, or a job is writing.
    """
    started_s, store = time.monotonic(), Store.open(store_uri)
    embedded: dict[str, int] = {}
    dropped: list[str] = []
    for table in tables:
        spec = config.encoders.face if table == "faces" else config.encoders.voice
        encoder = _open_encoder(table, spec)
        if encoder.space not in store.spaces(table) or again:
            _check_media(store, table)
            run = partial(_embed_rows, store, table, spec, config, engine, task_rows, write_rows)
            embedded[encoder.space] = _embed_table(store, table, spec, encoder, config, run)
        if replace:
            dropped += drop_spaces(store, table, encoder.space)
        store = Store.open(store_uri)
    spaces = {table: store.spaces(table) for table in ("faces", "voices")}
    return EmbedResult(store_uri, embedded, dropped, spaces, time.monotonic() - started_s)


def _embed_table(
    store: Store,
    table: str,
    spec: str,
    encoder: FaceEncoder | VoiceEncoder,
    config: Config,
    embed_rows: Callable[[Embedding, Todo], None],
) -> int:
    """Embeds all rows of a table, also those that are committed meanwhile; returns how many were embedded."""
    sweep(store)
    recorded = (FACE_ENCODERS if table == "faces" else VOICE_ENCODERS).record(spec)
    embedding, count = Embedding(store, table, encoder.space, encoder.dim, recorded), 0
    for _ in range(ATTEMPTS):
        todo = embedding.todo()
        if todo.done:
            say(f"{table}: {todo.done} rows have vectors already")
        if todo.keys:
            embed_rows(embedding, todo)
            count += len(todo.keys)
        with store.run({"job": "embed", "table": table, "space": encoder.space}, config.model_dump()) as run:
            finished = embedding.finish()
            run.summary = {"rows": count, "finished": finished}
        if finished:
            return count
    raise InputError(f"embed: {table} grew during each attempt, expected no other job to write; run it again")


def _embed_rows(
    store: Store,
    table: str,
    spec: str,
    config: Config,
    engine: Engine,
    task_rows: int,
    write_rows: int,
    embedding: Embedding,
    todo: Todo,
) -> None:
    """Embeds the rows of `todo` and stores their vectors; raises InputError if a row has none in the end."""
    work = partial(_open_work, store.uri, table, todo.version, spec)
    tracebacks = Tracebacks(f"{run_folder(store.uri)}/embed", config.remote)
    failed: dict[str, Failure] = {}
    keys: list[str] = []
    vectors: list[np.ndarray] = []
    written_s = time.monotonic()

    def write() -> None:
        if keys:
            embedding.add(keys, np.concatenate(vectors))

    batches = ([part] for part in _parts(todo, task_rows))
    with step(f"embed {table}", len(todo.keys), "rows") as progress:
        for part, result in engine(batches, work, "embed", config.batch.task_cpus):
            if isinstance(result, Failure):
                result = Embedded([], np.empty((0, 0)), dict.fromkeys(part.keys, result))
            failed |= result.failed
            for key, failure in result.failed.items():
                tracebacks.keep(failure, f"{table} {_id_of(key)}")
            if result.keys:
                keys += result.keys
                vectors.append(result.vectors)
            if len(keys) >= write_rows or time.monotonic() - written_s > WRITE_EVERY_S:
                write()
                keys, vectors, written_s = [], [], time.monotonic()
            progress.advance(len(part.keys))
        write()
    if failed:
        key, failure = next(iter(failed.items()))
        raise InputError(
            f"embed: {len(failed)} of {len(todo.keys)} {table} have no vector, such as {_id_of(key)} "
            f"({failure.reason}); `vclip check --repair` removes rows that cannot be decoded; then embed again, the "
            "vectors made so far are kept"
        )


def _id_of(key: str) -> str:
    """Returns the row's id of a key of `Todo`, which is id@run."""
    return key.partition("@")[0]


def _open_work(uri: str, table: str, version: int, spec: str) -> Work[Part, Embedded]:
    store, encoder = Store.open(uri), _open_encoder(table, spec)
    decode: Callable[[bytes], np.ndarray] = decode_image
    if table == "voices":
        decode = partial(decode_speech, sample_rate_hz=cast(VoiceEncoder, encoder).sample_rate_hz)
    return lambda part, again: _embedded(part, media(store, table, version, part.places), decode, encoder)


def _embedded(
    part: Part, contents: Sequence[bytes], decode: Callable[[bytes], np.ndarray], encoder: FaceEncoder | VoiceEncoder
) -> Embedded:
    keys: list[str] = []
    decoded: list[np.ndarray] = []
    failed: dict[str, Failure] = {}
    for key, content in zip(part.keys, contents, strict=True):
        try:
            decoded.append(decode(content))
            keys.append(key)
        except Exception as error:  # whatever a decoder raises, the other rows are embedded
            failed[key] = Failure.of_defect(error) if content else Failure("no media")
    vectors = np.asarray(encoder.embed(decoded), np.float32) if decoded else np.empty((0, encoder.dim), np.float32)
    finite = np.asarray(np.isfinite(vectors).all(axis=1))
    not_finite = Failure("the encoder gave no finite vector")
    failed |= {key: not_finite for key, good in zip(keys, finite, strict=True) if not good}
    return Embedded([key for key, good in zip(keys, finite, strict=True) if good], vectors[finite], failed)


def _parts(todo: Todo, rows: int) -> Iterator[Part]:
    for start in range(0, len(todo.keys), rows):
        yield Part(tuple(todo.places[start : start + rows].tolist()), tuple(todo.keys[start : start + rows]))


def _open_encoder(table: str, spec: str) -> FaceEncoder | VoiceEncoder:
    return open_face_encoder(spec, "cpu") if table == "faces" else open_voice_encoder(spec, "cpu")


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
