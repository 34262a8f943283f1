"""Kill every operation that writes just before each call that changes a file, and fill its disk.

    python -m benchmarks.reliability [--operations "commit;delete"] [--kills 20] [--places local] [--json rows.json]

An operation runs in a child process on a copy of a prepared folder. Then readers must see what was there before or
what the operation makes, item by item; operations that are one step must show all of one or all of the other. The
operation runs again, and must end as one that nobody disturbed.

- Locally, `faults.c` counts the calls that change files and kills the child (SIGKILL) just before the n-th, for each
  n, or for `--kills` of them, evenly spread. If a worker of the operation makes the call, both are killed.
- In a bucket (moto's S3, on loopback), the server kills the child instead of answering its n-th request that writes.
- A full disk is a tmpfs with 0 bytes, 4 KiB, 16 KiB, half and nine tenths of the space that the operation needs (root
  mounts it). The error must be one of ours, with one line. A bucket has no size; there the server refuses every write
  from the n-th on.

With `--json`, what held is noted after every trial, and is not tried again; `--minutes` ends early.

Needs Linux, a C compiler, and root for the full disks.
"""

import argparse
import os
import sys
from pathlib import Path

from benchmarks.reliability.faults import restart_with_faults
from benchmarks.reliability.table import Rows, table


def main() -> None:
    """Reads the command line, and starts the trials with `faults.c`."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.reliability",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--operations", default="", help="names, or parts of them, with semicolons; all if left out")
    parser.add_argument("--kills", type=int, default=0, help="kills of each operation at most; 0: at every call")
    parser.add_argument("--places", default="local,S3")
    parser.add_argument("--world", type=Path, help="made by `vclip quickstart`, for operations of models and speech")
    parser.add_argument("--no-full", action="store_true", help="no full disks")
    parser.add_argument("--json", type=Path, help="a file for the rows; what held in it is not tried again")
    parser.add_argument("--minutes", type=float, default=1e6, help="start no trial after these")
    args = parser.parse_args()
    if "FAULTS_CONTROL" not in os.environ:
        sys.exit(restart_with_faults())
    from benchmarks.reliability.trials import try_all  # loads the stores, in the process that needs them

    rows = Rows(args.json, args.minutes)
    names = [name.strip() for name in args.operations.split(";") if name.strip()]
    try_all(names, args.places.split(","), args.world, rows, args.kills, not args.no_full)
    print(table(list(rows.rows.values())))
    if any(row.seen for row in rows.rows.values()):
        sys.exit(1)


if __name__ == "__main__":
    main()
