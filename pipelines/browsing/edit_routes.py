"""Routes that change: corrections by hand, through the store's table of edits."""

from typing import Any, Literal

from fastapi import APIRouter
from pydantic import BaseModel, ConfigDict

from pipelines.browsing.session import Opened

SHOWN = 500


class Edit(BaseModel):
    """One correction; `subject` is a clip_id, the identity that goes, or an edit_id."""

    model_config = ConfigDict(extra="forbid")
    action: Literal["reject", "label", "merge", "undo"]
    subject: str
    name: str = ""
    value: str | None = None
    who: str
    why: str


def routes(opened: Opened) -> APIRouter:
    """Returns /api/edits."""
    router, store = APIRouter(prefix="/api/edits"), opened.store

    @router.get("")
    def listed() -> dict[str, Any]:
        rows = store.edits()[::-1]
        return {"edits": rows[:SHOWN], "count": len(rows)}

    @router.post("")
    def edit(edit: Edit) -> dict[str, str]:
        signed = (edit.who, edit.why)
        if edit.action == "reject":
            made = store.reject([edit.subject], *signed)[0]
        elif edit.action == "label":
            made = store.label([edit.subject], edit.name, edit.value, *signed)[0]
        elif edit.action == "merge":
            made = store.merge_people(edit.subject, edit.value or "", *signed)
        else:
            made = store.undo(edit.subject, *signed)
        opened.changed()
        return {"edit_id": made}

    return router
