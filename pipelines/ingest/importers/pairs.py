"""`vclip import pairs`: pictures with their speech into the store, as clips of one face and one voice.

They go the way of a video: the face is found and cut by the same rule, the speech is stored and embedded alike.
"""

from collections import Counter
from pathlib import Path

from pipelines.config import Config
from pipelines.extraction.types import Extraction
from pipelines.ingest.importers.media import one_clip
from pipelines.ingest.job import Summary, ingest
from pipelines.ingest.sources.manifest import read_csv
from pipelines.ingest.sources.source import Source, source_of
from vclip.errors import InputError

COLUMNS = ("id", "identity", "gender", "face", "voice")


def import_pairs(table: str | Path, store_uri: str, config: Config) -> Summary:
    """Imports a CSV of pairs: columns id, identity, gender, face, voice; paths are relative to the CSV.

    Other columns become labels. A pair whose picture has no face is a failed row, one without a sound an empty one.

    Raises:
        InputError, StoreError: not such a CSV, or nowhere to write.
    """
    folder = Path(table).parent
    sources = []
    for row in read_pair_table(table):
        labels = {k: v for k, v in row.items() if k not in ("face", "voice") and k and v}
        files = [folder / row["face"], folder / row["voice"]]
        missing = [file for file in files if not file.is_file()]
        if missing:
            raise InputError(f"table {table}, id '{row['id']}': no such file {missing[0]}; nothing was imported")
        sources.append(source_of(files, labels))
    return ingest(sources, store_uri, config, read_pair, unit="pairs", inputs=[str(table)])


def read_pair_table(table: str | Path) -> list[dict[str, str]]:
    """Returns the rows of a CSV with COLUMNS.

    Raises:
        InputError: as `read_csv`; or an id stands there twice.
    """
    rows = read_csv(table, COLUMNS)
    name, count = Counter(row["id"] for row in rows).most_common(1)[0]
    if count > 1:
        raise InputError(f"table {table}: id '{name}' stands there {count} times; expected each once")
    return rows


def read_pair(source: Source, config: Config) -> Extraction:
    """Returns one clip of one face and one voice: the largest face of the picture, and all of the speech."""
    face, voice = source.paths
    return one_clip([face], [voice], config)
