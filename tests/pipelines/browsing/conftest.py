"""The page of a small store, served on loopback."""

import threading
import time

import pytest
import uvicorn

from pipelines.browsing import session
from pipelines.browsing.app import page_app
from pipelines.browsing.server import _listening
from pipelines.browsing.session import Opened
from pipelines.config import Config
from stores import Store
from tests.support.page_client import Client
from tests.support.places import copy_store


@pytest.fixture(scope="module")
def page(pairs_store, model, speakers, new_uri):
    """A client of a page whose store may be written."""
    uri = new_uri()
    copy_store(pairs_store, uri)
    store, listening = Store.open(uri), _listening("127.0.0.1", 0)
    app = page_app(Opened(store, Config(), model, speakers))
    server = uvicorn.Server(uvicorn.Config(app, log_level="warning"))
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.02)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(session, "FRESH_S", -1.0)  # tests write beside the page
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
