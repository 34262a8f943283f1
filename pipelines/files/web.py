"""Files on web servers, `http(s)://host/path`: the addresses that the user gave, and those that they redirect to.

All functions raise OSError; a ConnectionError where another attempt may succeed.

obstore's HTTPStore, which would be shorter, does not serve here (0.12.1, tried on a loopback server): it refuses an
answer without Content-Length (chunked transfer) and a server that ignores a range, so that a download could not
resume there; and it escapes `?` in a key, so each signed address would need a client and a connection of its own.
"""

import http.client
import io
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus
from typing import Any

import urllib3
from urllib3.connection import HTTPConnection, HTTPSConnection
from urllib3.exceptions import HTTPError, LocationValueError, MaxRetryError, SSLError

from pipelines.files.addresses import LARGEST_BYTES, FileInfo

PIECE_BYTES = 1 << 20
CONNECT_S = 10.0
REDIRECTS = 5
NO_HEAD = (403, 405, 501)  # statuses of servers, or of signed addresses, that answer GET only


def look(address: str, stall_s: float, limit_s: float) -> FileInfo:
    """Returns size, time and etag of a file; its body is not read."""
    with _explained(), _limited(limit_s):
        answer = _asked("HEAD", address, {}, stall_s)
        if answer.status in NO_HEAD:
            answer.close()
            answer = _asked("GET", address, {}, stall_s)
        answer.close()
        _check(answer)
        return _seen(answer)


def read(
    address: str, offset: int, etag: str | None, stall_s: float, limit_s: float
) -> tuple[str | None, Iterator[bytes]]:
    """Returns the etag of a file and its bytes from an offset on.

    Raises:
        OSError: the file has another etag than the given one.
    """
    with _explained(), _limited(limit_s):
        answer = _asked("GET", address, {"Range": f"bytes={offset}-"} if offset else {}, stall_s)
        _check(answer)
        found = answer.headers.get("ETag")
        if etag and found != etag:
            answer.close()
            raise OSError("has changed since it was listed")
        return found, _pieces(answer, offset if answer.status != HTTPStatus.PARTIAL_CONTENT else 0)


def _pieces(answer: urllib3.BaseHTTPResponse, skip: int) -> Iterator[bytes]:
    try:
        with _explained():
            while piece := answer.read1(PIECE_BYTES, decode_content=False):  # as it arrives, for the caller's limits
                kept = piece[skip:]
                skip = max(0, skip - len(piece))
                if kept:
                    yield kept
    finally:
        answer.close()


def _asked(method: str, address: str, headers: dict[str, str], stall_s: float) -> urllib3.BaseHTTPResponse:
    return _pool().request(
        method,
        address,
        headers={"Accept-Encoding": "identity", "User-Agent": "vclip", **headers},
        timeout=urllib3.Timeout(connect=min(CONNECT_S, stall_s), read=stall_s),
        # Redirects only: the caller retries, and resumes with the bytes that it has.
        retries=urllib3.Retry(REDIRECTS, connect=0, read=0, status=0, other=0, raise_on_status=False),
        preload_content=False,
    )


@lru_cache(maxsize=1)
def _pool() -> urllib3.PoolManager:
    pool = urllib3.PoolManager(maxsize=16)
    pool.pool_classes_by_scheme = {"http": _Http, "https": _Https}
    return pool


_limit = threading.local()  # until_s: when the request of this thread must have its answer, headers and body


@contextmanager
def _limited(limit_s: float) -> Iterator[None]:
    _limit.until_s = time.monotonic() + limit_s
    try:
        yield
    finally:
        del _limit.until_s


class _Limited(io.RawIOBase):
    """What a socket receives, until a moment. Its own time limit starts again with each byte of a slow header."""

    def __init__(self, raw: io.RawIOBase, until_s: float):
        self._raw, self._until_s = raw, until_s

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int | None:
        if time.monotonic() > self._until_s:
            raise TimeoutError("took too long")
        return self._raw.readinto(buffer)

    def close(self) -> None:
        self._raw.close()
        super().close()


class _Response(http.client.HTTPResponse):
    """An answer whose headers count against the time limit."""

    def __init__(self, *args: Any, **options: Any):
        super().__init__(*args, **options)
        self.fp = io.BufferedReader(_Limited(self.fp.detach(), _limit.until_s))


class _HttpConnection(HTTPConnection):
    response_class = _Response


class _HttpsConnection(HTTPSConnection):
    response_class = _Response


class _Http(urllib3.HTTPConnectionPool):
    ConnectionCls: Any = _HttpConnection


class _Https(urllib3.HTTPSConnectionPool):
    ConnectionCls: Any = _HttpsConnection


def _check(answer: urllib3.BaseHTTPResponse) -> None:
    if answer.status < HTTPStatus.BAD_REQUEST:
        return
    answer.close()
    said = f"HTTP {answer.status} {answer.reason or ''}".strip()
    if answer.status in (HTTPStatus.NOT_FOUND, HTTPStatus.GONE):
        raise FileNotFoundError(said)
    again = answer.status >= HTTPStatus.INTERNAL_SERVER_ERROR or answer.status in (408, 429)
    raise (ConnectionError if again else OSError)(said)


def _seen(answer: urllib3.BaseHTTPResponse) -> FileInfo:
    size, modified = answer.headers.get("Content-Length", ""), answer.headers.get("Last-Modified")
    try:
        mtime_s = parsedate_to_datetime(modified).timestamp() if modified else None
    except (ValueError, TypeError, IndexError, OverflowError):
        mtime_s = None
    size_bytes = int(size) if size.isascii() and size.isdigit() and len(size) < 19 else None
    if size_bytes is None and size.isascii() and size.isdigit():
        size_bytes = LARGEST_BYTES
    return FileInfo(size_bytes, mtime_s, answer.headers.get("ETag"))


@contextmanager
def _explained() -> Iterator[None]:
    try:
        yield
    except LocationValueError as error:
        raise OSError(f"no address: {error}") from None
    except MaxRetryError as error:
        cause = error.reason or error
        kind = OSError if isinstance(cause, SSLError) or "redirect" in str(cause) else ConnectionError
        raise kind(_brief(cause)) from None
    except (HTTPError, http.client.HTTPException) as error:
        raise ConnectionError(_brief(error)) from None
    except ValueError as error:  # of the standard library: an address, or a redirection, that cannot be parsed
        raise OSError(f"no address: {_brief(error)}") from None


def _brief(error: Exception) -> str:
    line = next(iter(str(error).splitlines()), "") or type(error).__name__
    return line.rpartition(">: ")[2][:200]
