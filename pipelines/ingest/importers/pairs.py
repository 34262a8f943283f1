"""`vclip import pairs`: imports images with speech as clips of one face and one voice.

Faces are cut out, and faces and speech are embedded and stored, by the rules for videos.
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
    """Imports the pairs of a CSV and returns the summary of the run.

    A pair whose image has no face becomes a failed row, and one without speech an empty row.

    Args:
        table: a CSV with the columns id, identity, gender, face and voice; paths are relative to it. Its other
            columns become labels.
        store_uri: the store; created if there is none.
        config: the resolved configuration.

    Raises:
        InputError: the table is not such a CSV, or a file that it names is missing; nothing is imported.
        StoreError: the store cannot be opened or written.
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
        InputError: as `read_csv`; or an id appears twice.
    """
    rows = read_csv(table, COLUMNS)
    name, count = Counter(row["id"] for row in rows).most_common(1)[0]
    if count > 1:
        raise InputError(f"table {table}: id '{name}' appears {count} times; expected each id once")
    return rows


def read_pair(source: Source, config: Config) -> Extraction:
    """Returns an extraction with one clip: the largest face of the image and all of the speech."""
    face, voice = source.paths
    return one_clip([face], [voice], config)
