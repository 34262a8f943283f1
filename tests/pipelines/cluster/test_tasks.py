"""What of a batch goes into one task; and work in tasks whose workers die."""

import os
import signal
from collections import Counter

import numpy as np
import pytest

from pipelines.generation.faces import TargetFace
from pipelines.generation.synthesize import batches_of
from pipelines.generation.utterances import Utterance
from pipelines.generation.voices import Voice


def _utterances(voices_of_text):
    face = TargetFace("a.jpg", "0" * 64, 0, 1, np.zeros(4, np.float32))
    rng = np.random.default_rng(0)
    return [
        Utterance(face, Voice(rng.normal(size=4), np.zeros(4), 0.0, 0.0, 0.0, 0), 1, text)
        for text, voices in voices_of_text.items()
        for _ in range(voices)
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


@pytest.mark.slow
def test_an_item_that_kills_its_worker_is_told_and_the_others_are_done():
    from pipelines.cluster.session import start_ray
    from pipelines.cluster.tasks import in_tasks

    start_ray()

    def work(items, again):
        if -1 in items:
            os.kill(os.getpid(), signal.SIGKILL)
        return [(item, again) for item in items]

    done = dict(in_tasks([[1, 2], [3, -1, 4], [5]], work, "work", 1.0))
    assert done == {1: (1, False), 2: (2, False), 5: (5, False), 3: (3, True), 4: (4, True), -1: None}
