"""`vclip export`: rows of a store as files for other tools, in a folder that appears complete or not at all.

Clips with their media become WebDataset shards (below) or the layout of Hugging Face (`hugging_face.py`). A
WebDataset shard is a tar file in which the files of a clip follow one another:

    a3f09c.jpg  a3f09c.flac  a3f09c.json  b71e52.jpg ...

The name up to the first dot is the sample's key, the rest is the kind (github.com/webdataset/webdataset). Shards are
named by split, as in `train-000000.tar`. Clips of one video are neighbours, so a reader should shuffle.
"""

import io
import json
import tarfile
from collections.abc import Iterable, Iterator, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import pyarrow as pa
from pyarrow import parquet

from pipelines.analysis.clips import ClipMedia, clip_media
from pipelines.analysis.hugging_face import write_datasets
from pipelines.analysis.query import plain_rows, sql_rows, write_csv
from pipelines.cluster.derived import record_derived
from pipelines.progress import step
from pipelines.wording import filtered
from stores import Snapshot, Store
from stores.schema import MEDIA
from vclip.errors import InputError
from vclip.files import whole_folder

ROWS, MEDIA_ROWS = 1 << 13, 1 << 8  # at a time; a face and its audio are 100 kB


@dataclass(frozen=True)
class ExportResult:
    """The files of an export, and the rows or clips in them."""

    out: str
    store: str
    version: dict[str, int]
    format: str
    where: str | None
    sql: str | None  # the query, if its rows were exported
    table: str | None  # the table, if its rows were exported
    rows: int | None  # None for clips with media
    clips: dict[str, int] | None  # split -> clips with media; None for rows
    files: list[str]  # relative to `out`

    def to_json(self) -> dict[str, Any]:
        """The fields as one object, without those that this kind of export does not have."""
        of_a_kind = ("sql", "table", "rows", "clips")
        return {name: value for name, value in asdict(self).items() if value is not None or name not in of_a_kind}


