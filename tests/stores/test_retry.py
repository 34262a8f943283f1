"""What passes by itself is retried, what lasts fails at once, whatever the store's path is called."""

import shutil
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from urllib.parse import urlsplit

import boto3
import pytest
from lance.commit import CommitConflictError
from lance_namespace.errors import ServiceUnavailableError

from stores import Store, StoreUnavailable, retry
from stores.retry import TryAgainError
from tests.support.loopback import bucket_service
from tests.support.store_world import FACES, VOICES, video


class _Trips:
    """Fails a number of times with an error, then succeeds."""

    def __init__(self, error: Exception, times: int):
        self.error, self.left = error, times

    def __call__(self) -> str:
        if self.left:
            self.left -= 1
            raise self.error
        return "done"


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("lance error: Retryable commit conflict for version 3: preempted by concurrent transaction"),
        RuntimeError("lance error: Too many concurrent writers"),
        OSError(
            "Generic S3 error: Error performing PUT http://127.0.0.1/b/x: error sending request for url (http://x)"
        ),
        ConnectionResetError("no text that tells"),
        TimeoutError(),
        CommitConflictError("no text that tells"),
        ServiceUnavailableError("no text that tells"),
        TryAgainError("no text that tells"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_what_passes_is_retried_with_growing_pauses(store, error):
    pauses = []
    assert retry.retry(store.db, "the commit", _Trips(error, 6), sleep=pauses.append) == "done"
    assert len(pauses) == 6
    assert pauses[-1] > 4 * pauses[0]


def test_what_does_not_pass_is_one_line_in_the_end(store):
    trips = _Trips(OSError("connection refused\nmore"), 1000)
    with pytest.raises(StoreUnavailable, match=r"the commit: the store could not be written .*connection.*run again"):
        retry.retry(store.db, "the commit", trips, patience_s=0.1)


@pytest.mark.parametrize(
    "error", [RuntimeError("index out of bounds"), FileNotFoundError("connection"), ValueError()]
)
def test_a_defect_is_not_retried(store, error):
    with pytest.raises(type(error)):
        retry.retry(store.db, "the commit", _Trips(error, 1))


WORDS = ["connection", "timeout", "timed out", "conflict", "concurrent", "unavailable", "broken pipe", "disk quota"]


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    """A store whose clips table has lost its data file."""
    folder = tmp_path_factory.mktemp("damaged") / "store"
    Store.create(str(folder), FACES, VOICES).commit([video(1)])
    for file in (folder / "clips.lance" / "data").iterdir():
        file.unlink()
    return folder


@pytest.mark.parametrize("word", WORDS)
def test_a_lasting_error_below_a_path_with_such_a_word_fails_at_once(filled, tmp_path, word):
    """Before, such an error was retried for 300 s and then reported as an unreachable store."""
    folder = tmp_path / f"a {word} study" / word / "store"
    shutil.copytree(filled, folder)
    started_s = time.monotonic()
    with pytest.raises((RuntimeError, ValueError), match="Not found") as caught:
        Store.open(str(folder)).delete_video("video0001")
    assert word in str(caught.value)
    assert not isinstance(caught.value, StoreUnavailable)
    assert time.monotonic() - started_s < 10  # far below the patience of 300 s


@pytest.mark.parametrize("uri", ["s3://bucket/connection", "s3://connection/timeout conflict", "/data/conflict"])
@pytest.mark.parametrize(
    "text",
    [
        "Not found: {path}/faces.lance/data/1.lance, /rustc/x/result.rs:1",
        "Generic S3 error: Object at location {path}/faces.lance/_versions/1.manifest not found",
        "Error performing GET http://127.0.0.1:9/{quoted}/x.lance: 403 Forbidden, retries: 0",
    ],
)
def test_the_address_of_a_store_is_no_lost_connection(uri, text):
    path = urlsplit(uri).path
    error = OSError(text.format(path=path.lstrip("/"), quoted=path.lstrip("/").replace(" ", "%20")))
    assert not retry.is_conflict(error, uri)
    assert not retry.is_lost_connection(error, uri)


def test_a_lost_connection_to_such_an_address_is_one(store):
    assert retry.is_lost_connection(
        OSError("Error performing GET http://h/connection/x: connection refused"), "s3://b/connection"
    )


class _Line:
    """A TCP line to a server that can be cut and mended."""

    def __init__(self, port: int):
        self._to, self._open = port, []
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._up = threading.Event()
        self._up.set()
        threading.Thread(target=self._accept, daemon=True).start()

    def cut(self) -> None:
        """Closes all connections, and every new one at once."""
        self._up.clear()
        for end in self._open:
            with suppress(OSError):  # closed already
                end.shutdown(socket.SHUT_RDWR)

    def mend(self) -> None:
        self._up.set()

    def close(self) -> None:
        self._listener.close()

    def _accept(self) -> None:
        while True:
            try:
                client, _ = self._listener.accept()
            except OSError:
                return
            if not self._up.is_set():
                client.close()
                continue
            server = socket.create_connection(("127.0.0.1", self._to))
            self._open += [client, server]
            for source, sink in ((client, server), (server, client)):
                threading.Thread(target=self._copy, args=(source, sink), daemon=True).start()

    @staticmethod
    def _copy(source: socket.socket, sink: socket.socket) -> None:
        try:
            while data := source.recv(1 << 16):
                sink.sendall(data)
            sink.shutdown(socket.SHUT_WR)
        except OSError:
            return


@contextmanager
def _line_to_a_bucket(monkeypatch) -> Iterator[_Line]:
    with bucket_service() as (environment, _):
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        boto3.client("s3").create_bucket(Bucket="connection")
        line = _Line(urlsplit(environment["AWS_ENDPOINT_URL"]).port)
        monkeypatch.setenv("AWS_ENDPOINT_URL", f"http://127.0.0.1:{line.port}")
        try:
            yield line
        finally:
            line.close()


def test_a_connection_that_is_lost_for_a_while_is_waited_for(monkeypatch):
    """On loopback, without the retries of the object store's own client."""
    once = {"client_max_retries": "0", "client_retry_timeout": "0"}
    with _line_to_a_bucket(monkeypatch) as line:
        store = Store.create("s3://connection/timeout", FACES, VOICES, once)
        store.commit([video(1)])
        line.cut()
        threading.Timer(1.0, line.mend).start()
        started_s = time.monotonic()
        assert store.commit([video(2)]) == {"video0002"}
        assert time.monotonic() - started_s >= 0.9  # the line was down for a second
        assert store.count("clips") == 4
