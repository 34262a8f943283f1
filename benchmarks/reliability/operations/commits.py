"""Making a store, and committing videos to it."""

from functools import partial

from benchmarks.reliability.operations import Operation
from benchmarks.reliability.operations.starts import made, nothing, opened, place, state
from stores import Store
from tests.support.store_world import FACES, VOICES, video


def create(where: str) -> None:
    """Makes a store unless it is there."""
    Store.create(place(where), FACES, VOICES, exist_ok=True)


def commit(where: str, config: str, numbers: tuple[int, ...]) -> None:
    """Commits the videos that the store does not have with this configuration."""
    store = opened(where)
    with store.run({"job": "ingest"}, {}) as run:
        known = {name for name, row in store.ledger().items() if row["config_hash"] == config}
        batch = [video(number, run.run_id, config) for number in numbers]
        store.commit([rows for rows in batch if rows.video["video_id"] not in known])


OPERATIONS = [
    Operation("create", nothing, create, state),
    Operation("commit, new videos", made, partial(commit, config="a", numbers=(11, 12)), state),
    Operation("commit, videos replaced", made, partial(commit, config="b", numbers=(1, 2)), state),
]
