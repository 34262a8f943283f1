"""The page of a small store, served on loopback."""

import threading
import time

import pytest
import uvicorn

from pipelines.browsing.job import listen, page_app
from pipelines.browsing.session import Session
from pipelines.config import Config
from stores import Store
from tests.support.page_client import Client
from tests.support.places import copy_store


@pytest.fixture(scope="module")
def page(pairs_store, model, speakers, new_uri):
    """A client of a page whose store may be written."""
    uri = new_uri()
    copy_store(pairs_store, uri)
    store, listening = Store.open(uri), listen("127.0.0.1", 0)
    app = page_app(Session(store, Config(), model, speakers, max_age_s=-1.0))  # tests write beside the page
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    yield Client(listening.getsockname()[1], store)
    server.should_exit = True
    thread.join(10)


@pytest.fixture
def untouched(page):
    """The page; what a test corrects is undone after it."""
    yield page
    for edit in page.store.edits():
        if edit["in_force"] and edit["action"] != "undo":
            page.store.undo(edit["edit_id"], "test", "clean up")
