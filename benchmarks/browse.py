"""Latency of the web page's requests on a large store: the first, a middle and the last page, filters, an image.

    python benchmarks/browse.py --clips 1000000
    python benchmarks/browse.py --clips 10000 --lasso 500

With --lasso, the page is opened in Chromium, where about that many clips are selected on the map, rejected, and the
action is undone; each time is from the mouse or the button to what the page shows then.

The store is synthetic: one video with the given number of clips, one face and one voice each, vectors of 8 numbers
and small media.
"""

import argparse
import json
import math
import resource
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import uvicorn

from pipelines.browsing.cards import Filters, FilterValues, page
from pipelines.browsing.job import listen, page_app
from pipelines.browsing.map import laid_out
from pipelines.browsing.media import MediaReader
from pipelines.browsing.session import Session
from pipelines.config import Config
from stores import Store, run_id, schema
from stores.rows import typed

PART, MEDIA_BYTES, PAGE = 50_000, 300, 60
SPACES = {"faces": {"face": 8}, "voices": {"voice": 8}}


def made_up(folder: Path, clips: int) -> Store:
    """A synthetic store; its rows are written without the commit, which checks each row in Python."""
    store, run, rng = Store.create(str(folder), SPACES["faces"], SPACES["voices"]), run_id(), np.random.default_rng(0)
    own = {"video_id": "one", "run_id": run}
    for start in range(0, clips, PART):
        names = [f"{rng.integers(1 << 62):024x}" for _ in range(start, min(start + PART, clips))]
        for table in ("clips", "faces", "voices"):
            store.db.open_table(table).add(_rows(table, names, own, rng, start))
    video = {**own, "state": "done", "reason": "", "config_hash": "a", "funnel": {}, "uris": [], "revision": 1}
    video |= {"n_clips": clips, "n_faces": clips, "n_voices": clips, "created_at": datetime.now(UTC)}
    store.db.open_table("videos").add(typed("videos", [video]))
    return store


def _rows(table: str, names: list[str], own: dict, rng: np.random.Generator, start: int) -> pa.Table:
    n, columns = len(names), []
    fixed = {**own, "video_uri": "one.mp4", "labels": "{}", "language": "en"}
    for field in schema.schema(table, SPACES.get(table)):
        if field.name in fixed:
            columns.append(pa.array([fixed[field.name]] * n, field.type))
        elif field.name.endswith("_id"):
            columns.append(pa.array(names, field.type))
        elif field.name == "identity":
            columns.append(pa.array([f"person{(start + i) // 20}" for i in range(n)], field.type))
        elif field.name == "gender":
            columns.append(pa.array(rng.choice(["f", "m"], n), field.type))
        elif pa.types.is_fixed_size_list(field.type):
            width = field.type.list_size
            flat = pa.array(rng.normal(size=n * width).astype(np.float32))
            columns.append(pa.FixedSizeListArray.from_arrays(flat, type=field.type))
        elif pa.types.is_floating(field.type):
            columns.append(pa.array(rng.uniform(size=n) + (3 if field.name == "end_s" else 0), field.type))
        elif pa.types.is_large_binary(field.type):
            columns.append(pa.array([rng.bytes(MEDIA_BYTES) for _ in range(n)], field.type))
        else:
            columns.append(pa.nulls(n, field.type))
    return pa.Table.from_arrays(columns, schema=schema.schema(table, SPACES.get(table)))


def _ms(act: Callable[[], object]) -> float:
    """The median time of five calls, in milliseconds."""
    took = []
    for _ in range(5):
        start = time.perf_counter()
        act()
        took.append(1000 * (time.perf_counter() - start))
    return round(statistics.median(took), 1)


