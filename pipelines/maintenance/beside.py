"""What jobs left beside a store, in `STORE.runs`: rewritten without the people that are deleted from the store.

Reports name files and show faces without saying whose they are. So names are replaced, and all images are cut from
the reports; their figures stay.
"""

import json
import os
import re
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from markupsafe import escape

from pipelines.cluster.derived import FOLDER as DERIVED
from pipelines.cluster.failures import run_folder
from pipelines.files.addresses import scheme_of
from pipelines.files.output_store import Output
from pipelines.files.remote import RemoteConfig
from pipelines.ingest.report import kind_of
from stores.maintenance.deletion_plan import DeletionPlan
from stores.maintenance.forget import FORGOTTEN, without_names

_IMAGE = re.compile(r"<img\b[^>]*\bsrc=\"data:image/[^>]*>")
_TEXTS = (".html", ".json", ".txt", ".md", ".csv", ".log", ".jsonl")


def rewrite_beside(store_uri: str, plan: DeletionPlan) -> list[str]:
    """Rewrites the reports beside a store without what a plan deletes; returns the addresses of those that changed.

    May be repeated after any failure.

    Args:
        store_uri: the store.
        plan: what is deleted.

    Raises:
        InputError: a file cannot be listed or written.
    """
    output = _output(store_uri)
    if output is None or not plan:
        return []
    names, changed = _names(plan), []
    for name in sorted(_files(output)):
        content = output.read(name)
        without = _without(name, content, names)
        if without != content:
            output.write(name, [without])
            changed.append(output.address(name))
    return changed


def to_rewrite(store_uri: str, plan: DeletionPlan) -> list[str]:
    """Returns the addresses of the files that `rewrite_beside` would change; raises InputError as it does."""
    output = _output(store_uri)
    if output is None or not plan:
        return []
    names = _names(plan)
    contents = ((name, output.read(name)) for name in sorted(_files(output)))
    return [output.address(name) for name, content in contents if _without(name, content, names) != content]


def files_beside(store_uri: str) -> list[str]:
    """Returns the names of the files in `STORE.runs` that are searched; raises InputError if it cannot be listed."""
    output = _output(store_uri)
    return sorted(_files(output)) if output else []


def _output(store_uri: str) -> Output | None:
    """The folder or prefix beside the store; None for a folder that is missing, and for a store in memory."""
    where = run_folder(store_uri)
    if scheme_of(where) == "memory" or (not scheme_of(where) and not os.path.isdir(where)):
        return None
    return Output(where, RemoteConfig())


def _files(output: Output) -> Iterator[str]:
    for name in output.names():
        if name.lower().endswith(_TEXTS) and not name.startswith(f"{DERIVED}/"):
            yield name


def _names(plan: DeletionPlan) -> set[str]:
    """The names of files and people, also as reports shorten them."""
    files = {*plan.names, *(kind_of(name) for name in plan.names)}
    return {*files, *plan.identities, *(name for listed in plan.ids.values() for name in listed)}


def _without(name: str, content: bytes, names: set[str]) -> bytes:
    text = content.decode("utf-8", "surrogateescape")
    if name.lower().endswith(".json"):
        try:
            written = json.loads(text)
        except ValueError:
            pass
        else:
            forgotten = without_names(written, names)
            return content if forgotten == written else (json.dumps(forgotten, indent=1) + "\n").encode()
    if name.lower().endswith(".html"):
        text = _IMAGE.sub("", text)
        names = {str(escape(one)) for one in names}
    return _replaced(text, names).encode("utf-8", "surrogateescape")


def _replaced(text: str, names: Iterable[str]) -> str:
    """The text without these names, and without the last parts of those that are paths."""
    short = {PurePosixPath(name).name for name in names if "/" in name}
    for name in sorted({*names, *short} - {""}, key=len, reverse=True):
        if name in text:
            text = re.sub(rf"(?<![\w.-]){re.escape(name)}(?![\w-]|\.\w)", FORGOTTEN, text)
    return text
