"""The two places in which operations run: folders, and prefixes of a bucket."""

import shutil
from pathlib import Path

from benchmarks.reliability.children import in_child
from tests.support.places import BUCKET, copy_store


class Folders:
    """Folders below a root."""

    place = "local"

    def __init__(self, root: Path):
        self.root = root

    def named(self, name: str) -> str:
        """Returns the address of a name."""
        return str(self.root / name)

    def copy(self, base: str, to: str) -> str:
        """Copies a prepared folder, in place of what is there, and returns where."""
        self.remove(to)
        copy_store(base, to)
        return to

    def remove(self, where: str) -> None:
        """Removes a folder."""
        shutil.rmtree(where, ignore_errors=True)


class Bucket:
    """Prefixes of the bucket that `s3_server` serves."""

    place = "S3"

    def named(self, name: str) -> str:
        """Returns the address of a name."""
        return f"s3://{BUCKET}/{name}"

    def copy(self, base: str, to: str) -> str:
        """Copies a prepared prefix, and returns where."""
        in_child(lambda: copy_store(base, to))
        return to

    def remove(self, where: str) -> None:
        """Leaves the objects to the server's end."""
