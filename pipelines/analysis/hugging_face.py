"""Clips in the layout of Hugging Face's `datasets`: Parquet shards that `datasets.load_dataset(folder)` opens.

    README.md   data/train-00000-of-00003.parquet ...

README.md begins with the front matter that the Hub reads, and `vclip card` writes the same.

An image or a recording is a struct of bytes and path, and the schema's metadata names these columns
(datasets/features/image.py and audio.py). File names and the head of README.md name the splits.
"""

import json
import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import pyarrow as pa
import yaml
from pyarrow import parquet

from pipelines.analysis.clips import UNSPLIT, ClipMedia
from pipelines.extraction.types import ClipMeasures
from pipelines.wording import count

SIZES = {10**3: "n<1K", 10**4: "1K<n<10K", 10**5: "10K<n<100K", 10**6: "100K<n<1M", 10**7: "1M<n<10M"}  # the Hub's
# Licences that the Hub has an identifier for; of the others it shows a name.
_IDENTIFIERS = re.compile(r"cc0-1\.0|cc-by(-nc)?(-sa|-nd)?-[234]\.[05]|mit|apache-2\.0|odbl|pddl")
ROW_GROUP = 64  # clips, which a reader holds in memory
SAMPLE_RATE_HZ = 16_000  # of the store's audio

_TEXTS = (
    *("clip_id", "video_id", "video_uri", "identity", "gender", "age", "nationality", "language", "licence"),
    *("consent", "labels", "face_id", "voice_id"),
)
_NUMBERS = (
    *("start_s", "end_s", "speaking_score", *(measure.name for measure in fields(ClipMeasures))),
    *("face_quality", "voice_start_s", "voice_end_s", "snr_db", "bandwidth_hz"),
)
_COUNTS = ("n_faces", "n_voices")
_MEDIA = {"face": {"_type": "Image"}, "voice": {"sampling_rate": SAMPLE_RATE_HZ, "_type": "Audio"}}
_VALUES = {
    **dict.fromkeys(_TEXTS, pa.string()),
    **dict.fromkeys(_NUMBERS, pa.float64()),
    **dict.fromkeys(_COUNTS, pa.int64()),
}


def write_datasets(folder: Path, clips: Iterable[ClipMedia], shard_bytes: int) -> dict[str, int]:
    """Writes clips as Parquet shards and a README.md; the number of clips per split.

    Args:
        folder: an empty folder.
        clips: clips with media; if none has a split, all are `train`.
        shard_bytes: size at which a shard is full.
    """
    (folder / "data").mkdir()
    splits: dict[str, _Split] = {}
    licences, languages = set[str | None](), set[str | None]()
    try:
        for item in clips:
            licences.add(item.clip["licence"])
            languages.add(item.clip["language"])
            if item.split not in splits:
                splits[item.split] = _Split(folder / "data", item.split, shard_bytes)
            splits[item.split].add(item)
    finally:
        for split in splits.values():
            split.close()
    counts = {}
    for name, split in sorted(splits.items()):
        final = "train" if set(splits) == {UNSPLIT} else name
        counts[final] = split.clips
        for number, path in enumerate(split.paths):
            path.rename(path.with_name(f"{final}-{number:05}-of-{len(split.paths):05}.parquet"))
    (folder / "README.md").write_text(
        _readme(counts, front_matter(sum(counts.values()), list(counts), licences, languages)), "utf-8"
    )
    return counts


def front_matter(
    clips: int, splits: Sequence[str], licences: Collection[str | None], languages: Collection[str | None]
) -> str:
    """The YAML between lines of hyphens with which the README.md of a dataset on the Hub begins.

    Args:
        clips: their number.
        splits: as the files that `write_datasets` writes are named.
        licences: of the clips; None for clips whose licence is unknown.
        languages: of the clips; those that are ISO 639 codes are named.
    """
    known = sorted(filter(None, licences))
    slugs = ["-".join(licence.lower().split()) for licence in known]
    rights = {"license": "other", "license_name": slugs[0] if len(slugs) == 1 else "several"}
    if not known:
        rights = {"license": "unknown"}
    elif set(licences) == {known[0]} and _IDENTIFIERS.fullmatch(slugs[0]):
        rights = {"license": slugs[0]}
    spoken = sorted({code.lower() for code in languages if code and re.fullmatch("[A-Za-z]{2,3}", code)})
    size = next((name for bound, name in SIZES.items() if clips < bound), "n>10M")
    files = [{"split": name, "path": f"data/{name}-*.parquet"} for name in splits]
    head = {
        **rights,
        **({"language": spoken} if spoken else {}),
        "task_categories": ["feature-extraction", "text-to-speech"],
        "size_categories": [size],
        "tags": ["face", "voice", "audio", "image", "biometrics", "vclip"],
        "configs": [{"config_name": "default", "data_files": files}],
    }
    return f"---\n{yaml.safe_dump(head, sort_keys=False, allow_unicode=True)}---\n"


