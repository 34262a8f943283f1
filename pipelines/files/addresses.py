"""Addresses of files: `s3://bucket/key`, `gs://bucket/key`, `http(s)://host/path`; anything else is a local path."""

import os
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

BUCKETS = ("s3", "gs")
WEB = ("http", "https")
# Parameters that let the holder of an address in, and that are others each day.
_SIGNATURES = ("x-amz-", "x-goog-")
_SIGNATURE = {"signature", "expires", "awsaccesskeyid", "googleaccessid", "key-pair-id", "policy", "sig", "token"}


class Seen(NamedTuple):
    """What a server says of a file; None where it does not."""

    size_bytes: int | None
    mtime_s: float | None
    etag: str | None


def scheme_of(name: str) -> str:
    """Returns the scheme of an address, or "" of a path."""
    scheme, separator, _ = name.partition("://")
    return scheme.lower() if separator and scheme.isalnum() else ""


def is_remote(name: str) -> bool:
    """Returns whether a name is the address of an object or a page."""
    return scheme_of(name) in (*BUCKETS, *WEB)


def recorded(name: str) -> str:
    """Returns what a path or address is called in the store: no password, no signature, and all of it UTF-8."""
    if not name.isascii():
        name = os.fsencode(name).decode("utf-8", "backslashreplace")
    if scheme_of(name) not in WEB:
        return name
    parts = urlsplit(name)
    query = parse_qsl(parts.query, keep_blank_values=True)
    kept = [(k, v) for k, v in query if k.lower() not in _SIGNATURE and not k.lower().startswith(_SIGNATURES)]
    text = parts.query if len(kept) == len(query) else urlencode(kept)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=text))
