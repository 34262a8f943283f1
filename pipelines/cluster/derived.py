"""The files that jobs make from a store in other places: pages, exports, models. A deletion lists them.

Each is recorded in a small file beside the store, `STORE.runs/derived/`, whose name follows from the address of what
was made, so that making it again replaces its record.
"""

import hashlib
import json
import os
import socket
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from pipelines.cluster.failures import run_folder
from pipelines.files.addresses import scheme_of
from pipelines.files.output_store import Output
from pipelines.files.remote import RemoteConfig
from pipelines.progress import warn
from vclip.errors import InputError

FOLDER = "derived"


@dataclass(frozen=True)
class DerivedFile:
    """A file or folder that a job made from a store."""

    job: str  # such as "export"
    path: str  # absolute path or address
    machine: str  # whose path it is; "" for an address
    written: str  # ISO 8601

    @property
    def is_gone(self) -> bool:
        """Whether it is known to be there no more: a path of this machine at which nothing is."""
        return self.machine == socket.gethostname() and not os.path.lexists(self.path)


def record_derived(store_uri: str | None, job: str, out: str | Path | None) -> None:
    """Records that a job made `out` from a store; where that cannot be written, a message says so.

    Args:
        store_uri: the store; None, or a store in memory, records nothing.
        job: the name of the job.
        out: the file or folder that was made; None records nothing.
    """
    if not store_uri or not out or store_uri.startswith("memory://"):
        return
    address = os.fspath(out)
    remote = bool(scheme_of(address))
    path = address if remote else os.path.abspath(address)
    made = DerivedFile(job, path, "" if remote else socket.gethostname(), datetime.now(UTC).isoformat("T", "seconds"))
    digest = hashlib.sha256(f"{made.machine} {path}".encode("utf-8", "backslashreplace")).hexdigest()[:16]
    name = f"{FOLDER}/{digest}.json"
    try:
        output = Output(run_folder(store_uri), RemoteConfig())
        output.write(name, [(json.dumps(asdict(made)) + "\n").encode()])
    except (InputError, OSError) as error:
        warn(f"{error}; a deletion from {store_uri} will not know of {path}")


def derived_files(store_uri: str) -> list[DerivedFile]:
    """Returns what was recorded as made from a store and is not known to be gone, sorted by path.

    Raises:
        InputError: the place beside the store cannot be listed.
    """
    beside = run_folder(store_uri)
    if not scheme_of(beside) and not os.path.isdir(beside):
        return []
    output, found = Output(beside, RemoteConfig()), []
    for name in output.names(FOLDER):
        try:
            found.append(DerivedFile(**json.loads(output.read(name))))
        except (OSError, ValueError, TypeError):
            continue  # half of a record, or no record
    return sorted((one for one in found if not one.is_gone), key=lambda one: one.path)