def lasso(store: Store, wanted: int) -> dict[str, float]:
    """Selects about as many clips as wanted on the map, in Chromium, rejects them and undoes that."""
    from playwright.sync_api import sync_playwright

    listening = listen("127.0.0.1", 0)
    server = uvicorn.Server(uvicorn.Config(page_app(Session(store, Config())), log_level="warning"))
    threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True).start()
    chromium = shutil.which("chromium") or shutil.which("google-chrome")
    with (
        sync_playwright() as playwright,
        playwright.chromium.launch(executable_path=chromium, args=["--no-sandbox"]) as browser,
    ):
        tab = browser.new_page(viewport={"width": 1400, "height": 900})
        start = time.perf_counter()
        tab.goto(f"http://127.0.0.1:{listening.getsockname()[1]}/#map")
        tab.wait_for_selector(".legend span")
        took = {"open_map_s": time.perf_counter() - start}
        tab.get_by_role("button", name="Lasso").click()
        box = tab.locator("canvas").bounding_box()
        assert box
        # The map shows about as many points in a disc around its centre, whose points are dense.
        around = [2 * math.pi * i / 40 for i in range(41)]
        radius = _radius(store, wanted)
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        way = [(x + radius * box["width"] / 2.12 * math.cos(a), y + radius * box["height"] / 2.12 * math.sin(a))
               for a in around]  # fmt: skip
        tab.mouse.move(*way[0])
        tab.mouse.down()
        for point in way[1:]:
            tab.mouse.move(*point)
        start = time.perf_counter()
        tab.mouse.up()
        tab.wait_for_selector("#selection b")
        took["select_s"] = time.perf_counter() - start
        took["selected"] = int(tab.locator("#selection b").inner_text().split()[0])
        total = store.count("faces")
        tab.get_by_role("button", name="Reject …").click()
        tab.fill("#ask [name=why]", "noise")
        tab.fill("#ask [name=who]", "ann")
        for name, button, shown, left in (
            ("reject", "#ask .first", "rejected", total - took["selected"]),
            ("undo", "#toast button", "undone", total),
        ):
            start = time.perf_counter()
            tab.locator(button).click()
            tab.wait_for_selector(f"#toast:has-text('{shown}')")
            took[f"{name}_s"] = time.perf_counter() - start
            tab.wait_for_selector(f".bar p:has-text('{left:,} faces')")
            took[f"{name}_and_new_map_s"] = time.perf_counter() - start
    server.should_exit = True
    return {name: round(seconds, 2) for name, seconds in took.items()}


def _radius(store: Store, wanted: int) -> float:
    xy = laid_out(store.snapshot(), "faces", None).xy
    return float(np.sort(np.hypot(*xy.T))[wanted])


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--clips", type=int, default=100_000)
    options.add_argument("--lasso", type=int, metavar="CLIPS", help="to select and reject in Chromium")
    given = options.parse_args()
    clips = given.clips
    with tempfile.TemporaryDirectory(prefix="vclip-browse-") as folder:
        store = made_up(Path(folder) / "store", clips)
        if given.lasso:
            print(json.dumps(lasso(store, given.lasso), indent=2))
            return
        base_mb = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
        snapshot, reader = store.snapshot(), MediaReader()
        faces = [card["face_id"] for card in page(snapshot, Filters(), "", PAGE)["cards"]]
        found = {
            "clips": clips,
            "snapshot_ms": _ms(store.snapshot),
            "first_page_ms": _ms(lambda: page(snapshot, Filters(), "", PAGE)),
            "middle_page_ms": _ms(lambda: page(snapshot, Filters(), f"{1 << 61:024x}", PAGE)),
            "last_page_ms": _ms(lambda: page(snapshot, Filters(), f"{int(0.9999 * (1 << 62)):024x}", PAGE)),
            "one_person_ms": _ms(lambda: page(snapshot, Filters(identity="person77"), "", PAGE)),
            "label_ms": _ms(lambda: page(snapshot, Filters(labels={"gender": "f"}), "", PAGE)),
            "best_percent_ms": _ms(lambda: page(snapshot, Filters(min_quality=0.99), "", PAGE)),
            "image_ms": _ms(lambda: reader.content(snapshot, "faces", faces.pop())),
            "image_again_ms": _ms(lambda: reader.content(snapshot, "faces", faces[0])),
            "values_of_identity_ms": _ms(lambda: FilterValues().of(snapshot, "identity")),
            "memory_above_making_mb": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024 - base_mb),
        }
    print(json.dumps(found, indent=2))


if __name__ == "__main__":
    main()
