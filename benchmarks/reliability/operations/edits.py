"""Edits and tags."""

from collections.abc import Callable
from typing import Any

from benchmarks.reliability.operations import Operation
from benchmarks.reliability.operations.starts import made, opened, state
from stores import Store


def clip(where: str) -> str:
    """Returns the clip that is edited."""
    return opened(where).query("clips", ["clip_id"], order="clip_id", limit=3)["clip_id"].to_pylist()[1]


def rejected(where: str) -> None:
    """Makes a store with a rejected clip."""
    made(where)
    opened(where).reject([clip(where)], "ann", "x")


def once(where: str, action: str, act: Callable[[Store], Any]) -> None:
    """Acts unless that was done: who repeats an edit looks first, as people do."""
    store = opened(where)
    if not any(row["action"] == action and row["who"] == "me" for row in store.edits()):
        act(store)


def reject(where: str) -> None:
    """Rejects a clip."""
    once(where, "reject", lambda store: store.reject([clip(where)], "me", "x"))


def label(where: str) -> None:
    """Labels a clip."""
    once(where, "label", lambda store: store.label([clip(where)], "age", "5", "me", "x"))


def merge_people(where: str) -> None:
    """Makes two people one."""
    once(where, "merge", lambda store: store.merge_people("person1", "person2", "me", "x"))


def undo(where: str) -> None:
    """Undoes a rejection."""
    edit = next(row["edit_id"] for row in opened(where).edits() if row["action"] == "reject")
    once(where, "undo", lambda store: store.undo(edit, "me", "x"))


def tag(where: str) -> None:
    """Tags the store unless the tag is there."""
    store = opened(where)
    if "new" not in store.tags():
        store.tag("new")


def untag(where: str) -> None:
    """Removes a tag unless it is gone."""
    try:
        opened(where).remove_tag("kept")
    except ValueError as error:
        if "no such tag" not in str(error):
            raise


OPERATIONS = [
    Operation("edit: reject", made, reject, state),
    Operation("edit: label", made, label, state),
    Operation("edit: merge people", made, merge_people, state),
    Operation("edit: undo", rejected, undo, state),
    Operation("tag add", made, tag, state),
    Operation("tag remove", made, untag, state),
]
