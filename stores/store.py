"""The store: one class over LanceDB tables in a folder or an object store.

    store = Store.create("work/store", faces={"dlib/resnet-v1-128/crop1": 128},
                         voices={"resemblyzer/ge2e-256": 256}, exist_ok=True)
    with store.run({"job": "ingest"}, config={}) as run:
        store.commit([VideoRows(video | {"run_id": run.run_id}, clips, faces, voices)])
    store.query("clips", ["clip_id"], where="end_s - start_s > 2 AND gender = 'f'")

Every read goes through a `Snapshot`: one consistent state in which only complete videos are visible. Maintenance
(compaction, checks, deletion, merging, embedding again) is in `stores.maintenance`.
"""

from collections.abc import Iterable, Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from functools import cached_property, partial
from typing import Any, Self, cast

import numpy as np
import pyarrow as pa
from lancedb.db import DBConnection

from stores import commit, connection, edits, fragments, pairs, rows, runs, schema, search, tags
from stores.connection import Options
from stores.errors import StoreError
from stores.exclusion import check_no_deletion, without_deletion
from stores.fragments import Written
from stores.maintenance import migrations
from stores.retry import retry
from stores.rows import Row, VideoRows
from stores.schema import EMBEDDED, TABLES
from stores.snapshot import Snapshot
from stores.sql import in_lists, quoted
from stores.vector_cache import VectorCache