def split_files(splits: Iterable[str]) -> list[str]:
    """The names of splits as the files have them."""
    names = sorted({re.sub(r"\W+", "_", name or UNSPLIT) for name in splits})
    return ["train"] if names in ([], [UNSPLIT]) else names


def _schema() -> pa.Schema:
    """The columns, with the metadata by which `datasets` decodes them."""
    medium = pa.struct({"bytes": pa.binary(), "path": pa.string()})
    named = {pa.string(): "string", pa.float64(): "float64", pa.int64(): "int64"}
    values = {name: {"dtype": named[kind], "_type": "Value"} for name, kind in _VALUES.items()}
    about = {"info": {"features": {**_MEDIA, **values}}}
    fields = {**dict.fromkeys(_MEDIA, medium), **_VALUES}
    return pa.schema(fields.items(), metadata={"huggingface": json.dumps(about)})


def _row(item: ClipMedia) -> dict[str, Any]:
    face, voice = item.face, item.voice
    return {
        **item.clip,
        "face": {"bytes": face["image"], "path": f"{face['face_id']}.jpg"},
        "voice": {"bytes": voice["audio"], "path": f"{voice['voice_id']}.flac"},
        "face_id": face["face_id"],
        "face_quality": face["quality"],
        "voice_id": voice["voice_id"],
        "voice_start_s": voice["start_s"],
        "voice_end_s": voice["end_s"],
        "snr_db": voice["snr_db"],
        "bandwidth_hz": voice["bandwidth_hz"],
        "n_faces": item.n_faces,
        "n_voices": item.n_voices,
    }


class _Split:
    """The shards of one split; one is open at a time, and ROW_GROUP clips are in memory."""

    def __init__(self, folder: Path, name: str, shard_bytes: int):
        self.clips = 0
        self.paths: list[Path] = []
        self._folder, self._name, self._shard_bytes = folder, name, shard_bytes
        self._rows: list[dict[str, Any]] = []
        self._file: parquet.ParquetWriter | None = None
        self._bytes = 0

    def add(self, item: ClipMedia) -> None:
        self._rows.append(_row(item))
        self._bytes += len(item.face["image"]) + len(item.voice["audio"])
        self.clips += 1
        if self._bytes >= self._shard_bytes:
            self.close()
        elif len(self._rows) == ROW_GROUP:
            self._write()

    def close(self) -> None:
        self._write()
        if self._file:
            self._file.close()
        self._file, self._bytes = None, 0

    def _write(self) -> None:
        if not self._rows:
            return
        if self._file is None:
            self.paths.append(self._folder / f"{self._name}-{len(self.paths):05}.parquet")
            self._file = parquet.ParquetWriter(self.paths[-1], _schema(), compression="none")  # media are compressed
        self._file.write_table(pa.Table.from_pylist(self._rows, schema=_schema()))
        self._rows = []


def _readme(counts: dict[str, int], head: str) -> str:
    return (
        f"{head}\n# Faces and voices of clips\n\n"
        f"{count(sum(counts.values()), 'clip')}, each with its best face crop (`face`, JPEG), its longest speech "
        "(`voice`, FLAC at 16 kHz) and its labels; `null` is unknown. `labels` is a JSON object.\n\n"
        '```python\nfrom datasets import load_dataset\n\nclips = load_dataset("path/to/this/folder")\n```\n\n'
        "`vclip card` writes a full dataset card of the store that this was exported from.\n"
    )
