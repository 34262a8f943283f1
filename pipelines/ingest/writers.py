"""The writers of an ingest: on each node that does a video, an actor that writes the rows of its tasks to the store.

    task or GPU actor -> writer of its node -> files in the store
                                            -> driver: fragments and rows without media, for the commit

A writer collects videos until its fragment is full, or old enough for the driver, which asks all writers every few
seconds. It needs no CPU of Ray's. It is started by the first task that needs it and ends when its node is idle, so
that the cluster may take the node back. What a lost writer held is done again.
"""

import os
import pickle
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any

import pyarrow as pa

from pipelines.cluster.node_actors import actors_of, end_actors, node_actor
from pipelines.cluster.session import worker_deaths
from stores.rows import Row, ledger_row, pieces_of
from stores.schema import VIDEO_TABLES, Spaces

# The extraction's types come with its libraries, 0.5 GB: a writer hands on what it is given without looking inside.
# A worker opens no store: only a writer imports LanceDB, 0.12 GB.
if TYPE_CHECKING:
    from pipelines.ingest.embed import Ingested, SourceResult
    from stores import Store
    from stores.fragments import Written

Piece = tuple[str, bytes]  # a table, and rows of it as an Arrow stream
Pickled = tuple[bytes, bytes]  # an `Ingested`, with the thumbnails of its candidates and without

SENT_BYTES = 4 << 20  # rows that a task sends at once
THUMBNAILS = 8  # videos of a fragment whose dropped candidates are shown in the report
IDLE_S = 60.0  # after which a writer without rows ends
ORPHANED_S = 600.0  # after which a writer that no driver asks ends
LONGEST_PAUSE_S = 5.0  # between two commits
TRIES = 5  # of sending a video, if the writer dies meanwhile


@dataclass
class _Set:
    """The videos of one fragment of each table."""

    began_s: float = field(default_factory=time.monotonic)
    videos: dict[str, tuple[Pickled, Row, list[Piece]]] = field(default_factory=dict)
    size: int = 0

    def write(self, store: "Store", run_id: str) -> "tuple[Written, list[bytes]]":
        """Writes the rows; returns what is to be committed, and the videos for the report."""
        from stores import fragments

        pieces: dict[str, list[pa.Table]] = {}
        for _, _, own in self.videos.values():
            for name, rows in own:
                pieces.setdefault(name, []).append(pa.ipc.open_stream(rows).read_all())
        tables = {name: pa.concat_tables(rows) for name, rows in pieces.items()}
        files = fragments.write(store.db, run_id, tables)
        pickled = [one for one, _, _ in self.videos.values()]
        shown = [i for i, (full, bare) in enumerate(pickled) if len(full) > len(bare)][:THUMBNAILS]
        done = [full if i in shown else bare for i, (full, bare) in enumerate(pickled)]
        return fragments.Written([row for _, row, _ in self.videos.values()], files), done


class Writer:
    """Collects the rows of videos, and writes them to the store when a fragment is full or old enough.

    Args:
        store_uri: the store.
        run_id: of the rows.
        most_videos, most_mb: a fragment with as much is full.
    """

    def __init__(self, store_uri: str, run_id: str, most_videos: int, most_mb: float):
        from stores import Store

        self._store, self._run_id = Store.open(store_uri), run_id
        self._most_videos, self._most_bytes = most_videos, most_mb * 1e6
        self._lock = threading.Lock()
        self._open, self._full = _Set(), list[_Set]()
        self._parts: dict[str, list[Piece]] = {}  # of videos that are still being sent
        self._asked_s = self._used_s = time.monotonic()

    def put(self, video_id: str, pieces: Sequence[Piece], first: bool) -> None:
        """Takes some rows of a video."""
        with self._lock:
            self._used_s = time.monotonic()
            if first:
                self._parts[video_id] = []
            self._parts.setdefault(video_id, []).extend(pieces)

    def forget(self, video_id: str) -> None:
        """Drops what was sent of a video that has failed."""
        with self._lock:
            self._parts.pop(video_id, None)

    def add(self, done: Pickled, row: Row, pieces: Sequence[Piece]) -> bool:
        """Takes a video with the last of its rows; returns False if some that were sent before are missing."""
        video_id = row["video_id"]
        with self._lock:
            self._used_s = time.monotonic()
            own = [*self._parts.pop(video_id, ()), *pieces]
            if not _is_whole(row, own):
                return False
            if not self._open.videos:
                self._open = _Set()
            self._open.videos[video_id] = done, row, own
            self._open.size += sum(len(rows) for _, rows in own)
            if len(self._open.videos) >= self._most_videos or self._open.size >= self._most_bytes:
                self._full.append(self._open)
                self._open = _Set()
            return True

    def collect(self, older_s: float) -> "tuple[list[tuple[Written, list[bytes]]], bool]":
        """Writes the fragments that are full or older than this; returns them, and whether the node is idle."""
        with self._lock:
            self._asked_s = now_s = time.monotonic()
            if self._open.videos and now_s - self._open.began_s >= older_s:
                self._full.append(self._open)
                self._open = _Set()
            full, self._full = self._full, []
            idle = not (full or self._open.videos or self._parts) and now_s - self._used_s > IDLE_S
        return [one.write(self._store, self._run_id) for one in full], idle


class NodeWriter(Writer):
    """The actor of one node: a writer that owns its process, and ends it when no driver asks any more."""

    def __init__(self, *given: Any):
        super().__init__(*given)
        threading.Thread(target=self._end_with_the_driver, daemon=True).start()

    def _end_with_the_driver(self) -> None:
        while time.monotonic() - self._asked_s < ORPHANED_S:
            time.sleep(ORPHANED_S / 20)
        os._exit(0)


