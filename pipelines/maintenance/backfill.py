"""The job behind `vclip embed`: something is computed from the media of all rows of a table, on Ray.

Tasks read media by their positions in one version of the table and decode them. Where the cluster has GPUs, actors
compute; elsewhere the tasks do. The results are kept in a table of their own until all rows have one
(`stores.maintenance.backfill`), so a job that was killed continues.
"""

import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa

from pipelines.cluster.actors import Actors, gpu_actors
from pipelines.cluster.failures import Failure, Tracebacks, run_folder
from pipelines.cluster.remote_task import Work
from pipelines.cluster.session import cluster_gpus, start_ray
from pipelines.cluster.tasks import run_tasks
from pipelines.config import Config
from pipelines.progress import say, step
from pipelines.wording import count
from stores import Store
from stores.maintenance.backfill import Backfill, Todo, media
from stores.maintenance.compact import sweep
from vclip.errors import InputError

CALL_PARTS = 16  # parts that one call of an actor takes
WRITE_ROWS = 4096
WRITE_EVERY_S = 30.0  # results are written after this time, however few there are
LOOKED_AT = 64  # rows, for media, before a job begins
ATTEMPTS = 3  # times that rows which other jobs have committed meanwhile are done as well


@dataclass(frozen=True)
class Part:
    """The rows of one task."""

    places: tuple[int, ...]  # positions in the version of the table
    keys: tuple[str, ...]


@dataclass(frozen=True)
class Prepared:
    """The media of the rows of one task: the item between its two halves."""

    keys: list[str]  # of the rows whose media could be prepared
    media: list[Any]  # one for each key
    failed: dict[str, Failure]  # key -> why there is none


@dataclass(frozen=True)
class Computed:
    """The result of one task."""

    rows: pa.Table  # for `Backfill.add_rows`
    failed: Mapping[str, Failure]  # key -> why there is no value


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
    ) -> Iterator[tuple[Part, Computed | Failure]]:
        """Yields the results of `run_tasks`."""
        start_ray()
        yield from run_tasks(batches, open_work, name, task_cpus, actors=actors)


@dataclass(frozen=True)
class How:
    """How a job runs: with which configuration and engine, and in which portions."""

    config: Config
    engine: RayEngine
    task_rows: int
    write_rows: int = WRITE_ROWS


Compute = Callable[[list[Prepared]], list[Computed]]


