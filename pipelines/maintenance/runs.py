"""`vclip runs`: the jobs that wrote to a store, what failed in them, and the tracebacks that they kept."""

import json
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from pipelines.cluster.failures import FOLDER, run_folder
from pipelines.files.addresses import is_remote
from pipelines.files.output_store import Output
from pipelines.files.remote import RemoteConfig
from pipelines.wording import count
from stores import Store
from stores.errors import StoreError, nearest
from stores.leases import process_is_gone
from stores.sql import quoted


@dataclass(frozen=True)
class FailedItem:
    """One failed input of a run."""

    uri: str
    reason: str


@dataclass(frozen=True)
class KeptTraceback:
    """One file of a run's tracebacks: the first item that failed at this place, its reason and the traceback."""

    address: str
    text: str


@dataclass(frozen=True)
class RunRecord:
    """One run of a store."""

    run_id: str
    job: str
    started_at: str  # UTC
    took_s: float | None  # None while it runs
    state: str  # "finished", "killed", "running, or killed", or why it ended
    who: str  # user and machine; empty for runs of older versions
    counts: Mapping[str, int]  # what it did: "done", "clips", "rows", ... -> how many
    errors: int  # items that failed
    command: Mapping[str, Any]
    summary: Mapping[str, Any]
    folder: str = ""  # of its tracebacks
    failed: list[FailedItem] = field(default_factory=list)
    tracebacks: list[KeptTraceback] = field(default_factory=list)


def list_runs(store_uri: str) -> list[RunRecord]:
    """Returns the runs of a store, the newest first."""
    return [_record(row) for row in _rows(Store.open(store_uri))]


def show_run(store_uri: str, run_id: str, errors: bool = False) -> RunRecord:
    """Returns one run of a store.

    Args:
        store_uri: the store.
        run_id: the id of the run.
        errors: also read what failed, and the tracebacks.

    Raises:
        StoreError: the store has no such run.
    """
    store = Store.open(store_uri)
    rows = {row["run_id"]: row for row in _rows(store)}
    if run_id not in rows:
        raise StoreError(f"run {run_id}: the store {store_uri} has no such run; {nearest(run_id, rows)}")
    found = _record(rows[run_id])
    if not errors:
        return found
    where = f"run_id = {quoted(run_id)} AND state = 'failed'"
    failed = store.query("videos", ["uris", "reason"], where).to_pylist()
    items = [FailedItem(row["uris"][0]["uri"], row["reason"]) for row in failed]
    # Of rows of which a column function failed there is an example for each reason.
    of_rows = found.summary.get("failures") or ()
    items += [FailedItem(f"{count(one['rows'], 'row')}, such as {one['example']}", one["reason"]) for one in of_rows]
    # `generate --manifest` writes its tracebacks beside its speech; all runs of `embed` write theirs in one folder.
    folder = str(found.command.get("out") or f"{run_folder(store_uri)}/{'embed' if found.job == 'embed' else run_id}")
    kept = list(_kept(folder))
    if found.job == "embed":
        kept = [one for one in kept if any(one.address.rpartition("/")[2] in item.reason for item in items)]
    return RunRecord(**(vars(found) | {"folder": folder, "failed": items, "tracebacks": kept}))


def _rows(store: Store) -> list[dict[str, Any]]:
    rows = store.query("runs", ["run_id", "command", "summary", "started_at", "finished_at"]).to_pylist()
    return sorted(rows, key=lambda row: row["started_at"], reverse=True)


def _record(row: Mapping[str, Any]) -> RunRecord:
    command, summary = json.loads(row["command"]), json.loads(row["summary"])
    going = "killed" if process_is_gone(row["run_id"], row) else "running, or killed"  # on another machine
    state = summary.get("ended_by") or ("finished" if row["finished_at"] else going)
    started_at = row["started_at"].isoformat(timespec="seconds")
    counts, took = _counts(summary), (row["finished_at"] or row["started_at"]) - row["started_at"]
    return RunRecord(
        run_id=row["run_id"],
        job=str(command.get("job", "")),
        started_at=started_at,
        took_s=summary.get("took_s", took.total_seconds()) if row["finished_at"] else None,
        state=state,
        who=str(command.get("who", "")),
        errors=counts.pop("failed", 0),
        counts=counts,
        command=command,
        summary=summary,
    )


def _counts(summary: Mapping[str, Any]) -> dict[str, int]:
    """The counts in the summary of any job; those of an ingest are by state and by table."""
    tables = [summary[name] for name in ("videos", "rows") if isinstance(summary.get(name), Mapping)]
    found = {name: number for counts in tables for name, number in counts.items()} | dict(summary)
    return {name: n for name, n in found.items() if type(n) is int and n and not name.endswith("bytes")}


def _kept(folder: str) -> Iterator[KeptTraceback]:
    if not is_remote(folder) and not os.path.isdir(f"{folder}/{FOLDER}"):
        return  # to open an output would make its folder
    output = Output(folder, RemoteConfig())
    for name in output.names(FOLDER):
        try:
            yield KeptTraceback(output.address(name), output.read(name).decode("utf-8", "replace"))
        except OSError as error:
            yield KeptTraceback(output.address(name), f"cannot be read ({error.strerror or error})")
