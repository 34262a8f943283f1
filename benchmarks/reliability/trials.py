"""All trials: each operation in each place, killed at each of its calls, and without space."""

import os
from pathlib import Path

from benchmarks.reliability.cases import Case, prepare
from benchmarks.reliability.children import adopt_orphans
from benchmarks.reliability.faults import Control
from benchmarks.reliability.full_disks import full_bucket, full_disks
from benchmarks.reliability.operations import Operation, every_operation
from benchmarks.reliability.places import Bucket, Folders
from benchmarks.reliability.s3_server import s3_server
from benchmarks.reliability.table import Row, Rows, table


def try_all(names: list[str], places: list[str], world: Path | None, rows: Rows, most: int, fulls: bool) -> None:
    """Tries operations, notes each trial and prints the row of each operation.

    Args:
        names: names of operations, or parts of them; empty for all.
        places: "local", "S3" or both.
        world: the folder of a `vclip quickstart`, for operations of models and speech.
        rows: the table.
        most: how often to kill an operation at most; 0 for at every call.
        fulls: whether to try full disks.
    """
    adopt_orphans()
    control = Control(Path(os.environ["FAULTS_CONTROL"]))
    every = every_operation(world)
    chosen = [one for name in names for one in every if name in one.name] if names else every

    def run(at: Folders | Bucket, operations: list[Operation]) -> None:
        for operation in operations:
            if not rows.over:
                row = measure(operation, at, control, rows, most, fulls)
                print(table([row]).splitlines()[2], *row.seen, sep="\n    ", flush=True)

    if Folders.place in places:
        run(Folders(Path(os.environ["FAULTS_ROOT"])), chosen)
    if Bucket.place in places:
        with s3_server(control) as environment:
            os.environ.update(environment)
            run(Bucket(), [operation for operation in chosen if operation.bucket])


def measure(operation: Operation, at: Folders | Bucket, control: Control, rows: Rows, most: int, fulls: bool) -> Row:
    """Returns the row of one operation in one place, and notes each trial in it."""
    row, case = rows.row(operation.name, at.place), prepare(operation, at, control)
    row.calls = case.calls
    if fulls:
        if isinstance(at, Folders):
            full_disks(case, at, row, rows)
        else:
            full_bucket(case, at, control, row, rows)
    kills(case, at, control, row, rows, most)
    at.remove(case.base)
    return row


def kills(case: Case, at: Folders | Bucket, control: Control, row: Row, rows: Rows, most: int) -> None:
    """Kills an operation at each of its calls, or at `most` of them."""
    for call in rows.left(row.kills, map(str, case.spread(most))):
        where = at.copy(case.base, f"{case.base}-k{call}")
        kind, told, calls = control.run(lambda where=where: case.operation.act(where), kill_at=int(call))
        if kind != "done" or calls >= int(call):  # else threads came in another order, and fewer calls were made
            rows.note(row.kills, call, case.judge(where) if kind == "killed" else f"{kind} {told}")
        at.remove(where)
