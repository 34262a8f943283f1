"""A process that commits made-up videos until it is done or killed: URI RUN CONFIG FIRST LAST.

Prints a line when it is about to begin, and skips what the ledger already has under the configuration.
"""

import sys

from stores import Store
from tests.support.store_world import video


def main(uri: str, run: str, config: str, first: str, last: str) -> None:
    store = Store.open(uri)
    print("ready", flush=True)
    numbers = range(int(first), int(last))
    for start in range(0, len(numbers), 4):
        known = {key for key, row in store.ledger().items() if row["config_hash"] == config}
        batch = [video(number, run, config) for number in numbers[start : start + 4]]
        store.commit([rows for rows in batch if rows.video["video_id"] not in known])


if __name__ == "__main__":
    main(*sys.argv[1:])
