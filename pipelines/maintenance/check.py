"""`vclip check`: find the problems in a store, and repair them. Media are decoded as embedding decodes them."""

from dataclasses import dataclass
from typing import Any

import cv2
import numpy as np

from pipelines.cluster.session import limit_threads
from pipelines.progress import step
from stores import Store
from stores.maintenance.check import HARMLESS, Problem, Report
from stores.maintenance.check import check as check_rows
from stores.maintenance.check import repair as repair_rows
from vclip.audio import read_audio
from vclip.errors import InputError


@dataclass(frozen=True)
class CheckResult:
    """The problems in a store, and what a repair did."""

    store: str
    rows: dict[str, int]  # table -> rows that were checked
    problems: list[Problem]
    repaired: dict[str, int] | None  # table -> repaired rows; None without a repair
    left: list[Problem]  # after the repair

    @property
    def valid(self) -> bool:
        """Whether nothing but harmless problems is left."""
        return all(problem.kind in HARMLESS for problem in self.left)

    def to_json(self) -> dict[str, Any]:
        """Returns what `vclip check --json` prints; `valid` has the key "sound" there."""
        kept = ("kind", "table", "count", "examples", "meaning")
        lists = {
            name: [{key: getattr(problem, key) for key in kept} for problem in found]
            for name, found in (("problems", self.problems), ("left", self.left))
        }
        return {"store": self.store, "rows": self.rows, "repaired": self.repaired, **lists, "sound": self.valid}


def check(store_uri: str, media: bool = True, repair: bool = False) -> CheckResult:
    """Checks all rows of a store, and shows the progress.

    Args:
        store_uri: the store.
        media: decode every image and all audio.
        repair: repair what was found.

    Raises:
        StoreError: there is no store, or another job writes during the repair.
    """
    store = Store.open(store_uri)
    rows = store.info()["rows"]
    report = _check(store, rows, media)
    repaired, left = None, report
    if repair:
        repaired = repair_rows(store, report)
        left = _check(store, rows, media) if repaired else report
    return CheckResult(store_uri, rows, report.problems, repaired, left.problems)


def image_error(content: bytes) -> str:
    """Returns why an image cannot be decoded, or "" if it can."""
    try:
        decoded = cv2.imdecode(np.frombuffer(content, np.uint8), cv2.IMREAD_COLOR)
    except cv2.error as error:
        return str(error)
    return "" if decoded is not None else "no image"


def audio_error(content: bytes) -> str:
    """Returns why audio cannot be decoded, or "" if it can."""
    try:
        samples, _ = read_audio(content)
    except InputError as error:
        return str(error)
    return "" if len(samples) and np.isfinite(samples).all() else "no finite samples"


def _check(store: Store, rows: dict[str, int], media: bool) -> Report:
    limit_threads()  # the check has threads of its own
    decoders = {"faces": image_error, "voices": audio_error} if media else {}
    with step("check", rows["faces"] + rows["voices"], "faces and voices") as progress:
        return check_rows(store, decoders, lambda table, count: progress.advance(count))
