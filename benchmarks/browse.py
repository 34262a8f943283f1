"""Latency of the web page's requests on a large store: the first, a middle and the last page, filters, an image.

    python benchmarks/browse.py --clips 1000000

The store is synthetic: one video with the given number of clips, one face and one voice each, vectors of 8 numbers
and small media.
"""

import argparse
import json
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa

from pipelines.browsing.cards import Filters, FilterValues, page
from pipelines.browsing.media import MediaReader
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


def main() -> None:
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--clips", type=int, default=100_000)
    clips = options.parse_args().clips
    with tempfile.TemporaryDirectory(prefix="vclip-browse-") as folder:
        store = made_up(Path(folder) / "store", clips)
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
