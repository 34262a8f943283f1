"""Names for versions of the store: what they name, and what they refuse."""

import pytest

from stores import Store, StoreError
from stores.schema import LATER, PINNED
from tests.support.interposed import Interposed, killed
from tests.support.store_world import video


def test_a_tag_names_what_was_there(store):
    store.commit([video(1)])
    store.tag("first")
    store.commit([video(2)])
    assert store.snapshot("first").count("videos") == 1
    assert store.snapshot().count("videos") == 2
    assert list(store.tags()) == ["first"]


def test_a_version_from_before_a_table_was_there_can_be_named(store):
    store.commit([video(1)])
    old = {table: number for table, number in store.version().items() if table not in LATER}
    store.tag("old", old)
    assert store.tags()["old"] == old
    assert store.snapshot("old").count("videos") == 1


@pytest.mark.parametrize("name", ["", "a b", "../up", "-x", "x" * 101])
def test_what_is_no_name_is_refused(store, name):
    with pytest.raises(StoreError, match="expected letters"):
        store.tag(name)


def test_a_tag_that_is_there_or_not_is_said(store):
    store.tag("here")
    with pytest.raises(StoreError, match="tag 'here': exists already"):
        store.tag("here")
    with pytest.raises(StoreError, match=r"tag 'heer': no such tag; .*here"):
        store.snapshot("heer")


def test_a_removal_that_was_killed_is_finished_by_repeating_it(store):
    store.commit([video(1)])
    store.tag("first")
    for step in range(len(PINNED) - 1, 0, -1):
        with pytest.raises(KeyboardInterrupt):
            Store(store.uri, Interposed(store.db).before(PINNED[step], "open_table", killed, calls=2)).remove_tag(
                "first"
            )
        assert store.tags() == {}
    store.remove_tag("first")
    assert not [table for table in PINNED if store.db.open_table(table).tags.list()]
    with pytest.raises(StoreError, match="no such tag"):
        store.remove_tag("first")
