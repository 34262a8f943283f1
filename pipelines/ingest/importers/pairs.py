"""`vclip import pairs`: imports images with speech as clips of one face and one voice.

Faces are cut out, and faces and speech are embedded and stored, by the rules for videos.
"""

import os
from pathlib import Path

from pipelines.cluster.failures import Failure
from pipelines.config import Config
from pipelines.extraction.faces.detectors import FaceDetector
from pipelines.extraction.types import Extraction
from pipelines.files.addresses import recorded, storable
from pipelines.files.folders import existing
from pipelines.files.tables import TableRow, read_columns, unusable_text
from pipelines.ingest.importers.media import one_clip
from pipelines.ingest.job import Summary, ingest
from pipelines.ingest.sources.manifest import label_text
from pipelines.ingest.sources.source import Source, source_of
from pipelines.wording import none_usable
from stores.schema import LABELS
from vclip.errors import InputError
from vclip.tables import nfc

COLUMNS = ("id", "identity", "face", "voice")
NAMES = ("face", "voice")  # of files, or of vectors


def import_pairs(table: str | Path, store_uri: str, config: Config) -> Summary:
    """Imports the pairs of a table and returns the summary of the run.

    A row that cannot be used, a missing file and an image without a face become a failed row, and a pair without
    speech an empty one.

    Args:
        table: a table with the columns id, identity, face and voice; paths are relative to it. Its other columns,
            such as gender, become labels.
        store_uri: the store; created if there is none.
        config: the resolved configuration.

    Raises:
        InputError: the table lacks columns, an id appears twice, or no row can be used; nothing is imported.
        StoreError: the store cannot be opened or written.
    """
    return ingest(pair_sources(table), store_uri, config, read_pair, unit="pairs", inputs=[str(table)])


def pair_sources(table: str | Path) -> list[Source]:
    """Returns a source for each row of a table of pairs; one that cannot be used says why.

    Raises:
        InputError: as `import_pairs`.
    """
    sources = [_source(row, Path(table)) for row in read_pair_table(table)]
    failures = [source.failure for source in sources if source.failure]
    if len(failures) == len(sources):
        reason = failures[0].reason
        raise InputError(f"table {table}: {none_usable(len(sources), 'row')}; {reason}; nothing was imported")
    return sources


def read_pair_table(table: str | Path) -> list[TableRow]:
    """Returns the rows of a table with COLUMNS, their labels in NFC; a row that cannot be used says why.

    Raises:
        InputError: as `read_columns`; or an id appears twice.
    """
    rows = [_normal(row) for row in read_columns(table, COLUMNS, ("split", *LABELS), may_be_empty=["identity"])]
    first: dict[str, int] = {}
    for row in rows:
        if row.problem:
            continue
        before = first.setdefault(row.values["id"], row.number)
        if before != row.number:
            raise InputError(
                f"table {table}, rows {before} and {row.number}: both have the id '{row.values['id']}'; expected "
                "each id once"
            )
    return rows


def labels_of(row: TableRow) -> dict[str, str]:
    """Returns the labels of a row of a table of pairs."""
    return {column: value for column, value in row.values.items() if column not in NAMES and value}


def _normal(row: TableRow) -> TableRow:
    values, problem = dict[str, str](), row.problem
    for column, value in row.values.items():
        try:
            text = label_text(value)
        except (ValueError, RecursionError) as error:
            text, wrong = "", f"cannot be read ({error})"
        else:
            # The name of a file need not be UTF-8.
            wrong = unusable_text(storable(text) if column in NAMES and "\0" not in text else text)
        wrong = unusable_text(column) or wrong
        values[column] = text if column in NAMES else nfc(text)
        problem = problem or (f"{storable(column)}: {wrong}" if wrong else "")
    return TableRow(row.number, values, problem)


def _source(row: TableRow, table: Path) -> Source:
    labels, problem = labels_of(row), row.problem
    named = [str(row.values.get(name, "")) for name in NAMES]
    if not problem:
        files = [existing(os.path.abspath(table.parent / name)) for name in named]
        try:
            return source_of(files, labels)
        except (OSError, ValueError) as error:
            missing = next((file for file in files if not os.path.isfile(file)), files[0])
            problem = f"cannot be read ({storable(missing)}: {getattr(error, 'strerror', None) or error})"
    reason = f"row {row.number}, id '{storable(labels.get('id', ''))}': {problem}"
    uri = f"{recorded(os.path.abspath(table))}#row {row.number}"
    return Source((), uri, None, None, labels=labels, failure=Failure(reason))


def read_pair(source: Source, config: Config, detector: FaceDetector) -> Extraction:
    """Returns an extraction with one clip: the largest face of the image and all of the speech."""
    face, voice = source.paths
    return one_clip([face], [voice], config, detector)
