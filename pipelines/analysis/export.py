"""`vclip export`: a store's rows as files that others read, streamed into a folder that is whole or not there."""

import io
import json
import tarfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from pipelines.analysis.clips import ClipMedia, clip_media
from pipelines.analysis.hugging_face import write_datasets
from pipelines.analysis.query import answered, plain_rows, write_csv
from pipelines.progress import step
from stores import Snapshot, Store
from stores.schema import MEDIA
from vclip.errors import InputError
from vclip.files import whole_folder


def write_shards(folder: Path, clips: Iterator[ClipMedia], shard_bytes: int) -> dict[str, Any]:
    """Writes the clips, and returns how many of each split, and the files.

    Args:
        folder: an empty one.
        clips: each with a face and a voice.
        shard_bytes: size at which a shard is full.
    """
    shards: dict[str, _Shards] = {}
    try:
        for item in clips:
            if item.split not in shards:
                shards[item.split] = _Shards(folder, item.split, shard_bytes)
            shards[item.split].add(item)
    finally:
        for each in shards.values():
            each.close()
    return {
        "clips": {split: each.clips for split, each in sorted(shards.items())},
        "files": sorted(path.name for path in folder.glob("*.tar")),
    }


def labels_of(item: ClipMedia) -> dict[str, Any]:
    """Returns all that is known of a clip but its media, as one object."""
    face = {name: value for name, value in item.face.items() if name != "image"}
    voice = {name: value for name, value in item.voice.items() if name != "audio"}
    about = {**item.clip, "labels": json.loads(item.clip["labels"])}
    return {**about, "face": face, "voice": voice, "n_faces": item.n_faces, "n_voices": item.n_voices}


class _Shards:
    """The shards of one split; one is open at a time."""

    def __init__(self, folder: Path, split: str, shard_bytes: int):
        self.clips = 0
        self._folder, self._split, self._full = folder, split, shard_bytes
        self._count, self._tar = 0, None

    def add(self, item: ClipMedia) -> None:
        if self._tar is not None and self._tar.offset >= self._full:
            self.close()
        if self._tar is None:
            self._tar = tarfile.open(self._folder / f"{self._split}-{self._count:06}.tar", "w")  # noqa: SIM115
            self._count += 1
        about = json.dumps(labels_of(item), ensure_ascii=False, default=str).encode()
        for kind, content in (("jpg", item.face["image"]), ("flac", item.voice["audio"]), ("json", about)):
            entry = tarfile.TarInfo(f"{item.clip['clip_id']}.{kind}")  # without times: the same clips, the same bytes
            entry.size = len(content)
            self._tar.addfile(entry, io.BytesIO(content))
        self.clips += 1

    def close(self) -> None:
        if self._tar is not None:
            self._tar.close()
            self._tar = None


OF_ROWS = ("parquet", "csv", "json")
OF_CLIPS = {"webdataset": write_shards, "datasets": write_datasets}
FORMATS = (*OF_ROWS, *OF_CLIPS)
ROWS, MEDIA_ROWS = 1 << 13, 1 << 8  # at a time; a face and a sound are 100 kB


def export(
    store_uri: str,
    out: Path,
    format: str,
    table: str = "clips",
    select: Sequence[str] | None = None,
    where: str | None = None,
    sql: str | None = None,
    media: bool = False,
    shard_mb: float = 256.0,
) -> dict[str, Any]:
    """Writes a table, the rows of an SQL query, or clips with their media, and returns what was written.

    Args:
        store_uri: the store.
        out: a new or empty folder.
        format: parquet, csv, json (an object a line): rows in one file; webdataset, datasets: clips in shards.
        table: whose rows, where the format is one of rows and there is no `sql`.
        select: its columns; all but the media where None.
        where: SQL filter over that table, or over the clips.
        sql: a query instead.
        media: also the pictures or sounds of the table; base64 in csv and json.
        shard_mb: size at which a shard is full.

    Raises:
        InputError, StoreError: unknown format, table or column, not SQL, nothing to write, or a folder that is full.
    """
    if format not in FORMATS:
        raise InputError(f"format '{format}': expected one of {', '.join(FORMATS)}")
    if format in OF_CLIPS and (sql or select or media or table != "clips"):
        raise InputError(f"format {format}: writes whole clips with their media; expected no other table or columns")
    if sql and (select or where or media or table != "clips"):
        raise InputError("export: found --sql beside --table, --select, --where or --media; expected it alone")
    store = Store.open(store_uri)
    snapshot = store.snapshot()
    made = {"store": store_uri, "version": snapshot.version, "format": format, "where": where}
    with whole_folder(out) as folder:
        if format in OF_CLIPS:
            result = _clips(snapshot, folder, format, where, shard_mb)
        elif sql:
            with answered(snapshot, sql) as reader:
                result = _rows(folder / f"query.{_ending(format)}", format, reader.schema, reader, None)
            made["sql"] = sql
        else:
            result = _table(snapshot, folder, format, table, select, where, media)
            made["table"] = table
        found = {**made, **result}
        (folder / "export.json").write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return {"out": str(out), **found}


def _clips(snapshot: Snapshot, folder: Path, format: str, where: str | None, shard_mb: float) -> dict[str, Any]:
    total, clips = clip_media(snapshot, where)
    if not total:
        filtered = f" where {where}" if where else ""
        raise InputError(f"export: found no clip with a face and a voice{filtered}; ingest or import some first")
    with step("exporting", total, "clips") as exporting:
        return OF_CLIPS[format](folder, _counted(clips, exporting), round(shard_mb * 1e6))


def _counted(items: Iterator[Any], exporting: Any) -> Iterator[Any]:
    for item in items:
        yield item
        exporting.advance()


def _table(
    snapshot: Snapshot,
    folder: Path,
    format: str,
    table: str,
    select: Sequence[str] | None,
    where: str | None,
    media: bool,
) -> dict[str, Any]:
    names, medium = snapshot.schema(table).names, MEDIA.get(table)
    if media and not medium:
        raise InputError(f"--media: {table} have none; expected one of {', '.join(MEDIA)}")
    columns = list(select or (name for name in names if media or name != medium))
    total = snapshot.count(table, where)  # which also tells what is wrong with the filter
    batches = snapshot.batches(table, columns, where, MEDIA_ROWS if medium in columns else ROWS)
    first = snapshot.query(table, columns, where, limit=1)  # and with the columns
    return _rows(folder / f"{table}.{_ending(format)}", format, first.schema, batches, total)


def _rows(
    path: Path, format: str, schema: pa.Schema, batches: Iterator[pa.RecordBatch], total: int | None
) -> dict[str, Any]:
    with step("exporting", total or 0, "rows") as exporting:

        def counted() -> Iterator[pa.RecordBatch]:
            for batch in batches:
                yield batch
                exporting.advance(batch.num_rows)

        if format == "parquet":
            with parquet.ParquetWriter(path, schema, compression="zstd") as file:
                for batch in counted():
                    file.write_batch(batch)
        else:
            with path.open("w", encoding="utf-8", newline="") as file:
                rows = plain_rows(counted())
                if format == "csv":
                    write_csv(file, schema.names, rows)
                else:
                    file.writelines(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
        return {"rows": round(exporting.done), "files": [path.name]}


def _ending(format: str) -> str:
    return "jsonl" if format == "json" else format