def export(
    store_uri: str,
    out: Path,
    format: str,
    *,
    table: str = "clips",
    select: Sequence[str] | None = None,
    where: str | None = None,
    sql: str | None = None,
    media: bool = False,
    shard_mb: float = 256.0,
) -> ExportResult:
    """Writes the rows of a table or of an SQL query, or clips with their media, and export.json.

    Args:
        store_uri: the store.
        out: a new or empty folder.
        format: parquet, csv or json (an object per line) for rows in one file; webdataset or datasets for clips with
            media in shards.
        table: the table, for rows without `sql`.
        select: its columns; all but the media if None.
        where: SQL filter over the table or the clips.
        sql: a query whose rows are exported instead.
        media: include the images or the audio of the table, as base64 in csv and json.
        shard_mb: size at which a shard is full.

    Raises:
        InputError, StoreError: an unknown format, table or column, invalid SQL, nothing to write, or a full disk.
    """
    if format not in FORMATS:
        raise InputError(f"format '{format}': expected one of {', '.join(FORMATS)}")
    if format in OF_CLIPS and (sql or select or media or table != "clips"):
        raise InputError(f"format {format}: writes whole clips with their media; expected no other table or columns")
    if sql and (select or where or media or table != "clips"):
        raise InputError("export: found --sql beside --table, --select, --where or --media; expected it alone")
    snapshot = Store.open(store_uri).snapshot()
    rows, clips = None, None
    with whole_folder(out) as folder, ExitStack() as stack:
        if format in OF_CLIPS:
            clips = _write_clips(snapshot, folder, format, where, shard_mb)
        elif sql:
            reader = stack.enter_context(sql_rows(snapshot, sql))
            rows = _write_rows(folder, "query", format, reader.schema, reader)
        else:
            rows = _write_table(snapshot, folder, format, table, select, where, media)
        result = ExportResult(
            out=str(out),
            store=store_uri,
            version=snapshot.version,
            format=format,
            where=where,
            sql=sql,
            table=None if sql or format in OF_CLIPS else table,
            rows=rows,
            clips=clips,
            files=sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*.*") if path.suffix != ".md"),
        )
        about = {name: value for name, value in result.to_json().items() if name != "out"}
        (folder / "export.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
    record_derived(store_uri, "export", out)
    return result


def write_webdataset(folder: Path, clips: Iterable[ClipMedia], shard_bytes: int) -> dict[str, int]:
    """Writes clips as WebDataset shards; the number of clips per split.

    Args:
        folder: an empty folder.
        clips: clips with media.
        shard_bytes: size at which a shard is full.
    """
    splits: dict[str, _TarShards] = {}
    try:
        for item in clips:
            if item.split not in splits:
                splits[item.split] = _TarShards(folder, item.split, shard_bytes)
            splits[item.split].add(item)
    finally:
        for shards in splits.values():
            shards.close()
    return {split: shards.clips for split, shards in sorted(splits.items())}


class _TarShards:
    """The shards of one split; one is open at a time."""

    def __init__(self, folder: Path, split: str, shard_bytes: int):
        self.clips = 0
        self._folder, self._split, self._shard_bytes = folder, split, shard_bytes
        self._count = 0
        self._tar: tarfile.TarFile | None = None

    def add(self, item: ClipMedia) -> None:
        if self._tar is not None and self._tar.offset >= self._shard_bytes:
            self.close()
        if self._tar is None:
            self._tar = tarfile.open(self._folder / f"{self._split}-{self._count:06}.tar", "w")  # noqa: SIM115
            self._count += 1
        labels = json.dumps(_labels(item), ensure_ascii=False, default=str).encode()
        for kind, content in (("jpg", item.face["image"]), ("flac", item.voice["audio"]), ("json", labels)):
            entry = tarfile.TarInfo(f"{item.clip['clip_id']}.{kind}")  # without times: the same clips, the same bytes
            entry.size = len(content)
            self._tar.addfile(entry, io.BytesIO(content))
        self.clips += 1

    def close(self) -> None:
        if self._tar is not None:
            self._tar.close()
            self._tar = None


def _labels(item: ClipMedia) -> dict[str, Any]:
    """Everything known of a clip but its media, as one object."""
    face = {name: value for name, value in item.face.items() if name != "image"}
    voice = {name: value for name, value in item.voice.items() if name != "audio"}
    labels = json.loads(item.clip["labels"])
    counts = {"n_faces": item.n_faces, "n_voices": item.n_voices}
    return {**item.clip, "labels": labels, "face": face, "voice": voice, **counts}


OF_ROWS = ("parquet", "csv", "json")
OF_CLIPS = {"webdataset": write_webdataset, "datasets": write_datasets}
FORMATS = (*OF_ROWS, *OF_CLIPS)


def _write_clips(snapshot: Snapshot, folder: Path, format: str, where: str | None, shard_mb: float) -> dict[str, int]:
    total, clips = clip_media(snapshot, where)
    if not total:
        raise InputError(
            f"export: found no clip with a face and a voice{filtered(where)}; ingest or import some first"
        )
    split_of: dict[str, str] = {}  # name of the files -> split
    with step("exporting", total, "clips") as exporting:

        def counted() -> Iterator[ClipMedia]:
            for item in clips:
                if not item.face["image"] or not item.voice["audio"]:
                    raise InputError(
                        f"export: clip '{item.clip['clip_id']}' is of vectors without media (`import features`); "
                        f"expected images and audio; export its rows in one of {', '.join(OF_ROWS)}"
                    )
                own = item.clip["split"] or ""
                if (other := split_of.setdefault(item.split, own)) != own:
                    raise InputError(
                        f"export: the splits '{other}' and '{own}' would both be files named '{item.split}'; give "
                        "one of them another name, or export them apart with --where"
                    )
                yield item
                exporting.advance()

        return OF_CLIPS[format](folder, counted(), round(shard_mb * 1e6))


def _write_table(
    snapshot: Snapshot,
    folder: Path,
    format: str,
    table: str,
    select: Sequence[str] | None,
    where: str | None,
    media: bool,
) -> int:
    names, medium = snapshot.schema(table).names, MEDIA.get(table)
    if media and not medium:
        raise InputError(f"--media: {table} have none; expected one of {', '.join(MEDIA)}")
    columns = list(select or (name for name in names if media or name != medium))
    total = snapshot.count(table, where)  # raises if the filter is wrong
    first = snapshot.query(table, columns, where, limit=1)  # raises if a column is wrong
    batches = snapshot.batches(table, columns, where, MEDIA_ROWS if medium in columns else ROWS)
    return _write_rows(folder, table, format, first.schema, batches, total)


def _write_rows(
    folder: Path, name: str, format: str, schema: pa.Schema, batches: Iterable[pa.RecordBatch], total: int = 0
) -> int:
    """Writes one file of rows, and returns their number."""
    path = folder / f"{name}.{'jsonl' if format == 'json' else format}"
    with step("exporting", total, "rows") as exporting:

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
        return round(exporting.done)
