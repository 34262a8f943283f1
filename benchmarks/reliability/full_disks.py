"""Operations without space: on disks that fill while they run, and in a bucket that refuses writes."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.reliability.cases import Case
from benchmarks.reliability.children import in_child, undisturbed
from benchmarks.reliability.faults import Control
from benchmarks.reliability.places import Bucket, Folders
from benchmarks.reliability.table import Row, Rows

LEVELS: tuple[str, ...] = ("0 bytes", "4 KiB", "16 KiB", "half", "nine tenths")
ENOUGH = 1 << 30  # bytes for any operation


def full_disks(case: Case, at: Folders, row: Row, rows: Rows) -> None:
    """Tries an operation on full disks."""
    if all(row.fulls.get(name) == "" for name in LEVELS):
        return
    with small_disk() as disk:
        if not disk:
            print("no full disks: tmpfs cannot be mounted here")
            return
        operation, empty = case.operation, _used(disk)
        where = at.copy(case.base, f"{disk}/where")
        start = _used(disk) - empty
        undisturbed(operation.name, lambda: operation.act(where))
        needs = max(_used(disk) - empty - start, 64 << 10)
        space = dict(zip(LEVELS, (0, 4 << 10, 16 << 10, needs // 2, needs * 9 // 10), strict=True))
        for level in rows.left(row.fulls, LEVELS):
            _resize(disk, ENOUGH)
            at.copy(case.base, where)
            _resize(disk, _used(disk) + space[level])
            kind, told = in_child(lambda: operation.act(where))
            free = shutil.disk_usage(disk).free
            _resize(disk, ENOUGH)
            wrong = case.judge_full(where, kind, told)
            rows.note(row.fulls, level, wrong and f"{wrong} ({free} bytes left)")


def full_bucket(case: Case, at: Bucket, control: Control, row: Row, rows: Rows) -> None:
    """Tries an operation in a bucket that refuses every write from the n-th on."""
    for call in rows.left(row.fulls, map(str, case.spread(len(LEVELS)))):
        where = at.copy(case.base, f"{case.base}-f{call}")
        kind, told, _ = control.run(lambda where=where: case.operation.act(where), refuse_from=int(call))
        rows.note(row.fulls, call, case.judge_full(where, kind, told))


@contextmanager
def small_disk() -> Iterator[str | None]:
    """Yields a folder on a disk of its own, until the block ends; None where none can be mounted."""
    with tempfile.TemporaryDirectory() as made:
        mount = ["mount", "-t", "tmpfs", "-o", f"size={ENOUGH}", "tmpfs", made]
        if subprocess.run(mount, capture_output=True).returncode:
            yield None
            return
        try:
            yield made
        finally:
            subprocess.run(["umount", "-l", made], check=True)


def _used(folder: str) -> int:
    return shutil.disk_usage(folder).used


def _resize(folder: str, size: int) -> None:
    subprocess.run(["mount", "-o", f"remount,size={max(4096, size)}", folder], check=True, capture_output=True)
