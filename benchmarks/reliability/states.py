"""What readers see of a store or a folder: the states that an interrupted operation may not mix."""

import hashlib
from pathlib import Path
from typing import Any

from stores import Store
from stores.maintenance.check import check

State = dict[str, str]  # item -> digest of what readers see of it
HALF = "check names a half-done deletion"  # an item of a state, which neither the old nor the new state has


def digest(value: Any) -> str:
    """Returns a short hash of a value."""
    return hashlib.sha256(repr(value).encode()).hexdigest()[:16]


def store_state(uri: str) -> State:
    """Returns what readers see of a store; {} if there is none."""
    if not Store.exists(uri):
        return {}
    try:
        store = Store.open(uri)
    except ValueError as error:
        return {"store": "not migrated" if "run `vclip migrate" in str(error) else str(error)}
    snapshot, found = store.snapshot(), {}
    for table in ("videos", "clips", "faces", "voices", "generations"):
        names = [name for name in snapshot.schema(table).names if name not in ("created_at", "revision", "run_id")]
        for row in snapshot.query(table, names).to_pylist():
            for name in ("scores", "models"):  # JSON with times
                row.pop(name, None)
            for name in [name for name in row if name.startswith("vector_")]:
                found[f"{table}/{row[names[0]]}/{name}"] = digest(row.pop(name))
            found[f"{table}/{row[names[0]]}"] = digest(row)
    edits = [row for row in store.edits() if row["who"] != "vclip delete"]  # by which a deletion hides clips
    place = {row["edit_id"]: str(number) for number, row in enumerate(edits)}
    for number, row in enumerate(edits):
        subject = place.get(row["subject"], row["subject"])
        found[f"edits/{number}"] = digest([row["action"], subject, row["name"], row["value"], row["in_force"]])
    for name in store.tags():
        seen = store.snapshot(name)
        found[f"tags/{name}"] = digest({table: seen.count(table) for table in ("videos", "clips", "faces", "voices")})
    found |= {f"spaces/{table}/{space}": "" for table in ("faces", "voices") for space in store.spaces(table)}
    problems = {problem.kind for problem in check(store, {}).problems} - {"uncommitted", "unnamed", "not_unit"}
    found |= {HALF: ""} if "half_deleted" in problems else {}
    return found | {f"problems/{kind}": "" for kind in problems - {"half_deleted"}}


def files_state(folder: str) -> State:
    """Returns the files of a folder, without drafts, which are hidden."""
    paths = [path for path in Path(folder).rglob("*") if path.is_file()]
    shown = [path for path in paths if not any(part.startswith(".") for part in path.relative_to(folder).parts)]
    return {str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()[:16] for path in shown}
