"""Servers on loopback: a bucket service, and a web server that does what servers do on bad days."""

import logging
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import formatdate
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.request import Request, urlopen

BODY = bytes(range(256)) * 2048  # 512 KiB
ETAG = '"one"'
MODIFIED = formatdate(1e9, usegmt=True)


class Handler(BaseHTTPRequestHandler):
    """Answers by the first part of the path; counts requests by (method, path)."""

    protocol_version = "HTTP/1.1"
    server: "Server"

    def do_HEAD(self) -> None:
        """As GET, without a body."""
        self.do_GET()

    def do_GET(self) -> None:
        """One way to fail a path."""
        count = self.server.seen
        count[self.command, self.path] += 1
        kind = self.path.strip("/").split(".")[0].split("/")[0]
        first = count[self.command, self.path] <= 1
        if kind == "moved":
            self._head(302, {"Location": "/good.mp4", "Content-Length": "0"})
        elif kind == "circle":
            self._head(302, {"Location": self.path, "Content-Length": "0"})
        elif kind == "away":
            self._head(302, {"Location": "file:///etc/passwd", "Content-Length": "0"})
        elif kind == "hang":
            self.server.closing.wait(30)
        elif kind == "drip":  # a byte now and then
            self._head(200, {"Content-Length": "1000"})
            while not self.server.closing.wait(0.05):
                self.wfile.write(b"x")
        elif kind == "nohead" and self.command == "HEAD":
            self._head(405, {"Content-Length": "0"})
        elif kind == "busy" and first:
            self._head(503, {"Content-Length": "0"})
        elif kind == "cut":  # breaks off in the middle, and goes on from there
            self._body(cut=first)
        elif kind == "deaf":  # as `cut`, but knows no ranges
            self._body(cut=first, ranges=False)
        elif kind == "fickle":  # as `cut`, but then is another file
            self._body(cut=first, etag=ETAG if first else '"two"')
        elif kind == "chunked":  # does not say how long it is
            self._head(200, {"Transfer-Encoding": "chunked", "ETag": ETAG, "Last-Modified": MODIFIED})
            if self.command == "GET":
                for piece in (BODY[:1000], BODY[1000:], b""):
                    self.wfile.write(b"%x\r\n%b\r\n" % (len(piece), piece))
        elif kind == "short":  # always ends early
            self._body(cut=True, ranges=False)
        elif kind == "endless":  # a header that never ends
            self.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
            while not self.server.closing.wait(0.05):
                self.wfile.write(b"x")
        elif kind in self.server.raw:
            self.wfile.write(self.server.raw[kind])
            self.close_connection = True
        elif kind in ("good", "nohead", "busy"):
            self._body()
        else:
            self._head(404, {"Content-Length": "0"})

    def _body(self, cut: bool = False, ranges: bool = True, etag: str = ETAG) -> None:
        asked = self.headers.get("Range") if ranges else None
        start = int(asked.removeprefix("bytes=").rstrip("-")) if asked else 0
        body = BODY[start:]
        self._head(
            206 if asked else 200,
            {"Content-Length": str(len(body)), "ETag": etag, "Last-Modified": MODIFIED},
        )
        if self.command == "GET":
            self.wfile.write(body[: len(body) // 2] if cut else body)
            self.close_connection = cut

    def _head(self, status: int, headers: dict[str, str]) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Says nothing."""


class Server(ThreadingHTTPServer):
    """Counts what is asked of it."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.seen: Counter = Counter()
        self.raw: dict[str, bytes] = {}  # path without its ending -> the whole answer
        self.closing = threading.Event()
        self.root = f"http://127.0.0.1:{self.server_address[1]}"

    def handle_error(self, *_: object) -> None:
        """A client that hangs up is what some tests are about."""


@contextmanager
def web_server() -> Iterator[Server]:
    """A web server, until the block ends."""
    server = Server()
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield server
    finally:
        server.closing.set()
        server.shutdown()
        server.server_close()


class Requests(logging.Handler):
    """The lines of a werkzeug server's log, as ("GET", "/bucket/key")."""

    def __init__(self):
        super().__init__()
        self.lines: list[tuple[str, str]] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Keeps a request."""
        parts = record.getMessage().split('"')
        if len(parts) > 1 and parts[1].count(" ") == 2:
            method, path, _ = parts[1].split(" ")
            self.lines.append((method.split("m")[-1], path))

    def reads_of(self, bucket: str) -> list[str]:
        """Returns the objects of a bucket that were read."""
        return [path for method, path in self.lines if method == "GET" and path.startswith(f"/{bucket}/")]


def bucket_environment(address: str) -> dict[str, str]:
    """The environment that names a bucket service of moto."""
    return {
        "AWS_ENDPOINT_URL": address,
        "AWS_ACCESS_KEY_ID": "none",
        "AWS_SECRET_ACCESS_KEY": "none",
        "AWS_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


@contextmanager
def bucket_service() -> Iterator[tuple[dict[str, str], Requests]]:
    """An S3 (moto's), empty, until the block ends: the environment that names it, and what it was asked."""
    from moto.server import ThreadedMotoServer

    requests, logger = Requests(), logging.getLogger("werkzeug")
    level, propagate = logger.level, logger.propagate
    logger.addHandler(requests)
    logger.setLevel(logging.INFO)
    logger.propagate = False
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    # All servers of a process share what they hold.
    urlopen(Request(f"http://{host}:{port}/moto-api/reset", method="POST"), timeout=30).close()
    try:
        yield bucket_environment(f"http://{host}:{port}"), requests
    finally:
        server.stop()
        logger.removeHandler(requests)
        logger.setLevel(level)
        logger.propagate = propagate
