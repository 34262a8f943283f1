"""Images and audio of faces and voices, read from the store's tables by id; no path is ever opened."""

import re
import threading
from collections import OrderedDict

import numpy as np
from fastapi import APIRouter, HTTPException, Request, Response

from pipelines.browsing.session import Session
from stores import Snapshot
from stores.schema import KEYS, MEDIA
from stores.snapshot import ROW_ID
from stores.sql import quoted

CACHED = 1 << 16  # row ids
_RANGE = re.compile(r"bytes=([0-9]{0,18})-([0-9]{0,18})")
_KINDS = {b"\xff\xd8": "image/jpeg", b"\x89PNG": "image/png", b"fLaC": "audio/flac", b"RIFF": "audio/wav"}


def routes(session: Session) -> APIRouter:
    """Returns the routes /media/faces/ID and /media/voices/ID, with single byte ranges, which browsers seek by."""
    router, reader = APIRouter(), MediaReader()

    @router.get("/media/{table}/{key}")
    def media(table: str, key: str, request: Request) -> Response:
        content = reader.content(session.snapshot(), table, key) if table in MEDIA else None
        if not content:
            raise HTTPException(404, f"no {table} '{key}' with media in this store")
        return ranged(content, request.headers.get("range"))

    return router


def ranged(content: bytes, range_header: str | None) -> Response:
    """Returns the content, or the part of it that a Range header names."""
    kind = next((kind for magic, kind in _KINDS.items() if content.startswith(magic)), "application/octet-stream")
    headers = {"Accept-Ranges": "bytes", "Cache-Control": "private, max-age=600"}
    match = _RANGE.fullmatch(range_header.strip()) if range_header else None
    if not match or match.group() == "bytes=-":
        return Response(content, media_type=kind, headers=headers)
    first, last = match.groups()
    if first:
        start, stop = int(first), min(int(last) + 1 if last else len(content), len(content))
    else:
        start, stop = max(len(content) - int(last), 0), len(content)
    if start >= stop:
        return Response(status_code=416, headers={**headers, "Content-Range": f"bytes */{len(content)}"})
    headers["Content-Range"] = f"bytes {start}-{stop - 1}/{len(content)}"
    return Response(content[start:stop], 206, media_type=kind, headers=headers)


class MediaReader:
    """Reads the media of rows; caches row ids of one version of the store, because players read a file in parts."""

    def __init__(self) -> None:
        self._version: dict[str, int] = {}
        self._rows: OrderedDict[tuple[str, str], int] = OrderedDict()
        self._lock = threading.Lock()

    def content(self, snapshot: Snapshot, table: str, key: str) -> bytes | None:
        """Returns the media of a row; None where the row does not exist or is rejected."""
        with self._lock:
            if snapshot.version != self._version:
                self._version = snapshot.version
                self._rows.clear()
            row = self._rows.get((table, key))
        if row is None:
            rows = snapshot.query(table, [ROW_ID], f"{KEYS[table]} = {quoted(key)}", limit=1)[ROW_ID].to_pylist()
            if not rows:
                return None
            row = rows[0]
            with self._lock:
                if snapshot.version == self._version:
                    self._rows[table, key] = row
                    if len(self._rows) > CACHED:
                        self._rows.popitem(last=False)
        return snapshot.take(table, np.array([row], np.uint64), [MEDIA[table]])[MEDIA[table]][0].as_py()
