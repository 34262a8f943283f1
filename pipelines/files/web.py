"""Files on web servers, `http(s)://host/path`: the addresses that the user gave, and those that they redirect to.

All functions raise OSError; a ConnectionError where another attempt may succeed.

obstore's HTTPStore, which would be shorter, does not serve here (0.12.1, tried on a loopback server): it refuses an
answer without Content-Length (chunked transfer) and a server that ignores a range, so that a download could not
resume there; and it escapes `?` in a key, so each signed address would need a client and a connection of its own.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from email.utils import parsedate_to_datetime
from functools import lru_cache
from http import HTTPStatus

import urllib3
from urllib3.exceptions import HTTPError, LocationValueError, MaxRetryError, SSLError

from pipelines.files.addresses import FileInfo

PIECE_BYTES = 1 << 20
CONNECT_S = 10.0
REDIRECTS = 5
NO_HEAD = (403, 405, 501)  # statuses of servers, or of signed addresses, that answer GET only


def look(address: str, stall_s: float) -> FileInfo:
    """Returns size, time and etag of a file; its body is not read."""
    with _explained():
        answer = _asked("HEAD", address, {}, stall_s)
        if answer.status in NO_HEAD:
            answer.close()
            answer = _asked("GET", address, {}, stall_s)
        answer.close()
        _check(answer)
        return _seen(answer)


def read(address: str, offset: int, etag: str | None, stall_s: float) -> tuple[str | None, Iterator[bytes]]:
    """Returns the etag of a file and its bytes from an offset on.

    Raises:
        OSError: the file has another etag than the given one.
    """
    with _explained():
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
    return urllib3.PoolManager(maxsize=16)


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
    size, time = answer.headers.get("Content-Length", ""), answer.headers.get("Last-Modified")
    try:
        mtime_s = parsedate_to_datetime(time).timestamp() if time else None
    except ValueError:
        mtime_s = None
    return FileInfo(int(size) if size.isdigit() else None, mtime_s, answer.headers.get("ETag"))


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
    except HTTPError as error:
        raise ConnectionError(_brief(error)) from None


def _brief(error: Exception) -> str:
    return str(error).splitlines()[0].rpartition(">: ")[2][:200]
