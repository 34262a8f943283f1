"""`vclip check`: what is wrong in a store; media are decoded as training and embedding would."""

from dataclasses import asdict
from typing import Any

import cv2
import numpy as np

from pipelines.cluster.session import limit_threads
from pipelines.progress import step
from stores import Store
from stores.maintenance.check import HARMLESS, MEANINGS
from stores.maintenance.check import check as check_rows
from stores.maintenance.check import repair as repair_rows
from stores.maintenance.compact import DAY_S, compact, sweep
from stores.maintenance.index import build_index
from vclip.audio import read_audio
from vclip.errors import InputError


def optimize(store_uri: str, keep_days: float, index: bool = False) -> dict[str, Any]:
    """Sweeps, compacts and prunes a store, and returns what that did.

    Args:
        store_uri: the store.
        keep_days: age up to which old versions stay.
        index: build the vector indices of `faces` and `voices` anew, in all spaces, and measure their recall.

    Returns:
        store; swept_rows; fragments: table -> "before -> after"; freed_bytes; tags; indices: [{table, space, kind,
        rows, nprobes, recall_at_10, queries, build_s, query_ms}]; bytes: of the newest version, before and after.

    Raises:
        StoreError: no store, it cannot be written now, or a table is too small for an index.
    """
    store = Store.open(store_uri)
    before = store.info()["bytes"]
    spaces = [(table, space) for table in ("faces", "voices") for space in store.spaces(table) if index]
    with store.run({"job": "optimize", "keep_days": keep_days}, {}) as run, step("optimize", 1) as progress:
        swept = sweep(store)
        done = compact(store, keep_days * DAY_S)
        progress.set(1)
        built = [asdict(build_index(store, table, space)) for table, space in spaces]
        run.summary = {
            "swept_rows": swept,
            "fragments": {
                table: f"{of.fragments_removed} -> {of.fragments_added}"
                for table, of in done.items()
                if of.fragments_removed
            },
            "freed_bytes": sum(of.bytes_removed for of in done.values()),
            "tags": sorted(store.tags()),
            "indices": built,
        }
    return {"store": store_uri, **run.summary, "bytes": {"before": sum(before.values()), "after": _bytes(store)}}


def _bytes(store: Store) -> int:
    return sum(store.info()["bytes"].values())


def check(store_uri: str, media: bool = True, repair: bool = False) -> dict[str, Any]:
    """Looks at all rows of a store, tells how far it is, and returns what is wrong and what was mended.

    Args:
        store_uri: the store.
        media: decode every picture and every sound.
        repair: mend what was found.

    Returns:
        store; rows: table -> count; problems: [{kind, table, count, examples, meaning}]; sound: whether there are
        none but harmless ones; repaired: what -> rows, None if not asked for; left: problems after the repair.

    Raises:
        StoreError: no store, or a repair beside a job that writes.
    """
    store = Store.open(store_uri)
    rows = store.info()["rows"]
    problems, report = _look(store, rows, media)
    result = {"store": store_uri, "rows": rows, "problems": problems, "sound": _sound(problems)}
    result |= {"repaired": None, "left": problems}
    if repair:
        result["repaired"] = repair_rows(store, report)
        result["left"] = _look(store, rows, media)[0] if result["repaired"] else problems
        result["sound"] = _sound(result["left"])
    return result


def decodes_image(content: bytes) -> str:
    """Returns why a picture cannot be decoded, "" if it can."""
    try:
        decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        return str(error)
    return "" if decoded is not None else "no picture"


def decodes_audio(content: bytes) -> str:
    """Returns why a sound cannot be decoded, "" if it can."""
    try:
        samples, _ = read_audio(content)
    except InputError as error:
        return str(error)
    return "" if len(samples) and np.isfinite(samples).all() else "no sound in it"


def _look(store: Store, rows: dict[str, int], media: bool) -> tuple[list[dict[str, Any]], Any]:
    limit_threads()  # the check has threads of its own
    decoders = {"faces": decodes_image, "voices": decodes_audio} if media else {}
    with step("check", rows["faces"] + rows["voices"], "rows") as progress:
        report = check_rows(store, decoders, lambda table, count: progress.advance(count, table))
    found = [
        {"kind": p.kind, "table": p.table, "count": p.count, "examples": p.examples, "meaning": MEANINGS[p.kind]}
        for p in report.problems
    ]
    return found, report


def _sound(problems: list[dict[str, Any]]) -> bool:
    return all(problem["kind"] in HARMLESS for problem in problems)
