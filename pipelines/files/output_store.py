"""The output of a job: files in a folder or below a prefix of a bucket, each written whole or not at all."""

import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from urllib.parse import unquote

from pipelines.files.addresses import BUCKETS, scheme_of
from pipelines.files.folders import walk
from pipelines.files.remote import RemoteConfig, listed, read, unreadable
from vclip.errors import InputError
from vclip.files import is_draft, sweep_drafts, whole_file


class Output:
    """A folder or prefix for files with names such as `speech/a.wav`.

    Args:
        where: a folder, which is created, or the address of a prefix (`s3://bucket/prefix`, `gs://...`).
        config: the limits of remote files.

    Raises:
        InputError: the folder cannot be created, or the address is of no bucket.
    """

    def __init__(self, where: str | os.PathLike, config: RemoteConfig):
        given = os.fspath(where)
        scheme = scheme_of(given)
        if scheme not in ("", "file", *BUCKETS):
            raise InputError(f"output {given}: found {scheme}://, expected a folder, s3:// or gs://")
        self.remote = scheme in BUCKETS
        self.root = given.rstrip("/") if self.remote else os.path.abspath(_path(given))
        self._config = config
        if not self.remote:
            try:
                os.makedirs(self.root, exist_ok=True)
            except OSError as error:
                raise InputError(f"output {given}: {error.strerror or error}; expected a folder") from None

    def address(self, name: str) -> str:
        """Returns the path or address of a file."""
        return f"{self.root}/{name}"

    def write(self, name: str, content: Iterable[bytes]) -> None:
        """Writes a file from its parts; raises InputError if it cannot be written."""
        if not self.remote:
            with whole_file(Path(self.address(name))) as draft, open(draft, "wb") as file:
                file.writelines(content)
            return
        from pipelines.files import buckets

        try:
            buckets.write(self.address(name), content, self._config.stall_s)
        except OSError as error:
            raise InputError(f"{self.address(name)}: cannot be written ({error})") from None

    def read(self, name: str) -> bytes:
        """Returns the content of a file; raises OSError as files do."""
        if not self.remote:
            return Path(self.address(name)).read_bytes()
        return b"".join(read(self.address(name), self._config))

    def names(self, folder: str = "") -> Iterator[str]:
        """Yields the names of all files, or of those in one folder of the output.

        Drafts that killed processes of this machine left are deleted.

        Raises:
            InputError: the bucket cannot be listed.
        """
        prefix = f"{folder}/" if folder else ""
        if not self.remote:
            if os.path.isdir(self.address(folder)):
                sweep_drafts(Path(self.address(folder)))
                yield from (prefix + name for name in walk(self.address(folder)) if not is_draft(name))
            return
        try:
            found = listed(f"{self.root}/{prefix}", self._config)
        except OSError as error:
            raise InputError(f"output {self.root}: {unreadable(error)}") from None
        yield from (address.removeprefix(f"{self.root}/") for address, _ in found)


def _path(given: str) -> str:
    return unquote(given.partition("://")[2]) if scheme_of(given) else os.path.expanduser(given)
