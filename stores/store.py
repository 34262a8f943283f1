"""The store: one class over LanceDB tables in a folder or an object store.

    store = Store.open_or_create("work/store", faces={"dlib/resnet-v1-128/crop1": 128},
                                 voices={"resemblyzer/ge2e-256": 256})
    with store.run({"job": "ingest"}, config={}) as run:
        store.commit([VideoRows(video | {"run_id": run.run_id}, clips, faces, voices)])
    store.query("clips", ["clip_id"], where="end_s - start_s > 2 AND gender = 'f'")

Every read goes through a `Snapshot`: one consistent state in which only complete videos are visible.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cached_property
from typing import Any, Self

import numpy as np
import pyarrow as pa
from lancedb.db import DBConnection

from stores import commit, connection, edits, pairs, rows, runs, schema, search
from stores.connection import Options
from stores.errors import StoreError
from stores.maintenance import migrations, tags
from stores.rows import Row, VideoRows
from stores.schema import EMBEDDED
from stores.snapshot import Snapshot
from stores.sql import quoted
from stores.upkeep import Upkeep
from stores.vector_cache import Memory


class Store(Upkeep):
    """An open store. Made by `create`, `open` or `open_or_create`.

    Spaces are given as space -> dimension, for the tables `faces` and `voices`; `encoders`, as space -> the spec that
    opens its encoder, are recorded in a new store. `options` are LanceDB's storage
    options for object stores (region, endpoint, credentials where the environment has none).
    """

    def __init__(self, uri: str, db: DBConnection):
        self.uri = uri
        self.db = db
        self._last: Snapshot | None = None
        self._memory = Memory()

    @classmethod
    def create(
        cls,
        uri: str,
        faces: Mapping[str, int],
        voices: Mapping[str, int],
        options: Options = None,
        encoders: Mapping[str, str] | None = None,
    ) -> Self:
        """Returns a new, empty store; finishes one whose creation was interrupted.

        Raises:
            StoreError: something is there already, or the spaces cannot be stored.
        """
        return cls(str(uri), connection.create(str(uri), {"faces": faces, "voices": voices}, options, encoders))

    @classmethod
    def open(
        cls,
        uri: str,
        faces: Mapping[str, int] | None = None,
        voices: Mapping[str, int] | None = None,
        options: Options = None,
    ) -> Self:
        """Returns the store at `uri`, checked to hold vectors of the given spaces.

        Raises:
            StoreError: no store is there, it was made by another version (see `migrate`), or for other spaces.
        """
        spaces = {"faces": faces or {}, "voices": voices or {}}
        return cls(str(uri), connection.open_current(str(uri), spaces, options))

    @classmethod
    def open_or_create(
        cls,
        uri: str,
        faces: Mapping[str, int],
        voices: Mapping[str, int],
        options: Options = None,
        encoders: Mapping[str, str] | None = None,
    ) -> Self:
        """Returns the store at `uri`, new if there was none; raises StoreError as `open` and `create` do."""
        if not connection.exists(str(uri), options):
            try:
                return cls.create(uri, faces, voices, options, encoders)
            except StoreError:
                if not connection.exists(str(uri), options):  # another job was faster
                    raise
        return cls.open(uri, faces, voices, options)

    @classmethod
    def open_or_empty(
        cls,
        uri: str,
        faces: Mapping[str, int],
        voices: Mapping[str, int],
        options: Options = None,
        encoders: Mapping[str, str] | None = None,
    ) -> Self:
        """As `open_or_create`, but where there is no store, the new one is in memory and nothing is written."""
        if connection.exists(str(uri), options):
            return cls.open(uri, faces, voices, options)
        return cls.create("memory://", faces, voices, None, encoders)

    @staticmethod
    def migrate(uri: str, options: Options = None) -> list[int]:
        """Takes the store at `uri` to the current schema; returns the versions passed, the one it had first.

        Raises:
            StoreError: no store is there, it is newer than this code, or a step is missing.
        """
        return migrations.run(connection.connect(str(uri), options), str(uri))

    def spaces(self, table: str) -> dict[str, int]:
        """Returns space -> dimension of the vectors in `faces` or `voices`."""
        return dict(self._spaces.get(table, {}))

    @property
    def encoders(self) -> dict[str, str]:
        """Space -> the spec that opens its encoder, for the spaces of faces and voices that record one."""
        tables = (self.db.open_table(table).schema for table in EMBEDDED)
        return {space: spec for found in tables for space, spec in schema.encoders_of(found).items()}

    @property
    def face_space(self) -> str:
        """The space of the face vectors; raises StoreError if there are several to choose from."""
        return self._only("faces")

    @property
    def voice_space(self) -> str:
        """The space of the voice vectors; raises StoreError if there are several to choose from."""
        return self._only("voices")

    # Writing

    def run(self, command: Mapping[str, Any], config: Mapping[str, Any]) -> AbstractContextManager[runs.Run]:
        """Records a job that writes, and renews its lease while the block lasts; its rows are swept only afterwards.

        Args:
            command: what the job is and its inputs, as JSON; `run.summary`, set in the block, tells what it did.
            config: resolved, as JSON.
        """
        return runs.running(self.db, command, config)

    def commit(self, batch: Sequence[VideoRows]) -> frozenset[str]:
        """Writes complete videos, each exactly once, and returns the video_ids that the store now holds so.

        A video of the same run that is there already stays as it is, and so does one of another run under the same
        config_hash, unless that failed; only names are added. One under another config_hash is replaced. Of two runs
        that commit a video at once the first wins; the other's rows go, its names stay. Readers see each video's old
        rows or its new ones, never a mixture. May be repeated after any failure.

        Args:
            batch: the videos, each once; the larger the batch, the fewer and larger the fragments.

        Raises:
            StoreError: a row does not fit the store (names it; nothing is written), or its run is over.
            StoreUnavailable: the disk is full, or the connection did not come back. Readers see no half video.
        """
        return commit.commit(self.db, self._spaces, batch)

    def add_uris(self, names: Mapping[str, Iterable[str | Row]]) -> None:
        """Records under which names committed videos were also seen, in one version.

        Args:
            names: video_id -> names, each a URI or {uri, size_bytes, mtime_s, etag}.

        Raises:
            StoreError: there is no such video; nothing is written.
        """
        commit.add_uris(self.db, names)

    def delete_video(self, video_id: str) -> bool:
        """Deletes a video and its rows; returns whether it was there. Its bytes go with the next `compact`."""
        return commit.delete_video(self.db, video_id)

    def add_speakers(self, speakers: Sequence[Row]) -> None:
        """Inserts known speakers of a TTS, or replaces those with the same speaker_id; columns as in `schemas`."""
        self._merge("speakers", speakers)

    def add_generations(self, generations: Sequence[Row]) -> None:
        """Inserts generated utterances, or replaces those with the same generation_id; columns as in `schemas`."""
        self._merge("generations", generations)

    # Corrections by hand

    def reject(self, clip_ids: Sequence[str], who: str, why: str) -> list[str]:
        """Rejects clips, and returns the edits' ids: with their faces and voices they are no longer read.

        Nothing is deleted; `undo` brings them back.

        Raises:
            StoreError: there is no such clip, or who and why are not said.
        """
        return edits.reject(self.db, clip_ids, who, why)

    def label(self, clip_ids: Sequence[str], name: str, value: str | None, who: str, why: str) -> list[str]:
        """Corrects the identity or another label of clips, and returns the edits' ids.

        Args:
            clip_ids: at least one.
            name: identity, gender, age, nationality, language, licence or consent.
            value: what is right; None where it is not known.
            who, why: kept with the edit.

        Raises:
            StoreError: there is no such clip or label, or who and why are not said.
        """
        return edits.label(self.db, clip_ids, name, value, who, why)

    def merge_people(self, gone: str, kept: str, who: str, why: str) -> str:
        """Makes one person of two: every clip of `gone`, also a later one, is one of `kept`; returns the edit's id.

        Raises:
            StoreError: there is no such person, or who and why are not said.
        """
        return edits.merge(self.db, gone, kept, who, why)

    def undo(self, edit_id: str, who: str, why: str) -> str:
        """Takes an edit back, be it an undo, and returns the id of this one.

        Raises:
            StoreError: there is no such edit, or it is undone already.
        """
        return edits.undo(self.db, edit_id, who, why)

    def edits(self) -> list[dict[str, Any]]:
        """Returns all edits, the oldest first: the columns of the table `edits`, and `in_force`."""
        return edits.listed(self.snapshot())

    # Reading

    def snapshot(self, version: Mapping[str, int] | str | None = None, raw: bool = False) -> Snapshot:
        """Returns the newest state, or the one of a `version()` or a tag; has the reading methods of this class.

        Args:
            version: which state; the newest where left out.
            raw: reads what was ingested, as if nobody had corrected it.

        Raises:
            StoreError: that version is gone, or there is no such tag.
        """
        if isinstance(version, str):
            version = tags.version_of(self.db, version)
        self._last = Snapshot(self.db, version, self._last, raw)
        return self._last

    def version(self) -> dict[str, int]:
        """Returns table -> version of the newest state: what a training run notes, and `snapshot` reads again."""
        return self.snapshot().version

    def ledger(self) -> dict[str, dict[str, Any]]:
        """Returns video_id -> {run_id, config_hash, state, reason, uris}, by which a second ingest knows its files.

        `uris` is a list of {uri, size_bytes, mtime_s, etag}.
        """
        return self.snapshot().ledger

    def query(
        self,
        table: str,
        select: Sequence[str] | Mapping[str, str] | None = None,
        where: str | None = None,
        limit: int | None = None,
        order: str | Sequence[str] = (),
    ) -> pa.Table:
        """Returns the rows of complete videos that match.

        Args:
            table: one of the eight.
            select: columns, or name -> SQL expression; all but the media where left out.
            where: an SQL filter; may compute, as in `end_s - start_s > 2`.
            limit: at most so many rows.
            order: columns to sort by, `-column` descending; in no particular order where left out.

        Raises:
            StoreError: unknown table or column (names the nearest), or not SQL.
        """
        return self.snapshot().query(table, select, where, limit, order)

    def count(self, table: str, where: str | None = None) -> int:
        """Returns how many rows of complete videos match; raises StoreError as `query` does."""
        return self.snapshot().count(table, where)

    def pairs(
        self, face_space: str | None = None, voice_space: str | None = None, where: str | None = None
    ) -> dict[str, np.ndarray]:
        """Returns the clips that have at least one face and one voice, and these, as arrays in the order of ids.

        Args:
            face_space, voice_space: may be left out where the store has but one.
            where: an SQL filter over `clips`.

        Returns:
            faces (F, d) float32, face_clip (F,) int64 index into the clips, face_quality (F,) float32;
            voices (V, d) float32, voice_clip (V,) int64;
            clip_id, video_id, identity, gender, nationality, age, split: (C,) str, "" where not known.

        Raises:
            StoreError: the store has no such space; the filter is not SQL.
        """
        return pairs.pairs(self.snapshot(), face_space, voice_space, where)

    def nearest(
        self,
        table: str,
        vectors: np.ndarray,
        space: str | None = None,
        k: int = 10,
        where: str | None = None,
        clips: str | None = None,
        exact: bool = False,
        memory_bytes: int = search.MEMORY_BYTES,
    ) -> search.Neighbours:
        """Returns the k rows of `faces` or `voices` most similar to each of m vectors, the most similar first.

        The filters act before the search: k rows come back if k rows match. Equally similar ones stand in the order
        of their ids. Vectors that fit `memory_bytes` are read once a version of the table and kept; larger tables
        are asked through their index (see `build_index`), or else read for each call.

        Args:
            table: faces or voices.
            vectors: (dim,) or (m, dim) of the space; need not have unit norm.
            space: may be left out where the table has but one.
            k: rows for each vector, at most.
            where: an SQL filter over the table.
            clips: an SQL filter over the table `clips`, for the clips of the rows.
            exact: asks no index.
            memory_bytes: that the vectors of one table and space may take in memory.

        Raises:
            StoreError: the table has no such space, a vector does not fit it, a filter is not SQL.
        """
        snapshot = self.snapshot()
        return search.nearest(
            snapshot, self._memory, table, vectors, space, k, where, clips, exact, memory_bytes
        )  # fmt: skip

    def speakers(self, tts: str | None = None, space: str | None = None) -> pa.Table:
        """Returns the known speakers (of one TTS, with vectors in one space), sorted by speaker_id."""
        asked = {"tts": tts, "space": space}
        where = " AND ".join(f"{name} = {quoted(value)}" for name, value in asked.items() if value is not None)
        return self.query("speakers", where=where or None, order="speaker_id")

    @cached_property
    def _spaces(self) -> schema.Spaces:
        return {table: schema.spaces_of(self.db.open_table(table).schema) for table in EMBEDDED}

    def _only(self, table: str) -> str:
        names = list(self._spaces[table])
        if len(names) != 1:
            raise StoreError(f"store {self.uri}: {table} have vectors of {', '.join(names)}; name the one you mean")
        return names[0]

    def _merge(self, table: str, new: Sequence[Row]) -> None:
        if new:
            stamped = [{"created_at": datetime.now(UTC)} | dict(row) for row in new]
            commit.merge(self.db.open_table(table), rows.typed(table, stamped))
