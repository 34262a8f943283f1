"""Objects in buckets: `s3://bucket/key` and `gs://bucket/key`. Only S3 is tested, against moto.

obstore cannot name keys with an empty or dotted part (`a//b`, `a/./b`) or with control characters: these are errors.
All functions raise OSError; a ConnectionError where another attempt may succeed.
"""

import math
import os
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from datetime import timedelta
from functools import lru_cache
from itertools import chain
from typing import TYPE_CHECKING, Any

import obstore
from obstore.exceptions import (
    BaseError,
    InvalidPathError,
    PermissionDeniedError,
    PreconditionError,
    UnauthenticatedError,
)
from obstore.store import GCSStore, ObjectStore, S3Store

from pipelines.files.addresses import FileInfo, scheme_of
from stores.connection import plain_http

if TYPE_CHECKING:
    from obstore import GetOptions
    from obstore.store import ClientConfig, RetryConfig

LONGEST_S = 24 * 3600.0  # of a listing or a writing
AT_ONCE_BYTES = 8 << 20  # larger objects are sent in parts


def look(address: str, stall_s: float, limit_s: float = LONGEST_S) -> FileInfo:
    """Returns size, time and etag of an object."""
    with _explained():
        return _seen(obstore.head(_bucket(address, stall_s, limit_s), _key(address)))


def listed(prefix: str, stall_s: float) -> list[tuple[str, FileInfo]]:
    """Returns the objects below a prefix with their addresses, in the order of their keys."""
    root = "/".join(prefix.split("/")[:3])
    with _explained():
        pages = obstore.list(_bucket(prefix, stall_s), _key(prefix).strip("/") or None)
        return [(f"{root}/{meta['path']}", _seen(meta)) for page in pages for meta in page]


def read(
    address: str, offset: int, etag: str | None, stall_s: float, limit_s: float = LONGEST_S
) -> tuple[str | None, Iterator[bytes]]:
    """Returns the etag of an object and its bytes from an offset on.

    Raises:
        OSError: the object has another etag than the given one.
    """
    options: GetOptions = {}
    if etag:
        options["if_match"] = etag
    if offset:
        options["range"] = {"offset": offset}
    with _explained():
        found = obstore.get(_bucket(address, stall_s, limit_s), _key(address), options=options)
        return found.meta["e_tag"], _pieces(found)


def write(address: str, content: Iterable[bytes], stall_s: float) -> None:
    """Writes an object, whole or not at all, in place of an older one.

    Args:
        address: of the object.
        content: its bytes, in parts of any size.
        stall_s: seconds without progress after which the connection counts as lost.
    """
    parts, begun = iter(content), bytearray()
    for part in parts:
        begun += part
        if len(begun) > AT_ONCE_BYTES:
            break
    with _explained():
        last = next(parts, None)
        whole = bytes(begun) if last is None else chain([bytes(begun), last], parts)
        obstore.put(_bucket(address, stall_s), _key(address), whole)


def _pieces(found: "obstore.GetResult") -> Iterator[bytes]:
    with _explained():
        for piece in found.stream(min_chunk_size=1):  # as it arrives, so that the caller can keep its time limit
            yield bytes(piece)


def _seen(meta: Mapping[str, Any]) -> FileInfo:
    return FileInfo(meta["size"], meta["last_modified"].timestamp(), meta["e_tag"])


def _key(address: str) -> str:
    return "/".join(address.split("/")[3:])


def _bucket(address: str, stall_s: float, limit_s: float = LONGEST_S) -> ObjectStore:
    if not address.split("/")[2]:
        raise ValueError(f"found {address[:80]}, expected the name of a bucket")
    account = frozenset(item for item in os.environ.items() if item[0].startswith(("AWS_", "GOOGLE_")))
    return _opened(scheme_of(address), address.split("/")[2], stall_s, math.ceil(limit_s), account)


@lru_cache(maxsize=256)
def _opened(
    scheme: str, bucket: str, stall_s: float, limit_s: int, account: frozenset[tuple[str, str]]
) -> ObjectStore:
    """The client of a bucket; one for each account, which the client reads from the environment itself."""
    # Of a whole file, its headers included; obstore's own limit of 30 s would end every long download.
    client: ClientConfig = {
        "timeout": timedelta(seconds=max(1, limit_s)),
        "connect_timeout": "10s",
        "read_timeout": timedelta(seconds=stall_s),
    }
    retry: RetryConfig = {"max_retries": 2, "retry_timeout": timedelta(seconds=stall_s)}
    if scheme == "gs":
        return GCSStore(bucket, client_options=client, retry_config=retry)
    return S3Store(bucket, client_options={**client, "allow_http": plain_http()}, retry_config=retry)


@contextmanager
def _explained() -> Iterator[None]:
    """Turns obstore's errors, a page each, into short OSErrors."""
    try:
        yield
    except FileNotFoundError:
        raise FileNotFoundError("no such object") from None
    except PreconditionError:
        raise OSError("has changed since it was listed") from None
    except (PermissionDeniedError, UnauthenticatedError) as error:
        raise PermissionError(f"access denied: {_brief(error)}") from None
    except (InvalidPathError, ValueError) as error:
        raise OSError(f"a key that cannot be named: {_brief(error)}") from None
    except BaseError as error:
        # The service would answer a second attempt with the same 4xx.
        final = re.search(r"status code: 4(?!08|29)\d\d", str(error))
        raise (OSError if final else ConnectionError)(_brief(error)) from None


def _brief(error: Exception) -> str:
    code = re.search(r"<Code>(\w+)</Code>", str(error))
    line = str(error).splitlines()[0]
    return code[1] if code else line.rpartition(" - ")[2][:200]