class Store:
    """An open store. Made by `create` or `open`.

    Args:
        uri: the folder, or the address in an object store.
        db: the LanceDB connection; its tables also hold rows that no reader sees.
    """

    def __init__(self, uri: str, db: DBConnection):
        self.uri = uri
        self.db = db
        self._last: Snapshot | None = None
        self._cache = VectorCache()

    def __repr__(self) -> str:
        return f"Store({self.uri!r})"

    @classmethod
    def create(
        cls,
        uri: str,
        faces: Mapping[str, int],
        voices: Mapping[str, int],
        options: Options = None,
        encoders: Mapping[str, str] | None = None,
        *,
        exist_ok: bool = False,
    ) -> Self:
        """Returns a new, empty store; completes one whose creation was interrupted.

        Args:
            uri: the folder, or the address in an object store; `memory://` makes one that stays empty, for a dry run.
            faces: the spaces of the faces, space -> dimension.
            voices: the spaces of the voices, space -> dimension.
            options: LanceDB's storage options for object stores: region, endpoint, credentials that the environment
                does not hold.
            encoders: space -> the spec that opens its encoder, which a new store records.
            exist_ok: return the store that is at `uri` already, if there is one, as `open` does.

        Raises:
            StoreError: something is at `uri` already, or the spaces cannot be stored.
        """
        uri = str(uri)
        if not exist_ok or not connection.exists(uri, options):
            try:
                return cls(uri, connection.create(uri, {"faces": faces, "voices": voices}, options, encoders))
            except StoreError:
                if not exist_ok or not connection.exists(uri, options):  # another job was faster
                    raise
        return cls.open(uri, faces, voices, options)

    @classmethod
    def open(
        cls,
        uri: str,
        faces: Mapping[str, int] | None = None,
        voices: Mapping[str, int] | None = None,
        options: Options = None,
    ) -> Self:
        """Returns the store at `uri`, after a check that it holds vectors of the given spaces.

        Raises:
            StoreError: there is no store, its schema version is another one (see `migrate`), or its spaces differ.
        """
        spaces = {"faces": faces or {}, "voices": voices or {}}
        return cls(str(uri), connection.open_current(str(uri), spaces, options))

    @staticmethod
    def exists(uri: str, options: Options = None) -> bool:
        """Returns whether a complete store, of any schema version, is at `uri`.

        Returns False for a missing or empty folder and for an interrupted creation.

        Raises:
            StoreError: the folder holds something else.
        """
        return connection.exists(str(uri), options)

    @staticmethod
    def migrate(uri: str, options: Options = None) -> list[int]:
        """Brings the store at `uri` to the current schema version; returns the versions passed, the old one first.

        Raises:
            StoreError: there is no store, it is newer than this code, or a migration step is missing.
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
        return self._only_space("faces")

    @property
    def voice_space(self) -> str:
        """The space of the voice vectors; raises StoreError if there are several to choose from."""
        return self._only_space("voices")

    def summary(self) -> str:
        """Returns a line with the number of videos and clips, and the spaces of faces and voices."""
        return f"store {self.uri}: {self.snapshot().summary()}"

    def info(self) -> dict[str, Any]:
        """Returns uri, schema_version, spaces, version, rows and bytes per table, and videos per state."""
        snapshot = self.snapshot()
        states = snapshot.query("videos", ["state"])["state"].value_counts().to_pylist()
        return {
            "uri": self.uri,
            "schema_version": schema.version_of(snapshot.schema("videos")),
            "spaces": {table: schema.spaces_of(snapshot.schema(table)) for table in EMBEDDED},
            "version": snapshot.version,
            "rows": {table: snapshot.count(table) for table in TABLES},
            "bytes": {table: cast(Any, self.db.open_table(table).stats())["total_bytes"] for table in TABLES},
            "states": {entry["values"]: entry["counts"] for entry in states},
        }

    # Writing

    def run(self, command: Mapping[str, Any], config: Mapping[str, Any]) -> AbstractContextManager[runs.Run]:
        """Records a job that writes, and renews its lease during the block; its rows are not swept meanwhile.

        Args:
            command: the job and its inputs, as JSON. What it did goes into `run.summary` before the block ends.
            config: the resolved configuration, as JSON.
        """
        return runs.running(self.db, command, config)

    def check_no_deletion(self, what: str) -> None:
        """Raises StoreError, which begins with `what`, while a deletion is running in the store."""
        check_no_deletion(self.db, what)

    def commit(self, batch: Sequence[VideoRows]) -> frozenset[str]:
        """Writes complete videos, each exactly once; returns the video_ids that the store now holds in this form.

        A video stays as it is if the store has it from the same run, or from another run with the same config_hash,
        unless that one failed; only names are added. A video of another config_hash is replaced. When two runs commit
        a video at once, the first wins; the other's rows are deleted, its names are kept. Readers see the old rows of
        a video or the new ones, never a mixture. A commit may be repeated after any failure.

        Args:
            batch: the videos, each once; a larger batch makes fewer and larger fragments.

        Raises:
            StoreError: a row does not fit the store (names it; nothing is written), or its run is finished.
            StoreUnavailable: the disk is full, or the connection did not come back. Readers see no partial video.
        """
        return commit.commit(self.db, self._spaces, batch)

    def write(self, batch: Sequence[VideoRows]) -> Written:
        """Writes the rows of complete videos of one run without committing them; any process may.

        No reader sees them until `commit_written`. Files of a run that ends without it are swept.

        Raises:
            StoreError, StoreUnavailable: as `commit`.
        """
        tables = rows.tables_of(batch, self._spaces)
        videos = tables.pop("videos").to_pylist()
        return Written(videos, fragments.write(self.db, videos[0]["run_id"], tables) if videos else {})

    def commit_written(self, written: Written) -> frozenset[str]:
        """Commits what `write` wrote, as `commit` does; each `Written` once, however often the call is repeated."""
        return commit.commit_written(self.db, written)

    def discard(self, written: Written) -> None:
        """Deletes the files of what `write` wrote and nobody committed."""
        fragments.discard(self.db, written.files)

    def add_uris(self, names: Mapping[str, Iterable[str | Row]]) -> None:
        """Records further names of committed videos, in one version.

        Args:
            names: video_id -> names, each a URI or {uri, size_bytes, mtime_s, etag}.

        Raises:
            StoreError: a video is not in the store; nothing is written.
        """
        commit.add_uris(self.db, names)

    def delete_video(self, video_id: str) -> bool:
        """Deletes a video and its rows; returns whether it existed. The next compaction frees its bytes."""
        return commit.delete_video(self.db, video_id)

    def add_speakers(self, speakers: Sequence[Row]) -> None:
        """Inserts known speakers of a TTS, or kept voices, or replaces those of the same speaker_id.

        The columns are those of `schema`; a kept voice has a `name`.

        Raises:
            StoreError: a row does not fit the table; nothing is written.
        """
        self._upsert("speakers", speakers)

    def remove_speakers(self, speaker_ids: Sequence[str]) -> None:
        """Deletes rows of `speakers`; the next compaction frees their bytes."""
        with without_deletion(self.db, "speakers"):
            for part in in_lists(speaker_ids):
                retry(self.db, "speakers", partial(self.db.open_table("speakers").delete, f"speaker_id IN ({part})"))

    def add_generations(self, generations: Sequence[Row]) -> None:
        """Inserts files of generated utterances, or replaces those of the same generation_id; columns as in `schema`.

        Raises:
            StoreError: a row does not fit the table; nothing is written.
        """
        self._upsert("generations", generations)

    # Corrections by hand

    def reject(self, clip_ids: Sequence[str], who: str, why: str) -> list[str]:
        """Hides clips with their faces and voices from readers, and returns the ids of the edits.

        Nothing is deleted; `undo` shows them again.

        Raises:
            StoreError: there is no such clip, or `who` or `why` is empty.
        """
        return edits.reject(self.db, self.snapshot(), clip_ids, who, why)

    def label(self, clip_ids: Sequence[str], name: str, value: str | None, who: str, why: str) -> list[str]:
        """Corrects the identity or another label of clips, and returns the ids of the edits.

        Args:
            clip_ids: at least one.
            name: identity, gender, age, nationality, language, licence or consent.
            value: the right value; None if it is not known.
            who: the editor, kept with the edit.
            why: the reason, kept with the edit.

        Raises:
            StoreError: there is no such clip or label, or `who` or `why` is empty.
        """
        return edits.label(self.db, self.snapshot(), clip_ids, name, value, who, why)

    def merge_people(self, gone: str, kept: str, who: str, why: str) -> str:
        """Makes one person of two: every clip of `gone`, later ones included, becomes one of `kept`.

        Returns:
            The id of the edit.

        Raises:
            StoreError: there is no such person, or `who` or `why` is empty.
        """
        return edits.merge(self.db, self.snapshot(), gone, kept, who, why)

    def merge_clips(self, clip_ids: Sequence[str], kept: str, who: str, why: str) -> list[str]:
        """Makes one person of the people of these clips, and returns the ids of the edits.

        The people are merged whole, as `merge_people` does; clips without an identity become clips of `kept`.

        Args:
            clip_ids: at least one.
            kept: the identity that all get; some clip has it already.
            who: the editor, kept with the edits.
            why: the reason, kept with the edits.

        Raises:
            StoreError: there is no such clip or person, nothing would change, or `who` or `why` is empty.
        """
        return edits.merge_clips(self.db, self.snapshot(), clip_ids, kept, who, why)

    def undo(self, edit_id: str, who: str, why: str) -> str:
        """Takes an edit back, which may itself be an undo, and returns the id of the undo.

        Raises:
            StoreError: there is no such edit, or it is undone already.
        """
        return edits.undo(self.db, self.snapshot(), edit_id, who, why)

    def undo_together(self, edit_id: str, who: str, why: str) -> list[str]:
        """Takes back an edit and all in force that the same call made, and returns the ids of the undos.

        Raises:
            StoreError: there is no such edit, or all are undone already.
        """
        return edits.undo_together(self.db, self.snapshot(), edit_id, who, why)

    def edits(self) -> list[dict[str, Any]]:
        """Returns all edits, the oldest first: the columns of the table `edits`, and `in_force`."""
        return edits.listed(self.snapshot())

    # Versions with names

    def tag(self, name: str, version: Mapping[str, int] | str | None = None) -> dict[str, int]:
        """Names a version, which then stays readable whatever is compacted.

        Args:
            name: letters, digits, '.', '_' and '-'.
            version: as `version()` returns it, or another tag; the newest where left out.

        Returns:
            The version that was named.

        Raises:
            StoreError: the name is taken or not allowed, or the version has been pruned.
        """
        if isinstance(version, str):
            version = tags.version_of(self.db, version)
        named = dict(version or self.version())
        tags.add(self.db, name, named)
        return named

    def tags(self) -> dict[str, dict[str, int]]:
        """Returns tag -> table -> version, sorted by tag."""
        return tags.tags(self.db)

    def remove_tag(self, name: str) -> None:
        """Removes a tag, not the version it names; raises StoreError if there is no such tag."""
        tags.remove(self.db, name)

    # Reading

    def snapshot(self, version: Mapping[str, int] | str | None = None, raw: bool = False) -> Snapshot:
        """Returns one consistent state of the store, to read with the same `query`, `count` and `ledger`.

        Args:
            version: as `version()` returns it, or a tag; the newest where left out.
            raw: reads the ingested values, without corrections by hand.

        Raises:
            StoreError: that version has been pruned, or there is no such tag.
        """
        if isinstance(version, str):
            version = tags.version_of(self.db, version)
        self._last = Snapshot(self.db, version, self._last, raw)
        return self._last

    def version(self) -> dict[str, int]:
        """Returns table -> version of the newest state, which `snapshot` reads again; training runs note it."""
        return self.snapshot().version

    def ledger(self) -> dict[str, dict[str, Any]]:
        """Returns video_id -> {run_id, config_hash, state, reason, uris}, by which a second ingest skips its files.

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
        """Returns the rows of committed videos that match.

        Args:
            table: one of the eight.
            select: columns, or name -> SQL expression; all but the media where left out.
            where: an SQL filter; may compute, as in `end_s - start_s > 2`.
            limit: maximum number of rows.
            order: columns to sort by, `-column` descending; in no particular order where left out.

        Raises:
            StoreError: unknown table or column (names the nearest), or not SQL.
        """
        return self.snapshot().query(table, select, where, limit, order)

    def count(self, table: str, where: str | None = None) -> int:
        """Returns the number of rows of committed videos that match; raises StoreError as `query` does."""
        return self.snapshot().count(table, where)

    def pairs(
        self, face_space: str | None = None, voice_space: str | None = None, where: str | None = None
    ) -> dict[str, np.ndarray]:
        """Returns the clips that have a face and a voice, with all their faces and voices, as arrays sorted by id.

        Args:
            face_space: may be left out where the store has but one.
            voice_space: may be left out where the store has but one.
            where: an SQL filter over `clips`.

        Returns:
            faces (F, d) float32, face_clip (F,) int64 index into the clips, face_quality (F,) float32;
            voices (V, d) float32, voice_clip (V,) int64;
            clip_id, video_id, identity, gender, nationality, language, age, split: (C,) str, "" where not known.

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

        Filters act before the search: k rows come back if k rows match. Equally similar rows are sorted by id.
        Vectors that fit into `memory_bytes` are read once for each version of the table and kept; larger tables are
        searched through their index (see `stores.maintenance.index`), or else read for each call.

        Args:
            table: faces or voices.
            vectors: (dim,) or (m, dim) in the space; need not have unit norm.
            space: may be left out where the table has but one.
            k: rows for each vector, at most.
            where: an SQL filter over the table.
            clips: an SQL filter over the table `clips`, for the clips of the rows.
            exact: does not use an index.
            memory_bytes: limit for the vectors of one table and space in memory.

        Raises:
            StoreError: the table has no such space, a vector does not fit it, or a filter is not SQL.
        """
        query = search.Query(self.snapshot(), table, np.asarray(vectors, np.float32), space, k, where, clips)
        return query.nearest(self._cache, exact, memory_bytes)

    def speakers(self, tts: str | None = None, space: str | None = None) -> pa.Table:
        """Returns the known speakers (of one TTS, with vectors in one space), sorted by speaker_id."""
        wanted = {"tts": tts, "space": space}
        filters = ["name IS NULL", *(f"{name} = {quoted(of)}" for name, of in wanted.items() if of is not None)]
        return self.query("speakers", where=" AND ".join(filters), order="speaker_id")

    def kept_voices(self) -> pa.Table:
        """Returns the voices of `speakers` that were kept under a name, sorted by name."""
        return self.query("speakers", where="name IS NOT NULL", order="name")

    @cached_property
    def _spaces(self) -> schema.Spaces:
        return {table: schema.spaces_of(self.db.open_table(table).schema) for table in EMBEDDED}

    def _only_space(self, table: str) -> str:
        spaces = list(self._spaces[table])
        if len(spaces) != 1:
            raise StoreError(
                f"store {self.uri}: {table} have vectors of {', '.join(spaces)}; {pairs.name_one(table)}"
            )
        return spaces[0]

    def _upsert(self, table: str, new: Sequence[Row]) -> None:
        if new:
            stamped = [{"created_at": datetime.now(UTC)} | dict(row) for row in new]
            commit.upsert(self.db, table, rows.typed(table, stamped))
