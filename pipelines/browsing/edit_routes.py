"""The routes of /api/edits and /api/selection: corrections by hand, of one clip or of many in one action.

What one action corrects is one group of rows in the store's table of edits, and is undone as a whole.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from fastapi import APIRouter, Request
from pydantic import BaseModel, ConfigDict, Field, StringConstraints, ValidationError
from starlette.concurrency import run_in_threadpool

from pipelines.browsing import cards
from pipelines.browsing.bodies import read_body
from pipelines.browsing.routes import filters_of
from pipelines.browsing.session import Session
from stores.edits import together
from vclip.errors import InputError

SHOWN = 500  # actions
MOST_CLIPS = 20_000  # of one action: as many as the map shows points
BODY_BYTES, LONGEST_WORDS = 1 << 20, 1000

Words = Annotated[str, StringConstraints(max_length=LONGEST_WORDS)]
Clips = Annotated[list[Words], Field(max_length=MOST_CLIPS)]


class Selection(BaseModel):
    """Clips."""

    model_config = ConfigDict(extra="forbid")
    clips: Clips


class Edit(BaseModel):
    """One action: clips to reject, label or merge into one person, or an edit to undo with all of its action."""

    model_config = ConfigDict(extra="forbid")
    action: Literal["reject", "label", "merge", "undo"]
    clips: Clips = []
    edit_id: Words = ""  # to undo
    name: Words = ""  # of the label
    value: Words | None = None  # of the label, or the person to merge into
    who: Words
    why: Words


def routes(session: Session) -> APIRouter:
    """Returns the routes that correct the store, and those that tell what a selection holds."""
    router, store = APIRouter(prefix="/api"), session.store

    @router.get("/edits")
    def listed() -> dict[str, Any]:
        actions = [_summary(made) for made in together(store.edits())][::-1]
        return {"actions": actions[:SHOWN], "count": len(actions)}

    @router.post("/edits")
    async def edit(request: Request) -> dict[str, Any]:
        body = await read_body(request, BODY_BYTES, "the correction")
        try:
            edit = Edit.model_validate_json(body)
        except ValidationError as error:
            raise _refusal(error) from None
        return await run_in_threadpool(apply, edit)

    @router.get("/selection")
    def matching(request: Request) -> dict[str, Any]:
        return {"clips": cards.ids(session.snapshot(), filters_of(request.query_params), MOST_CLIPS)}

    @router.post("/selection")
    async def people(request: Request) -> dict[str, Any]:
        body = await read_body(request, BODY_BYTES, "the selection")
        try:
            clips = Selection.model_validate_json(body).clips
        except ValidationError as error:
            raise _refusal(error) from None
        return await run_in_threadpool(cards.people_of, session.snapshot(), clips)

    def apply(edit: Edit) -> dict[str, Any]:
        signed, clips = (edit.who, edit.why), list(dict.fromkeys(edit.clips))
        if edit.action == "reject":
            made = store.reject(clips, *signed)
        elif edit.action == "label":
            made = store.label(clips, edit.name, edit.value, *signed)
        elif edit.action == "merge":
            made = store.merge_clips(clips, edit.value or "", *signed)
        else:
            made = store.undo_together(edit.edit_id, *signed)
        session.refresh()
        return {"edit_id": made[0], "edits": len(made)}

    return router


def _refusal(error: ValidationError) -> InputError:
    first = error.errors()[0]
    return InputError(f"edit: {'.'.join(map(str, first['loc']))}: {first['msg']}")


def _summary(made: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Returns one action, from the rows that it made: the first of them, and the numbers of them."""
    first = {name: made[0][name] for name in ("edit_id", "action", "subject", "name", "value", "who", "why")}
    counts = {action: sum(row["action"] == action for row in made) for action in ("reject", "label", "merge", "undo")}
    standing = sum(row["in_force"] for row in made)
    return {**first, "created_at": made[0]["created_at"], "counts": counts, "in_force": standing}