class BackfillJob(ABC):
    """The backfill of one table.

    Args:
        store: the store.
        table: the table.
        what: what is computed, for the progress.
        how: how it runs.
    """

    def __init__(self, store: Store, table: str, what: str, how: How):
        self.store, self.table, self.what, self.how = store, table, what, how

    @abstractmethod
    def collection(self) -> Backfill:
        """Returns where the results are collected."""

    @abstractmethod
    def prepare(self) -> Callable[[bytes], Any]:
        """Returns the function that tasks prepare a medium with; it can be pickled and holds no weights."""

    @abstractmethod
    def opener(self) -> Callable[[str], Compute]:
        """Returns what opens the computation on a device; it can be pickled."""

    @abstractmethod
    def gains(self) -> bool:
        """Returns whether a GPU makes the computation faster."""

    @abstractmethod
    def lost(self, keys: Sequence[str], failure: Failure) -> Computed:
        """Returns the result of rows whose task failed."""

    @abstractmethod
    def refuse(self, failed: Mapping[str, Failure], rows: int) -> None:
        """Raises InputError if the job must not end with these of so many rows failed."""

    @abstractmethod
    def command(self) -> dict[str, Any]:
        """Returns the job and its inputs, for the record of the run."""

    @abstractmethod
    def summary(self) -> dict[str, Any]:
        """Returns what the record of the run says of the collected results; called before they are committed."""

    def run(self) -> int:
        """Does all rows, also those that are committed meanwhile; returns how many were done."""
        sweep(self.store)
        collection, rows, started_s = self.collection(), 0, time.monotonic()
        for _ in range(ATTEMPTS):
            todo = collection.todo()
            if todo.done:
                say(f"{self.table}: {self.what} already there of {count(todo.done, 'row')}")
            if todo.keys:
                self._compute(collection, todo)
                rows += len(todo.keys)
            summary = self.summary()
            with self.store.run(self.command(), self.how.config.model_dump()) as run:
                finished = collection.finish()
                took_s = time.monotonic() - started_s  # its record begins when all is computed
                run.summary = {"rows": rows, "finished": finished, "took_s": took_s} | summary
            if finished:
                return rows
        raise InputError(
            f"embed: {self.table} grew during each attempt, expected no other job to write; run it again"
        )

    def _results(self, todo: Todo) -> Iterator[tuple[Part, Computed | Failure]]:
        """Yields the result of each part of the rows, from tasks or, where there are GPUs, from actors."""
        how, open_compute = self.how, self.opener()
        open_reading = partial(_open_reading, self.store.uri, self.table, todo.version, self.prepare())
        actors = gpu_actors(
            lambda: (open_reading, open_compute) if self.gains() else None,
            CALL_PARTS,
            how.config.ingest.embed_actors,
            how.config.ingest.embed_gpus,
            how.engine.gpus,
        )
        work = partial(_open_work, open_reading, open_compute)
        batches = ([part] for part in _parts(todo, how.task_rows))
        return how.engine.run(batches, work, "embed", how.config.batch.task_cpus, actors)

    def _compute(self, collection: Backfill, todo: Todo) -> None:
        """Does the rows of `todo` and stores their results; raises InputError as `refuse` does."""
        tracebacks = Tracebacks(f"{run_folder(self.store.uri)}/embed", self.how.config.remote)
        failed: dict[str, Failure] = {}
        waiting: list[pa.Table] = []
        written_s = time.monotonic()
        with step(f"embed {self.table}: {self.what}", len(todo.keys), "rows") as progress:
            for part, result in self._results(todo):
                if isinstance(result, Failure):
                    result = self.lost(part.keys, result)
                failed |= result.failed
                for key, failure in result.failed.items():
                    tracebacks.keep(failure, f"{self.table} {id_of(key)}")
                waiting += [result.rows] if result.rows.num_rows else []
                rows = sum(table.num_rows for table in waiting)
                if rows and (rows >= self.how.write_rows or time.monotonic() - written_s > WRITE_EVERY_S):
                    collection.add_rows(pa.concat_tables(waiting))
                    waiting, written_s = [], time.monotonic()
                progress.advance(len(part.keys))
            if waiting:
                collection.add_rows(pa.concat_tables(waiting))
        self.refuse(failed, len(todo.keys))


def id_of(key: str) -> str:
    """Returns the row's id of a key of `Todo`, which is id@run."""
    return key.partition("@")[0]


def check_media(store: Store, table: str, needed: Callable[[Iterable[bool]], bool], instead: str) -> None:
    """Raises InputError, which ends in `instead`, if rows of the table are vectors without media.

    Args:
        store: the store.
        table: the table; some rows of it, evenly spaced, are looked at.
        needed: `all` if every row needs a medium, `any` if those without are left out.
        instead: what to do.
    """
    rows = store.db.open_table(table).to_lance()
    places = sorted({round(place) for place in np.linspace(0, rows.count_rows() - 1, LOOKED_AT).tolist()})
    found = list(map(bool, media(store, table, rows.version, places))) if rows.count_rows() else []
    if found and not needed(found):
        some = "some of " if any(found) else ""
        raise InputError(
            f"store {store.uri}: {some}its {table} are vectors without media (`vclip import features`), expected "
            f"images and audio; {instead}"
        )


def _open_reading(uri: str, table: str, version: int, prepare: Callable[[bytes], Any]) -> Work[Part, Prepared]:
    store = Store.open(uri)
    return lambda part, again: _prepared(part, media(store, table, version, part.places), prepare)


def _open_work(
    open_reading: Callable[[], Work[Part, Prepared]], open_compute: Callable[[str], Compute]
) -> Work[Part, Computed]:
    read, compute = open_reading(), open_compute("cpu")
    return lambda part, again: compute([read(part, again)])[0]


def _prepared(part: Part, contents: Sequence[bytes], prepare: Callable[[bytes], Any]) -> Prepared:
    found = Prepared([], [], {})
    for key, content in zip(part.keys, contents, strict=True):
        try:
            found.media.append(prepare(content))
            found.keys.append(key)
        except Exception as error:  # whatever a decoder raises, the other rows are done
            found.failed[key] = Failure.of_defect(error) if content else Failure("no media")
    return found


def _parts(todo: Todo, rows: int) -> Iterator[Part]:
    for start in range(0, len(todo.keys), rows):
        yield Part(tuple(todo.places[start : start + rows].tolist()), tuple(todo.keys[start : start + rows]))
