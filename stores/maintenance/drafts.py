"""Files under temporary names: Lance renames a file when it is whole, so a killed process leaves some behind."""

import os
import re
import tempfile
from pathlib import Path

from lancedb.db import DBConnection

from stores.connection import local_path

ABANDONED_S = 86_400.0  # since anything was written to the file
_DRAFT = re.compile(r"\.tmp\w+|.+#\d+")  # a file of Lance's, and one of its library for object stores


def sweep_drafts(db: DBConnection, older_than_s: float = ABANDONED_S) -> int:
    """Deletes the files under temporary names that nobody has written to for so long; returns their number.

    Their age is by the clock of the file system. A bucket has no such files: an upload is there when it is whole.
    """
    root = local_path(db.uri)
    if root is None:
        return 0
    try:
        with tempfile.TemporaryFile(dir=root) as probe:
            now_s = os.fstat(probe.fileno()).st_mtime
    except OSError:  # a full disk, or one that may only be read
        return 0
    swept = 0
    for folder, _, names in os.walk(root):
        for path in (Path(folder, name) for name in names if _DRAFT.fullmatch(name)):
            try:
                if now_s - path.stat().st_mtime > older_than_s:
                    path.unlink()
                    swept += 1
            except FileNotFoundError:
                continue  # renamed meanwhile, or swept by another process
    return swept
