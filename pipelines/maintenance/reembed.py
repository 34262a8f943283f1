"""`vclip embed`: the media of a store through other encoders, on Ray; the store keeps its rows and gains a space.

Tasks read media by their places in one version of a table, and only vectors come back. The store keeps them beside
the table until all rows have theirs (`stores.maintenance.embed`), so a job that was killed goes on.
"""

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

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
from vclip.encoders import FACE_ENCODERS, VOICE_ENCODERS, open_face_encoder, open_voice_encoder
from vclip.errors import InputError

ROWS = 64  # to a task: about 1 MB of crops, 10 MB of speech
KEEP_EVERY = 4096  # vectors to one write, unless
KEEP_EVERY_S = 30.0  # this time has gone by
ATTEMPTS = 3  # rows that are committed meanwhile are embedded as well, so often

DECODE: dict[str, Callable[..., np.ndarray]] = {"faces": decode_image, "voices": decode_speech}


@dataclass(frozen=True)
class Part:
    """What one task embeds."""

    places: tuple[int, ...]
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Embedded:
    """What a task made of it."""

    keys: list[str]
    vectors: np.ndarray  # (n, dim) float32
    failed: dict[str, Failure]  # key -> why there is no vector


def embed(
    store_uri: str, config: Config, tables: Sequence[str], replace: bool = False, again: bool = False
) -> dict[str, Any]:
    """Gives a store the vectors of the configured encoders, and returns what was done.

    Args:
        store_uri: the store.
        config: its section `encoders`.
        tables: of `faces` and `voices`, those to embed.
        replace: drop the vectors of other spaces afterwards.
        again: embed anew what has vectors of this space already.

    Raises:
        InputError: media are missing or cannot be decoded, or a worker died each time. What is done is kept.
        StoreError: no store, or a job is writing.
    """
    started_s, store = time.monotonic(), Store.open(store_uri)
    done: dict[str, Any] = {"store": store_uri, "embedded": {}, "dropped": []}
    for table in tables:
        spec = config.encoders.face if table == "faces" else config.encoders.voice
        encoder = _open(table, spec)
        if encoder.space not in store.spaces(table) or again:
            _check_media(store, table)
            done["embedded"][encoder.space] = _embed(store, table, spec, encoder, config)
        if replace:
            done["dropped"] += drop_spaces(store, table, encoder.space)
        store = Store.open(store_uri)
    done["spaces"] = {table: store.spaces(table) for table in ("faces", "voices")}
    return done | {"took_s": time.monotonic() - started_s}


def _embed(store: Store, table: str, spec: str, encoder: Any, config: Config) -> int:
    """Embeds one table; returns how many rows that took."""
    sweep(store)
    recorded = (FACE_ENCODERS if table == "faces" else VOICE_ENCODERS).record(spec)
    embedding, count = Embedding(store, table, encoder.space, encoder.dim, recorded), 0
    for _ in range(ATTEMPTS):
        todo = embedding.todo()
        if todo.done:
            say(f"{table}: {todo.done} rows are embedded already")
        if todo.keys:
            start_ray()
            count += _embed_rows(store, table, spec, embedding, todo, config)
        with store.run({"job": "embed", "table": table, "space": encoder.space}, config.model_dump()) as run:
            finished = embedding.finish()
            run.summary = {"rows": count, "finished": finished}
        if finished:
            return count
    raise InputError(f"embed: {table} grew each time that it was done, expected nobody to write; run it again")


def _embed_rows(store: Store, table: str, spec: str, embedding: Embedding, todo: Todo, config: Config) -> int:
    work = partial(_open_embedding, store.uri, table, todo.version, spec)
    tracebacks = Tracebacks(f"{run_folder(store.uri)}/embed", config.remote)
    failed, keys, vectors, kept_s = {}, [], [], time.monotonic()

    def keep() -> None:
        if keys:
            embedding.add(keys, np.concatenate(vectors))

    with step(f"embed {table}", len(todo.keys), "rows") as progress:
        for part, done in run_tasks(([part] for part in _parts(todo)), work, "embed", config.batch.task_cpus):
            if isinstance(done, Failure):
                done = Embedded([], np.empty((0, 0)), dict.fromkeys(part.keys, done))
            failed |= done.failed
            for key, failure in done.failed.items():
                tracebacks.keep(failure, f"{table} {key.partition('@')[0]}")
            if done.keys:
                keys += done.keys
                vectors.append(done.vectors)
            if len(keys) >= KEEP_EVERY or time.monotonic() - kept_s > KEEP_EVERY_S:
                keep()
                keys, vectors, kept_s = [], [], time.monotonic()
            progress.advance(len(part.keys))
        keep()
    if failed:
        key, why = next(iter(failed.items()))
        example = f"{key.partition('@')[0]} ({why.reason})"
        raise InputError(
            f"embed: {len(failed)} of {len(todo.keys)} {table} gave no vector, as {example}; "
            "`vclip check --repair` removes what cannot be decoded; then embed again, what is done is kept"
        )
    return len(todo.keys)


def _open_embedding(uri: str, table: str, version: int, spec: str) -> Work[Part, Embedded]:
    store, encoder = Store.open(uri), _open(table, spec)
    decode = DECODE[table]
    if table == "voices":
        decode = partial(decode, sample_rate_hz=encoder.sample_rate_hz)
    return lambda part, again: _embedded(part, media(store, table, version, part.places), decode, encoder)


def _embedded(part: Part, contents: Sequence[bytes], decode: Callable[[bytes], np.ndarray], encoder: Any) -> Embedded:
    keys: list[str] = []
    decoded: list[np.ndarray] = []
    failed: dict[str, Failure] = {}
    for key, content in zip(part.keys, contents, strict=True):
        try:
            decoded.append(decode(content))
            keys.append(key)
        except Exception as error:  # whatever a decoder trips over, the other rows go on
            failed[key] = Failure.of_defect(error) if content else Failure("no media")
    vectors = np.asarray(encoder.embed(decoded), np.float32) if decoded else np.empty((0, encoder.dim), np.float32)
    finite = np.asarray(np.isfinite(vectors).all(axis=1))
    not_finite = Failure("the encoder gave no finite vector")
    failed |= {key: not_finite for key, good in zip(keys, finite, strict=True) if not good}
    return Embedded([key for key, good in zip(keys, finite, strict=True) if good], vectors[finite], failed)


def _parts(todo: Todo) -> Iterator[Part]:
    for start in range(0, len(todo.keys), ROWS):
        yield Part(tuple(todo.places[start : start + ROWS].tolist()), tuple(todo.keys[start : start + ROWS]))


def _open(table: str, spec: str) -> Any:
    return open_face_encoder(spec, "cpu") if table == "faces" else open_voice_encoder(spec, "cpu")


def _check_media(store: Store, table: str) -> None:
    version = store.version()[table]
    if store.count(table) and not media(store, table, version, [0])[0]:
        raise InputError(
            f"store {store.uri}: its {table} are vectors without media (`vclip import features`), expected pictures "
            "and sound; import the vectors of the other encoder into a store of their own"
        )


def tables_of(only: str | None) -> tuple[str, ...]:
    """Returns the tables that `--only` names; raises InputError if it names none."""
    if only is None:
        return tuple(DECODE)
    if only not in DECODE:
        raise InputError(f"--only {only}: expected one of {', '.join(DECODE)}")
    return (only,)
