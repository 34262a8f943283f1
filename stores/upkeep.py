"""What keeps a store in order: the part of `stores.Store` that neither ingest nor analysis calls."""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lancedb.db import DBConnection

from stores import index
from stores.maintenance import check as checking
from stores.maintenance import compact as maintenance
from stores.maintenance import delete as deletion
from stores.maintenance import embed, repair, tags
from stores.maintenance import merge as merging
from stores.schema import MEDIA
from stores.snapshot import Snapshot

DAY_S = 86_400.0


class Upkeep:
    """Maintenance of an open store."""

    uri: str
    db: DBConnection

    def merge(
        self, other: "Upkeep", run_id: str, advance: Callable[[int], None] = lambda videos: None
    ) -> merging.Merged:
        """Adds what another store has; of a video that both have, this store's stays, unless that failed.

        Args:
            other: of the same spaces; it is not changed.
            run_id: of the rows that are added, see `run`.
            advance: is told of videos of the other that were looked at.

        Raises:
            StoreError: the spaces differ.
        """
        return merging.merge(self.db, other.db, Snapshot(other.db), run_id, advance)

    def sweep(self, older_than_s: float = 7 * DAY_S) -> int:
        """Deletes what crashed or superseded commits left behind, and returns how many rows that were.

        Only rows of runs that are over go: those of others may be of a commit that has yet to write its ledger rows.
        A run is over when its block has ended, or when it has not renewed its lease for 15 minutes.

        Args:
            older_than_s: age from which a run that is not recorded in `runs` counts as over.
        """
        return maintenance.sweep(self.db, older_than_s)

    def compact(self, keep_versions_s: float = 7 * DAY_S) -> dict[str, maintenance.Compacted]:
        """Merges small fragments, and frees the bytes of deleted rows and of old versions.

        Args:
            keep_versions_s: age up to which old versions stay readable. 0 frees the most; only where nobody reads.

        Raises:
            StoreUnavailable: the disk is full, or commits came in between all the time; the store is whole.
        """
        return maintenance.compact(self.db, keep_versions_s)

    def embedding(self, table: str, space: str, dim: int, encoder: str = "") -> embed.Embedding:
        """Returns a new space's vectors of `faces` or `voices` in the making; see `stores.maintenance.embed`."""
        return embed.Embedding(self.db, table, space, dim, encoder)

    def drop_spaces(self, table: str, keep: str) -> list[str]:
        """Drops the vectors of all spaces but one, and returns those spaces."""
        return embed.drop(self.db, table, keep)

    def media(self, table: str, version: int, places: Sequence[int]) -> list[bytes]:
        """Returns the media of rows of a version of `faces` or `voices`, by their places in it."""
        rows = self.db.open_table(table).to_lance().checkout_version(version)
        return rows.take(list(places), columns=[MEDIA[table]])[MEDIA[table]].to_pylist()

    def tag(self, name: str, version: Mapping[str, int] | None = None) -> dict[str, int]:
        """Names the newest state, or that of a `version()`, and returns its version; compaction leaves it readable.

        Raises:
            StoreError: the name is taken, or that version is gone.
        """
        version = dict(version or Snapshot(self.db).version)
        tags.put(self.db, name, version)
        return version

    def tags(self) -> dict[str, dict[str, int]]:
        """Returns tag -> table -> version."""
        return tags.listed(self.db)

    def remove_tag(self, name: str) -> None:
        """Removes a tag; raises StoreError if there is none."""
        tags.remove(self.db, name)

    def doomed(
        self,
        people: Sequence[str] = (),
        videos: Sequence[str] = (),
        clips: Sequence[str] = (),
        where: str | None = None,
    ) -> deletion.Doomed:
        """Returns what `delete` would remove, in all tables; a video goes with its last clip.

        Args:
            people: identities.
            videos, clips: ids.
            where: an SQL filter over clips.

        Raises:
            StoreError: nothing was asked for, or the filter is not SQL.
        """
        return deletion.find(self.db, people, videos, clips, where)

    def delete(self, doomed: deletion.Doomed, prove: bool = True) -> deletion.Deleted:
        """Deletes rows everywhere and frees their bytes; old versions go, and tags of those that held them.

        Their videos leave tombstones, under which no later commit takes them. May be repeated after any failure.

        Args:
            doomed: what `doomed` returned.
            prove: look for their media, vectors and ids in all files of the store, before and after.

        Raises:
            StoreError: a job is writing.
        """
        return deletion.carry_out(self.db, self.uri, doomed, prove)

    def deletion_unfinished(self) -> bool:
        """Returns whether a `delete` was killed before it had freed the bytes; any further one does so."""
        return deletion.unfinished(self.db)

    def check(
        self, reads: Mapping[str, checking.Reads], advance: checking.Advance = lambda table, rows: None
    ) -> checking.Report:
        """Returns what is wrong with the rows of all tables; see `stores.maintenance.check.FATES`.

        Args:
            reads: table -> what returns why a file of its media cannot be read, "" if it can.
            advance: is told of the rows of `faces` and `voices` that were looked at.
        """
        return checking.check(self.db, reads, advance)

    def repair(self, report: checking.Report, sweep_older_than_s: float = 7 * DAY_S) -> dict[str, int]:
        """Mends what `check` found, and returns how many rows that concerned, by table.

        Raises:
            StoreError: the store has changed since, or a job is writing.
        """
        return repair.repair(self.db, report, sweep_older_than_s)

    def build_index(
        self, table: str, space: str | None = None, recall: float = 0.95, sample: int = 200, seed: int = 0
    ) -> index.Built:
        """Builds the vector index of a table that does not fit memory, or builds it anew, and measures it.

        Rows that are committed later are found without it, more slowly; build it again after many.

        Args:
            table: faces or voices.
            space: may be left out where the table has but one.
            recall: that a search must reach on half of the sample; it looks into as much of the index as that needs.
            sample: rows of the table that are searched for; the recall that is returned is of the other half.
            seed: draws them.

        Raises:
            StoreError: the table has no such space, or too few rows.
        """
        return index.build(self.db, table, space, recall, sample, seed)

    def info(self) -> dict[str, Any]:
        """Returns uri, schema_version, spaces, version, rows and bytes per table, and the videos' states."""
        return maintenance.info(self.uri, self.db)
