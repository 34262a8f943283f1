"""The routes of /api: those that read (gallery, clip, neighbours, photo, map, statistics) and those that edit."""

from typing import Annotated, Any, Literal

from fastapi import APIRouter, HTTPException, Query, Request, Response
from pydantic import BaseModel, ConfigDict, Field, ValidationError
from starlette.concurrency import run_in_threadpool

from pipelines.analysis.stats import statistics_of, statistics_page
from pipelines.browsing import cards
from pipelines.browsing.map import OF_CLIPS, OF_ROWS, Maps
from pipelines.browsing.session import Session
from pipelines.search import Answer, Probe
from pipelines.search.probes import TABLES, stored_probe
from stores import Snapshot, edits
from stores.edits import EDITABLE
from stores.errors import StoreError, nearest
from stores.sql import quoted
from vclip.errors import InputError

PAGE, LARGEST_PAGE = 60, 200
NEIGHBOURS = 8
PHOTO_BYTES = 12 << 20
FILTERED = (*EDITABLE[1:], "split")  # columns with a value to choose
EDITS = 500  # shown at once
EDIT_BYTES, LONGEST_WORDS = 64 << 10, 1000

Finite = Annotated[float | None, Query(allow_inf_nan=False)]


class Edit(BaseModel):
    """One correction; `subject` is a clip_id, the identity to merge into another, or an edit_id."""

    model_config = ConfigDict(extra="forbid")
    action: Literal["reject", "label", "merge", "undo"]
    subject: str = Field(max_length=LONGEST_WORDS)
    name: str = Field("", max_length=LONGEST_WORDS)
    value: str | None = Field(None, max_length=LONGEST_WORDS)
    who: str = Field(max_length=LONGEST_WORDS)
    why: str = Field(max_length=LONGEST_WORDS)


def reading(session: Session) -> APIRouter:
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
            "colours": {table: [*OF_CLIPS, *of_rows] for table, of_rows in OF_ROWS.items()},
        }

    @router.get("/values/{column}")
    def values_of(column: str) -> list[tuple[str, int]]:
        if column not in (*EDITABLE, "split"):
            raise StoreError(f"clips: '{column}' has no list of values; {nearest(column, (*EDITABLE, 'split'))}")
        return values.of(session.snapshot(), column)

    @router.get("/clips")
    def clips(
        request: Request,
        after: str = "",
        limit: Annotated[int, Query(ge=1, le=LARGEST_PAGE)] = PAGE,
        identity: str = "",
        min_s: Finite = None,
        max_s: Finite = None,
        min_quality: Finite = None,
        where: str = "",
    ) -> dict[str, Any]:
        labels = {name: request.query_params[name] for name in FILTERED if request.query_params.get(name)}
        filters = cards.Filters(identity, labels, min_s, max_s, min_quality, where)
        snapshot = session.snapshot()
        page = cards.page(snapshot, filters, after, limit)
        if not after:  # counted once; a count by face quality would read every face
            page["count"] = cards.count(snapshot, filters) if min_quality is None else None
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
        of_clip = [edit for edit in edits.listed(snapshot) if edit["subject"] == clip_id]
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


def editing(session: Session) -> APIRouter:
    """Returns the routes of /api/edits: corrections by hand, which are rows of the store's table of edits."""
    router, store = APIRouter(prefix="/api/edits"), session.store

    @router.get("")
    def listed() -> dict[str, Any]:
        rows = store.edits()[::-1]
        return {"edits": rows[:EDITS], "count": len(rows)}

    @router.post("")
    async def edit(request: Request) -> dict[str, str]:
        body = await read_body(request, EDIT_BYTES, "the correction")
        try:
            edit = Edit.model_validate_json(body)
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"edit: {'.'.join(map(str, first['loc']))}: {first['msg']}") from None
        return await run_in_threadpool(apply, edit)

    def apply(edit: Edit) -> dict[str, str]:
        signed = (edit.who, edit.why)
        if edit.action == "reject":
            edit_id = store.reject([edit.subject], *signed)[0]
        elif edit.action == "label":
            edit_id = store.label([edit.subject], edit.name, edit.value, *signed)[0]
        elif edit.action == "merge":
            edit_id = store.merge_people(edit.subject, edit.value or "", *signed)
        else:
            edit_id = store.undo(edit.subject, *signed)
        session.refresh()
        return {"edit_id": edit_id}

    return router


async def read_photo(request: Request, max_bytes: int = PHOTO_BYTES) -> bytes:
    """Returns the photo in the body of a request; refuses a larger one."""
    return await read_body(request, max_bytes, "the photo")


async def read_body(request: Request, max_bytes: int, what: str) -> bytes:
    """Returns the body of a request; refuses a larger one as soon as `max_bytes` have come."""
    content = bytearray()
    async for part in request.stream():
        content += part
        if len(content) > max_bytes:
            raise HTTPException(413, f"{what} is larger than {max_bytes >> 10:,} KiB; send less")
    return bytes(content)


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
