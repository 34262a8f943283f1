"""Routes that read: the gallery, one clip, neighbours, voices for a photo, the map, figures."""

from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response

from pipelines.analysis.stats import statistics_of, statistics_page
from pipelines.browsing import cards
from pipelines.browsing.facets import Values
from pipelines.browsing.map import OF_CLIPS, OF_ROWS, Maps
from pipelines.browsing.session import Opened
from pipelines.search import Answer, Probe
from stores import Snapshot, edits
from stores.edits import EDITABLE
from stores.errors import StoreError, nearest
from stores.schema import KEYS, spaces_of, vector_column
from stores.sql import quoted
from vclip.errors import InputError

PAGE, LARGEST_PAGE = 60, 200
NEIGHBOURS = 8
PHOTO_BYTES = 12 << 20
FILTERED = (*EDITABLE[1:], "split")  # columns with a value to choose


def routes(opened: Opened) -> APIRouter:
    """Returns all of /api that changes nothing."""
    router, maps, values = APIRouter(prefix="/api"), Maps(), Values()
    store = opened.store

    @router.get("/store")
    def about() -> dict[str, Any]:
        snapshot = opened.snapshot()
        known = {name: values.of(snapshot, name) for name in FILTERED}
        return {
            "store": store.uri,
            "clips": snapshot.count("clips"),
            "model": str(opened.model_folder) if opened.model_folder else None,
            "speaks": opened.speakers_folder is not None and opened.model_folder is not None,
            "editable": EDITABLE,
            "values": {name: found for name, found in known.items() if any(value != "?" for value, _ in found)},
            "colours": {table: [*OF_CLIPS, *of_rows] for table, of_rows in OF_ROWS.items()},
        }

    @router.get("/values/{column}")
    def values_of(column: str) -> list[tuple[str, int]]:
        if column not in (*EDITABLE, "split"):
            raise StoreError(f"clips: '{column}' has no list of values; {nearest(column, (*EDITABLE, 'split'))}")
        return values.of(opened.snapshot(), column)

    @router.get("/clips")
    def clips(
        request: Request,
        after: str = "",
        limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = PAGE,
        identity: str = "",
        min_s: float | None = None,
        max_s: float | None = None,
        min_quality: float | None = None,
        where: str = "",
    ) -> dict[str, Any]:
        labels = {name: request.query_params[name] for name in FILTERED if request.query_params.get(name)}
        filters = cards.Filters(identity, labels, min_s, max_s, min_quality, where)
        snapshot = opened.snapshot()
        found = cards.page(snapshot, filters, after, limit)
        if not after:  # counted once; the quality of faces is not known without looking at each
            found["count"] = snapshot.count("clips", filters.sql()) if min_quality is None else None
        return found

    @router.get("/clips/{clip_id}")
    def clip(clip_id: str) -> dict[str, Any]:
        snapshot = opened.snapshot()
        found = cards.cards_of(snapshot, [clip_id]).get(clip_id)
        if found is None:
            raise HTTPException(404, f"no clip '{clip_id}', or it is rejected")
        where = f"clip_id = {quoted(clip_id)}"
        measured = ["face_id", "time_s", "size_px", "quality", "sharpness", "frontality", "exposure"]
        faces = snapshot.query("faces", measured, where).to_pylist()
        voices = snapshot.query(
            "voices", ["voice_id", "start_s", "end_s", "snr_db", "speech_ratio"], where
        ).to_pylist()
        of_clip = [edit for edit in edits.listed(snapshot) if edit["subject"] == clip_id]
        return {
            "card": found,
            "faces": sorted(faces, key=lambda row: row["time_s"]),
            "voices": sorted(voices, key=lambda row: row["start_s"]),
            "same_person": _same_person(snapshot, found),
            "edits": of_clip[::-1],
        }

    @router.get("/neighbours/{kind}/{key}")
    def neighbours(kind: str, key: str, find: str, where: str = "") -> dict[str, Any]:
        if kind not in ("face", "voice"):
            raise StoreError(f"neighbours of a '{kind}', expected face or voice")
        searcher = opened.searcher()
        space = searcher.face_space if kind == "face" else searcher.voice_space
        probe = _of_store(opened.snapshot(), kind, key, space)
        return _shown(opened.snapshot(), searcher.find(find, [probe], NEIGHBOURS, where or None), key)

    @router.post("/photo")
    async def photo(request: Request, where: str = "") -> dict[str, Any]:
        from starlette.concurrency import run_in_threadpool

        return await run_in_threadpool(_for_photo, opened, await body_of(request), where)

    @router.get("/map/{table}")
    def map_of(table: str, colour: str = "gender") -> dict[str, Any]:
        searcher = opened.searcher()
        space = searcher.face_space if table == "faces" else searcher.voice_space
        return maps.coloured(opened.snapshot(), table, space, colour)

    @router.get("/stats.html")
    def stats() -> Response:
        return Response(statistics_page(statistics_of(opened.snapshot(), store.uri)), media_type="text/html")

    return router


async def body_of(request: Request, most: int = PHOTO_BYTES) -> bytes:
    """Returns the body of a request; ends one that is larger than `most` as soon as that is seen."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > most:
            raise HTTPException(413, f"the photo is larger than {most >> 20} MiB; give a smaller one")
    return bytes(content)


def face_of(opened: Opened, picture: bytes) -> Probe:
    """Returns the largest face of a photo; raises InputError where there is none."""
    searcher = opened.searcher()
    with opened.encoding:
        return searcher.encoders.photo(picture, "dropped here")


def _for_photo(opened: Opened, picture: bytes, where: str) -> dict[str, Any]:
    searcher, snapshot = opened.searcher(), opened.snapshot()
    probe = face_of(opened, picture)
    tables = ("voices", "faces") if opened.model_folder else ("faces",)
    return {find: _shown(snapshot, searcher.find(find, [probe], NEIGHBOURS, where or None), None) for find in tables}


def _of_store(snapshot: Snapshot, kind: str, key: str, space: str) -> Probe:
    """A face or voice of the store by its id alone: what comes from the page never names a file."""
    import numpy as np

    table = f"{kind}s"
    if space not in spaces_of(snapshot.schema(table)):
        raise InputError(f"the store's {table} have no vectors in '{space}', which the model needs")
    column = vector_column(space)
    found = snapshot.query(table, [column], f"{KEYS[table]} = {quoted(key)}").to_pylist()
    if not found:
        raise HTTPException(404, f"no {kind} '{key}'")
    return Probe(kind, np.array(found[0][column], np.float32), key, key)


def _shown(snapshot: Snapshot, answer: Answer, key: str | None) -> dict[str, Any]:
    """An answer with the clips' cards; a face or voice of the store does not find its own clip again."""
    hits = answer.matches[0].hits
    found = cards.cards_of(snapshot, sorted({hit.clip_id for hit in hits}))
    shown = []
    for hit in hits:
        if hit.clip_id in found:
            media = {name: getattr(hit, name) or found[hit.clip_id][name] for name in ("face_id", "voice_id")}
            shown.append({**found[hit.clip_id], **media, "cosine": hit.cosine, "probability": hit.probability})
    return {"by": answer.by, "across": answer.across, "hits": shown}


def _same_person(snapshot: Snapshot, card: cards.Card) -> list[cards.Card]:
    if not card["identity"]:
        return []
    where = f"identity = {quoted(card['identity'])} AND clip_id <> {quoted(card['clip_id'])}"
    rows = snapshot.query("clips", cards.COLUMNS, where, NEIGHBOURS, "clip_id").to_pylist()
    return cards.with_media(snapshot, rows)
