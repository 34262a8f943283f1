"""The routes of /api that read: gallery, clip, neighbours, photo, map and statistics."""

import math
from collections.abc import Mapping
from typing import Annotated, Any

from fastapi import APIRouter, HTTPException, Query, Request, Response
from starlette.concurrency import run_in_threadpool

from pipelines.analysis.stats import statistics_of, statistics_page
from pipelines.browsing import cards
from pipelines.browsing.bodies import read_photo
from pipelines.browsing.map import Maps, colours_of
from pipelines.browsing.session import Session
from pipelines.search import Answer, Probe
from pipelines.search.probes import TABLES, stored_probe
from stores import Snapshot, edits
from stores.edits import EDITABLE
from stores.errors import StoreError, nearest
from stores.schema import EMBEDDED
from stores.sql import quoted
from vclip.errors import InputError

PAGE, LARGEST_PAGE = 60, 200
NEIGHBOURS = 8
FILTERED = (*EDITABLE[1:], "split")  # columns with a value to choose


def routes(session: Session) -> APIRouter:
    """Returns the routes that change nothing."""
    router, maps, values = APIRouter(prefix="/api"), Maps(), cards.FilterValues()
    store = session.store

    @router.get("/store")
    def about() -> dict[str, Any]:
        snapshot = session.snapshot()
        counts = {name: values.of(snapshot, name) for name in FILTERED}
        return {
            "store": store.uri,
            "clips": snapshot.count("clips"),
            "model": str(session.model_folder) if session.model_folder else None,
            "speaks": session.speakers_folder is not None and session.model_folder is not None,
            "editable": EDITABLE,
            "values": {name: some for name, some in counts.items() if any(value != "?" for value, _ in some)},
            "measures": cards.numeric_columns(snapshot, "clips"),
            "colours": {table: colours_of(snapshot, table) for table in EMBEDDED},
        }

    @router.get("/values/{column}")
    def values_of(column: str) -> list[tuple[str, int]]:
        if column not in (*EDITABLE, "split"):
            raise StoreError(f"clips: '{column}' has no list of values; {nearest(column, (*EDITABLE, 'split'))}")
        return values.of(session.snapshot(), column)

    @router.get("/clips")
    def clips(
        request: Request, after: str = "", limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = PAGE
    ) -> dict[str, Any]:
        filters, snapshot = filters_of(request.query_params), session.snapshot()
        page = cards.page(snapshot, filters, after, limit)
        if not after:  # counted once; a count by face quality would read every face
            page["count"] = cards.count(snapshot, filters) if filters.min_quality is None else None
        return page

    @router.get("/clips/{clip_id}")
    def clip(clip_id: str) -> dict[str, Any]:
        snapshot = session.snapshot()
        card = cards.cards_of(snapshot, [clip_id]).get(clip_id)
        if card is None:
            raise HTTPException(404, f"no clip '{clip_id}', or it is rejected")
        where = f"clip_id = {quoted(clip_id)}"
        measured = ["face_id", "time_s", "size_px", "quality", "sharpness", "frontality", "exposure"]
        faces = snapshot.query("faces", measured, where).to_pylist()
        voices = snapshot.query(
            "voices", ["voice_id", "start_s", "end_s", "snr_db", "speech_ratio"], where
        ).to_pylist()
        of_clip = [edit for edit in edits.listed(snapshot) if edit["subject"] == clip_id and edit["in_force"]]
        return {
            "card": card,
            "faces": sorted(faces, key=lambda row: row["time_s"]),
            "voices": sorted(voices, key=lambda row: row["start_s"]),
            "same_person": _same_person(snapshot, card),
            "edits": of_clip[::-1],
        }

    @router.get("/neighbours/{kind}/{key}")
    def neighbours(kind: str, key: str, find: str) -> dict[str, Any]:
        if kind not in TABLES:
            raise StoreError(f"neighbours of a '{kind}', expected face or voice")
        searcher, snapshot = session.searcher(), session.snapshot()
        space = searcher.face_space if kind == "face" else searcher.voice_space
        probe = stored_probe(snapshot, kind, key, space)  # by id alone: the page never names a file
        if probe is None:
            raise HTTPException(404, f"no {kind} '{key}' with a vector in '{space}'")
        return _with_cards(snapshot, searcher.find(find, [probe], NEIGHBOURS))

    @router.post("/photo")
    async def photo(request: Request) -> dict[str, Any]:
        return await run_in_threadpool(_photo_neighbours, session, await read_photo(request))

    @router.get("/map/{table}")
    def map_of(table: str, colour: str = "gender") -> dict[str, Any]:
        searcher = session.searcher()
        space = searcher.face_space if table == "faces" else searcher.voice_space
        return maps.coloured(session.snapshot(), table, space, colour)

    @router.get("/stats.html")
    def stats() -> Response:
        return Response(statistics_page(statistics_of(session.snapshot(), store.uri)), media_type="text/html")

    return router


def filters_of(query: Mapping[str, str]) -> cards.Filters:
    """Returns the filters of the gallery that a query holds; raises InputError where a number is none."""
    numbers = {name: _number(name, query[name]) for name in cards.NUMBERS if query.get(name)}
    labels = {name: query[name] for name in FILTERED if query.get(name)}
    measure = query.get("measure", "")
    return cards.Filters(query.get("identity", ""), labels, where=query.get("where", ""), measure=measure, **numbers)


def _number(name: str, text: str) -> float:
    try:
        number = float(text)
    except ValueError:
        number = math.nan
    if not math.isfinite(number):
        raise InputError(f"{name}: found '{text[:40]}', expected a number")
    return number


def face_in(session: Session, photo: bytes) -> Probe:
    """Returns the largest face of a photo; raises InputError where it has none."""
    searcher = session.searcher()
    with session.encoding:
        return searcher.encoders.photo(photo, "given to the page")


def _photo_neighbours(session: Session, photo: bytes) -> dict[str, Any]:
    searcher, snapshot = session.searcher(), session.snapshot()
    probe = face_in(session, photo)
    tables = ("voices", "faces") if session.model_folder else ("faces",)
    return {find: _with_cards(snapshot, searcher.find(find, [probe], NEIGHBOURS)) for find in tables}


def _with_cards(snapshot: Snapshot, answer: Answer) -> dict[str, Any]:
    """Returns an answer to one probe with the cards of its clips."""
    hits = answer.matches[0].hits
    by_clip = cards.cards_of(snapshot, sorted({hit.clip_id for hit in hits}))
    shown = []
    for hit in hits:
        if card := by_clip.get(hit.clip_id):
            media = {name: getattr(hit, name) or card[name] for name in ("face_id", "voice_id")}
            shown.append({**card, **media, "cosine": hit.cosine, "probability": hit.probability})
    return {"by": answer.by, "across": answer.across, "hits": shown}


def _same_person(snapshot: Snapshot, card: cards.Card) -> list[cards.Card]:
    if not card["identity"]:
        return []
    where = f"identity = {quoted(card['identity'])} AND clip_id <> {quoted(card['clip_id'])}"
    rows = snapshot.query("clips", cards.COLUMNS, where, NEIGHBOURS, "clip_id").to_pylist()
    return cards.with_media(snapshot, rows)
