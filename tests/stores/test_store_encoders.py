"""A store records how each space's encoder is opened; a string to the store."""

import numpy as np

from stores import Store
from stores.maintenance.compact import compact
from stores.maintenance.embed import Embedding, drop_spaces
from tests.support.store_world import FACES, LATER, VOICES, video

ENCODERS = {next(iter(FACES)): "tiny:8 @ tiny-vclip==0.1", next(iter(VOICES)): "python:mine:Voices"}


def test_the_specs_of_encoders_survive_add_delete_compaction_and_a_second_space(new_uri):
    store = Store.create(new_uri(), FACES, VOICES, encoders=ENCODERS)
    store.commit([video(0), video(1)])
    store.commit([video(1, LATER, "b")])
    store.delete_video("video0000")
    compact(store, keep_versions_s=0)
    assert Store.open(store.uri).encoders == ENCODERS
    embedding = Embedding(store, "faces", "other/net", 4, "other:net")
    todo = embedding.todo()
    embedding.add(todo.keys, np.ones((len(todo.keys), 4), np.float32))
    assert embedding.finish()
    assert Store.open(store.uri).encoders == ENCODERS | {"other/net": "other:net"}
    drop_spaces(store, "faces", "other/net")
    voices = next(iter(VOICES))
    assert Store.open(store.uri).encoders == {voices: ENCODERS[voices], "other/net": "other:net"}


def test_a_store_that_records_none_opens(new_uri):
    store = Store.create(new_uri(), FACES, VOICES, exist_ok=True)
    store.commit([video(0)])
    assert store.encoders == {}
    again = Store.create(store.uri, FACES, VOICES, encoders=ENCODERS, exist_ok=True)
    assert again.encoders == {}  # what a store says of itself does not change
    assert again.count("clips") == 2
