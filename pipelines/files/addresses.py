"""Addresses of files: `s3://bucket/key`, `gs://bucket/key`, `http(s)://host/path`; anything else is a local path."""

import os
import re
from typing import NamedTuple
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

BUCKETS = ("s3", "gs")
WEB = ("http", "https")
# Parameters that grant access to the holder of an address; they change from day to day.
_SIGNATURES = ("x-amz-", "x-goog-")
_SIGNATURE = {"signature", "expires", "awsaccesskeyid", "googleaccessid", "key-pair-id", "policy", "sig", "token"}


LARGEST_BYTES = 2**63 - 1  # that a store can record of a file's size


class FileInfo(NamedTuple):
    """What a server reports about a file; None for what it does not report."""

    size_bytes: int | None
    mtime_s: float | None
    etag: str | None


def scheme_of(name: str) -> str:
    """Returns the scheme of an address, or "" for a path."""
    scheme, separator, _ = name.partition("://")
    return scheme.lower() if separator and scheme.isalnum() else ""


def is_remote(name: str) -> bool:
    """Returns whether a name is an address in a bucket or on a web server."""
    return scheme_of(name) in (*BUCKETS, *WEB)


def storable(text: str) -> str:
    """Returns a text as UTF-8 can hold it: what is not Unicode, and NUL bytes, become escapes.

    Example:
        >>> storable("caf\\udce9.mp4")
        'caf\\\\xe9.mp4'
    """
    if not text.isascii():
        try:
            text = os.fsencode(text).decode("utf-8", "backslashreplace")
        except UnicodeEncodeError:
            text = text.encode("utf-8", "backslashreplace").decode()
    return text.replace("\0", "\\x00")


def recorded(name: str) -> str:
    """Returns the name under which the store records a path or address: UTF-8, without password and signature."""
    name = storable(name)
    if scheme_of(name) not in WEB:
        return name
    try:
        parts = urlsplit(name)
    except ValueError:  # no address; where its password or signature would end is unknown
        return re.sub("//.*@", "//", name.partition("?")[0])
    query = parse_qsl(parts.query, keep_blank_values=True)
    kept = [(k, v) for k, v in query if k.lower() not in _SIGNATURE and not k.lower().startswith(_SIGNATURES)]
    text = parts.query if len(kept) == len(query) else urlencode(kept)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query=text))
