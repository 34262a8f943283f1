"""`vclip check`: what is wrong in a store; media are decoded as training and embedding would."""

from typing import Any

import cv2
import numpy as np

from pipelines.cluster import one_thread
from pipelines.progress import step
from stores import Store
from stores.checking import FATES, HARMLESS
from vclip.audio import read_audio
from vclip.errors import InputError


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
        result["repaired"] = store.repair(report)
        result["left"] = _look(store, rows, media)[0] if result["repaired"] else problems
        result["sound"] = _sound(result["left"])
    return result


def reads_picture(content: bytes) -> str:
    """Returns why a picture cannot be decoded, "" if it can."""
    try:
        decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        return str(error)
    return "" if decoded is not None else "no picture"


def reads_sound(content: bytes) -> str:
    """Returns why a sound cannot be decoded, "" if it can."""
    try:
        samples, _ = read_audio(content)
    except InputError as error:
        return str(error)
    return "" if len(samples) and np.isfinite(samples).all() else "no sound in it"


def _look(store: Store, rows: dict[str, int], media: bool) -> tuple[list[dict[str, Any]], Any]:
    one_thread()  # the check has threads of its own
    reads = {"faces": reads_picture, "voices": reads_sound} if media else {}
    with step("check", rows["faces"] + rows["voices"], "rows") as progress:
        report = store.check(reads, lambda table, count: progress.advance(count, table))
    found = [
        {"kind": p.kind, "table": p.table, "count": p.count, "examples": p.examples, "meaning": FATES[p.kind]}
        for p in report.problems
    ]
    return found, report


def _sound(problems: list[dict[str, Any]]) -> bool:
    return all(problem["kind"] in HARMLESS for problem in problems)