def _is_whole(row: Row, pieces: Sequence[Piece]) -> bool:
    counts: Counter[str] = Counter()
    for name, rows in pieces:
        counts[name] += sum(batch.num_rows for batch in pa.ipc.open_stream(rows))
    return all(row[f"n_{name}"] == counts[name] for name in VIDEO_TABLES)


def _without_thumbnails(done: "Ingested") -> "Ingested":
    candidates = tuple(replace(one, thumbnail=b"") for one in done.extraction.candidates)
    return replace(done, extraction=replace(done.extraction, candidates=candidates))


@dataclass(frozen=True)
class Sink:
    """Where workers send their videos: the writer of the node that they run on.

    Args:
        store_uri: the store.
        spaces: table -> space -> dimension, of the store.
        run_id: of the rows.
        most_videos, most_mb: of a fragment.
    """

    store_uri: str
    spaces: Spaces
    run_id: str
    most_videos: int
    most_mb: float

    def begin(self) -> None:
        """Starts the writer of this node, which takes seconds, without waiting for it."""
        self._writer()

    def write(self, parts: "Callable[[], Iterable[SourceResult]]") -> None:
        """Hands over an embedded video; nothing of it is committed before the driver commits its fragment.

        Args:
            parts: returns the parts of the video (`pipelines.ingest.embed.parts_of`), which are sent one by one.

        Raises:
            StoreError: its rows do not fit the store. What making a part raises, too.
        """
        import ray

        for _ in range(TRIES):
            try:
                writer, whole = self._writer(), False
                for method, *args in sent(parts(), self.spaces):
                    whole = ray.get(getattr(writer, method).remote(*args))
                if whole:
                    return
            except worker_deaths():
                time.sleep(1.0)  # until its name is free
        raise RuntimeError(f"the writer of this node died {TRIES} times while it took one video")

    def _writer(self) -> Any:
        given = self.store_uri, self.run_id, self.most_videos, self.most_mb
        return node_actor(NodeWriter, _namespace(self.run_id), *given)


def sent(parts: "Iterable[SourceResult]", spaces: Spaces, at_once: int = SENT_BYTES) -> Iterator[tuple[Any, ...]]:
    """Yields the calls, method and arguments, that hand a video to a writer.

    Raises:
        StoreError: its rows do not fit the store.
    """
    from pipelines.ingest.embed import joined

    held, size, first, video_id = list[Piece](), 0, True, ""
    done: list[Ingested] = []
    try:
        for part in parts:
            video_id = part.source.video_id
            for name, rows in pieces_of(part.rows, spaces):
                held.append((name, _packed(rows)))
                size += len(held[-1][1])
                if size >= at_once:
                    yield "put", video_id, held, first
                    held, size, first = [], 0, False
            done.append(part.ingested)
        whole = joined(done)
        row = ledger_row(whole.rows)
    except Exception:
        if not first:
            yield "forget", video_id
        raise
    yield "add", (pickle.dumps(whole), pickle.dumps(_without_thumbnails(whole))), row, held


class Writers:
    """The driver's view of the writers of a run.

    Args:
        run_id: the run.
        every_s: how often the cluster as a whole writes a fragment that is not full. With n writers each waits n
            times as long, so that the number of fragments does not grow with the cluster.
        clock: tells seconds.
    """

    def __init__(self, run_id: str, every_s: float, clock: Callable[[], float] = time.monotonic):
        self._run_id, self._every_s, self._clock = run_id, every_s, clock
        self.look_every_s = self._pause_s = every_s / 30
        self._looked_s = self._ended_s = clock()

    @property
    def due(self) -> bool:
        """Whether it is time to collect."""
        return self._clock() - self._ended_s >= self._pause_s

    def rest(self) -> None:
        """Notes that what was collected is committed; the pause until the next time grows with what that took."""
        self._ended_s = self._clock()
        self._pause_s = pause_s(self.look_every_s, self._ended_s - self._looked_s)

    def collect(self, last: bool = False) -> "list[tuple[Written, list[Ingested]]]":
        """Returns the fragments that are full or old enough, or all at last; ends the writers of idle nodes.

        Raises:
            StoreUnavailable: a writer cannot write to the store.
        """
        import ray
        from ray.exceptions import RayTaskError

        writers = actors_of(_namespace(self._run_id))
        self._looked_s = self._clock()
        older_s = 0.0 if last else self._every_s * len(writers)
        asked = {writer.collect.remote(older_s): writer for writer in writers}
        found = []
        for ref, writer in asked.items():
            try:
                written, idle = ray.get(ref)
            except worker_deaths():
                continue  # what it held is still to be done
            except RayTaskError as error:
                raise error.cause if isinstance(error.cause, ValueError) else error from None
            found += [(one, [pickle.loads(video) for video in videos]) for one, videos in written]
            if idle and not last:
                ray.kill(writer)
        return found

    def end(self) -> None:
        """Ends all writers."""
        end_actors(_namespace(self._run_id))


def pause_s(look_every_s: float, took_s: float) -> float:
    """Returns how long to wait for the next commit after one that took so long."""
    return max(look_every_s, min(20 * took_s, LONGEST_PAUSE_S))


def _namespace(run_id: str) -> str:
    return f"vclip-writers-{run_id}"


def _packed(rows: pa.Table) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, rows.schema) as stream:
        stream.write_table(rows)
    return sink.getvalue().to_pybytes()
