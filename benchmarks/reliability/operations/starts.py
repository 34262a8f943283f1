"""Where most operations start: from nothing, or from a store of made-up videos."""

from pathlib import Path

from benchmarks.reliability.states import State, store_state
from stores import Store
from tests.support.store_world import FACES, VOICES, video


def place(where: str) -> str:
    """Returns where the store of an operation lies."""
    return f"{where}/store"


def opened(where: str) -> Store:
    """Returns the store of an operation."""
    return Store.open(place(where))


def state(where: str) -> State:
    """Returns what readers see of the store of an operation."""
    return store_state(place(where))


def nothing(where: str) -> None:
    """Makes an empty folder; a prefix needs none."""
    if "://" not in where:
        Path(where).mkdir(exist_ok=True)


def empty(where: str) -> None:
    """Makes a store without videos."""
    Store.create(place(where), FACES, VOICES)


def made(where: str) -> None:
    """Makes a store of four made-up videos in two commits, with a tag and an edit."""
    empty(where)
    store = opened(where)
    for number in (1, 3):
        store.commit([video(number), video(number + 1)])
    store.tag("kept")
    clips = store.query("clips", ["clip_id"], order="clip_id")["clip_id"].to_pylist()
    store.label(clips[:1], "age", "30", "ann", "seen")
