"""What of a batch goes into one task; and work in tasks whose workers die."""

import os
import signal
import time
from collections import Counter

import numpy as np
import pytest

from pipelines.cluster.actors import Actors
from pipelines.cluster.failures import Failure, Tracebacks
from pipelines.cluster.tasks import DIED, run_tasks
from pipelines.files.remote import RemoteConfig
from pipelines.generation.faces import TargetFace
from pipelines.generation.synthesize import batches_of
from tests.support.generation_world import utterance
from vclip.errors import InputError


def _utterances(voices_of_text):
    face = TargetFace("a.jpg", "0" * 64, 0, 1, np.zeros(4, np.float32))
    rng = np.random.default_rng(0)
    return [
        utterance(text, rng.normal(size=4), face) for text, voices in voices_of_text.items() for _ in range(voices)
    ]


@pytest.mark.parametrize(("most", "tasks"), [(64, 1), (64, 4), (8, 1), (1, 1), (5, 40)])
def test_each_utterance_is_in_one_batch_and_none_is_too_large(most, tasks):
    utterances = _utterances({f"text {n}": n for n in range(1, 13)})
    batches = list(batches_of(utterances[::-1], most, tasks))
    assert Counter(u.generation_id for batch in batches for u in batch) == {u.generation_id: 1 for u in utterances}
    assert max(map(len, batches)) <= most
    assert len(batches) >= min(tasks, len(utterances))


def test_a_texts_voices_stay_together_where_they_fit():
    utterances = _utterances({f"text {n}": 5 for n in range(20)})
    batches = list(batches_of(utterances, 16, 1))
    homes = {u.text: number for number, batch in enumerate(batches) for u in batch}
    assert all(homes[u.text] == number for number, batch in enumerate(batches) for u in batch)
    assert {len(batch) for batch in batches} == {15, 10}
    assert [len(batch) for batch in batches_of(_utterances({"a": 40}), 16, 1)] == [16, 16, 8]
    assert list(batches_of([], 16, 4)) == []


@pytest.fixture(scope="module")
def ray_here():
    from pipelines.cluster.session import start_ray

    start_ray()


def _squares(items_that_die=(), items_that_raise=()):
    """Returns how work is opened that gives (square, whether it may have been done before)."""

    def open_work():
        def work(item, again):
            if item in items_that_die:
                os.kill(os.getpid(), signal.SIGKILL)
            if item in items_that_raise:
                raise IndexError(f"no square of {item}")
            return item * item, again

        return work

    return open_work


@pytest.mark.slow
def test_an_item_that_kills_its_worker_fails_and_the_others_are_done(ray_here):
    done = dict(run_tasks([[1, 2], [3, -1, 4], [5]], _squares(items_that_die=[-1]), "work", 1.0))
    assert done == {1: (1, False), 2: (4, False), 5: (25, False), 3: (9, True), 4: (16, True), -1: DIED}


@pytest.mark.slow
def test_an_item_that_raises_is_a_failure_whose_traceback_is_kept(ray_here, tmp_path):
    done = dict(run_tasks([[1, 2], [3, 4]], _squares(items_that_raise=[2, 3]), "work", 1.0))
    assert (done[1], done[4]) == ((1, False), (16, False))
    for item in (2, 3):
        assert done[item].reason == f"internal error: IndexError: no square of {item} (see {done[item].file})"
        assert "in work" in done[item].traceback
        assert f"IndexError: no square of {item}" in done[item].traceback
    assert done[2].file == done[3].file, "one defect, one file"
    kept = Tracebacks(str(tmp_path / "out"), RemoteConfig())
    for item in (2, 3):
        kept.keep(done[item], f"item {item}")
    (file,) = (tmp_path / "out").rglob("*.txt")
    assert file == tmp_path / "out" / done[2].file
    assert file.read_text().startswith("item 2\n")
    assert done[2].traceback in file.read_text()


@pytest.mark.slow
def test_the_size_of_the_cluster_is_asked_while_it_runs(ray_here, tmp_path):
    """A cluster whose head has no CPU grows once tasks are pending. With a window that is fixed at the start, two
    tasks run at a time for ever."""
    begun_s = time.monotonic()
    seen = tmp_path / "three at a time"

    def cpus():
        return 0.0 if time.monotonic() < begun_s + 0.5 else 0.2

    def open_work():
        def work(item, again):
            (tmp_path / f"{item}.running").touch()
            while not seen.exists() and time.monotonic() < begun_s + 60:
                if len(list(tmp_path.glob("*.running"))) > 2:
                    seen.touch()
                time.sleep(0.01)
            (tmp_path / f"{item}.running").unlink()

        return work

    done = dict(run_tasks(([i] for i in range(6)), open_work, "work", 0.1, cpus=cpus, size_every_s=0.1))
    assert len(done) == 6
    assert seen.exists()


@pytest.mark.slow
def test_actors_are_added_as_the_cluster_grows(ray_here):
    begun_s = time.monotonic()

    def open_stage(device):
        return lambda results: [(time.sleep(0.05), os.getpid())[1] for _ in results]

    def count():
        return 1 if time.monotonic() < begun_s + 0.5 else 2

    actors, workers = Actors(lambda: (_squares(), open_stage), count, gpus=0, at_once=1), set()
    for _, pid in run_tasks(([i] for i in range(2000)), _squares(), "work", 0.5, actors=actors, size_every_s=0.1):
        workers.add(pid)
        if len(workers) == 2:
            return
    pytest.fail("no second actor")


@pytest.mark.slow
@pytest.mark.parametrize("where", ["task", "actor"])
def test_a_node_that_lacks_weights_is_one_error_in_tasks_and_in_actors(ray_here, where):
    def missing(device=""):
        raise InputError("encoder 'open_clip:X': found no weights")

    def fine(device):
        return lambda items: items

    halves = (missing, fine) if where == "task" else (_squares(), missing)
    actors = Actors(lambda: halves, count=lambda: 1, gpus=0, at_once=2)
    with pytest.raises(InputError, match="found no weights"):
        list(run_tasks([[1], [2]], _squares(), "work", 1.0, actors=actors))


@pytest.mark.slow
def test_actors_take_what_tasks_give_and_one_bad_item_fails_alone(ray_here):
    def open_stage(device):
        def stage(results):
            if any(square == 9 for square, _ in results):
                raise ValueError("nine")
            return [square + 1 for square, _ in results]

        return stage

    work = _squares(items_that_raise=[5])
    actors = Actors(lambda: (work, open_stage), count=lambda: 1, gpus=0, at_once=4)
    done = dict(run_tasks(([i] for i in range(7)), work, "work", 0.5, actors=actors))
    failed = {
        item: result.reason.partition(" (see")[0] for item, result in done.items() if isinstance(result, Failure)
    }
    assert failed == {3: "internal error: ValueError: nine", 5: "internal error: IndexError: no square of 5"}
    assert {item: result for item, result in done.items() if item not in failed} == {0: 1, 1: 2, 2: 5, 4: 17, 6: 37}


@pytest.mark.slow
def test_parts_come_as_one_result_and_a_defect_between_them_fails_the_item(ray_here):
    def open_work():
        def work(item, again):
            for part in range(item):
                if part == 7:
                    raise ValueError("seven")
                yield part

        return work

    done = dict(run_tasks([[0], [3], [9]], open_work, "work", 1.0, in_parts=True))
    assert (done[0], done[3]) == ([], [0, 1, 2])
    assert done[9].reason.startswith("internal error: ValueError: seven (see errors/")
