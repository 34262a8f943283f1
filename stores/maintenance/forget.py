"""Remove names of files and people from the rows of `runs`, which record what jobs were asked for."""

import json
import re
from collections.abc import Mapping
from functools import partial
from typing import Any

from lancedb.db import DBConnection

from stores.maintenance.deletion_plan import stored
from stores.retry import retry
from stores.sql import quoted

FORGOTTEN = "(deleted)"  # in the place of a name


def forget_names(db: DBConnection, names: set[str]) -> None:
    """Removes names of files and people from the commands, configurations and summaries of runs."""
    columns = ["command", "config", "summary"]
    for row in stored(db, "runs", ["run_id", *columns]).to_pylist() if names else ():
        values = {column: json.loads(row[column]) for column in columns}
        if "plan" in values["command"]:
            continue  # of a deletion; removed with its plan
        forgotten = {column: without_names(value, names) for column, value in values.items()}
        changed = {column: json_text(value) for column, value in forgotten.items() if value != values[column]}
        if changed:
            replace_in_run(db, row["run_id"], changed)


def without_names(value: Any, names: set[str]) -> Any:
    """Returns a JSON value in which each text that is one of these names, or contains one of a file, is replaced.

    Args:
        value: the value.
        names: of files and people. One of a person is replaced only where it is a whole text.
    """
    if isinstance(value, Mapping):
        return {without_names(name, names): without_names(of, names) for name, of in value.items()}
    if isinstance(value, list):
        return [without_names(of, names) for of in value]
    if not isinstance(value, str):
        return value
    if value in names:
        return FORGOTTEN
    if "/" not in value:  # most texts, and names may be many
        return value
    for name in (name for name in names if "/" in name and name in value):
        value = re.sub(rf"(?<![\w./-]){re.escape(name)}(?![\w/-]|\.\w)", FORGOTTEN, value)
    return value


def replace_in_run(db: DBConnection, run_id: str, values: Mapping[str, str]) -> None:
    """Gives columns of a run new values."""
    where = f"run_id = {quoted(run_id)}"
    retry(db, "the runs", partial(db.open_table("runs").update, where=where, values=dict(values)))


def json_text(value: Any) -> str:
    """Returns a value as JSON, as `rows.typed` writes it."""
    return json.dumps(value, sort_keys=True, ensure_ascii=False, default=str)
