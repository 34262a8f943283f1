"""`vclip optimize` with a cluster's tasks does what one process does."""

import pytest

from pipelines.maintenance.optimize import optimize
from stores import Store
from stores.maintenance.check import check
from tests.support.store_world import FACES, VOICES, contents, video
from vclip.errors import InputError

pytestmark = pytest.mark.slow


def _made(uri: str) -> Store:
    store = Store.create(uri, FACES, VOICES)
    for first in range(0, 160, 16):
        store.commit([video(number) for number in range(first, first + 16)])
    store.delete_video("video0003")
    return store


def test_tasks_merge_fragments_and_build_indices_as_this_process_does(tmp_path):
    here, there = _made(str(tmp_path / "here")), _made(str(tmp_path / "there"))
    alone = optimize(here.uri, 7, cluster=lambda: False)
    spread = optimize(there.uri, 7, index=True, cluster=lambda: True)
    assert spread.fragments == alone.fragments
    assert spread.fragments["faces"] == "10 -> 1"
    assert [(one.table, one.rows) for one in spread.indices] == [("faces", 636), ("voices", 318)]
    assert contents(there, ("created_at",)) == contents(here, ("created_at",))
    assert check(there, {}).problems == []


def test_an_index_that_a_task_cannot_build_is_one_line(tmp_path):
    store = Store.create(str(tmp_path / "small"), FACES, VOICES)
    store.commit([video(1)])
    with pytest.raises(InputError, match=r"(faces: 4|voices: 2) rows are too few for an index"):
        optimize(store.uri, 7, index=True, cluster=lambda: True)
